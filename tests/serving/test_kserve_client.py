"""KServe's own clients against this server, where `kserve` is installed beside chipwise; no extra brings it.

Of what they offer: whether server and model live, and inference, each over REST (JSON and binary) and gRPC.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chipwise

from .conftest import Running, Start

kserve = pytest.importorskip("kserve")
from kserve.protocol.infer_type import RequestedOutput  # noqa: E402


@pytest.fixture(scope="module")
def server(start: Start, plans: Path) -> Running:
    return start(plans / "digits.plan", plans / "half.plan")


def rest(server: Running, call: Any) -> Any:
    """What a call with a REST client and the server's address gives."""

    async def called() -> Any:
        async with kserve.InferenceRESTClient(kserve.RESTConfig(protocol="v2")) as client:
            return await call(client, f"http://{server.url}")

    return asyncio.run(called())


def grpc(server: Running, call: Any) -> Any:
    """What a call with a gRPC client gives."""

    async def called() -> Any:
        async with kserve.InferenceGRPCClient(f"127.0.0.1:{server.grpc_port}") as client:
            return await call(client)

    return asyncio.run(called())


def request(name: str, array: np.ndarray, datatype: str, *, binary: bool, **facts: Any) -> Any:
    tensor = kserve.InferInput("x", list(array.shape), datatype)
    tensor.set_data_from_numpy(array, binary_data=binary)
    return kserve.InferRequest(name, [tensor], request_id="7", **facts)


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("wanted", ["all binary", "one binary", "as it comes"])
def test_rest(server: Running, plans: Path, pixels: np.ndarray, binary: bool, wanted: str) -> None:
    facts: dict[str, Any] = {
        "all binary": {"parameters": {"binary_data_output": True}},
        "one binary": {"request_outputs": [RequestedOutput("y", {"binary_data": True})]},
        "as it comes": {},
    }[wanted]
    asked = request("digits", pixels, "FP32", binary=binary, **facts)

    def call(client: Any, url: str) -> Awaitable[Any]:
        return client.infer(url, asked, model_name="digits")

    answer = rest(server, call)
    assert (answer.model_name, answer.id) == ("digits", "7")
    expected = chipwise.load(plans / "digits.plan").run(pixels)["y"]
    np.testing.assert_allclose(answer.outputs[0].as_numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("binary", [True, False])
def test_grpc(server: Running, plans: Path, pixels: np.ndarray, binary: bool) -> None:
    asked = request("digits", pixels, "FP32", binary=binary)
    answer = grpc(server, lambda client: client.infer(asked))
    assert (answer.model_name, answer.id) == ("digits", "7")
    expected = chipwise.load(plans / "digits.plan").run(pixels)["y"]
    np.testing.assert_allclose(answer.outputs[0].as_numpy(), expected, rtol=1e-5)


def test_halves_go_both_ways(server: Running) -> None:
    array = np.array([[1, 2, 3, 4]], np.float16)
    asked = request("half", array, "FP16", binary=True, parameters={"binary_data_output": True})
    answer = rest(server, lambda client, url: client.infer(url, asked, model_name="half"))
    assert answer.get_output_by_name("y").as_numpy().tolist() == [[2, 4, 6, 8]]
    answer = grpc(server, lambda client: client.infer(request("half", array, "FP16", binary=True)))
    assert answer.get_output_by_name("y").as_numpy().tolist() == [[2, 4, 6, 8]]


def test_what_lives(server: Running) -> None:
    async def over_rest(client: Any, url: str) -> list[bool]:
        live, ready = await client.is_server_live(url), await client.is_server_ready(url)
        return [live, ready, await client.is_model_ready(url, "digits"), await client.is_model_ready(url, "none")]

    async def over_grpc(client: Any) -> list[bool]:
        return [await client.is_server_live(), await client.is_server_ready(), await client.is_model_ready("digits")]

    assert rest(server, over_rest) == [True, True, True, False]
    assert grpc(server, over_grpc) == [True, True, True]


def test_refusals_are_said(server: Running) -> None:
    asked = request("digits", np.zeros((1, 3), np.float32), "FP32", binary=True)
    with pytest.raises(Exception, match=r"takes FP32 \[-1, 1, 8, 8\]"):
        rest(server, lambda client, url: client.infer(url, asked, model_name="digits"))
    with pytest.raises(Exception, match=r"takes FP32 \[-1, 1, 8, 8\]"):
        grpc(server, lambda client: client.infer(asked))
