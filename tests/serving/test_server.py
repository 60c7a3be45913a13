"""A real server on loopback with real clients: every answer is the one that `chipwise run` gives."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import io
import json
import queue
import random
import socket
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

import chipwise
from chipwise.serving.openapi import openapi
from chipwise.serving.routes import find_route

from .conftest import Running, Start

rest = pytest.importorskip("tritonclient.http")
calls = pytest.importorskip("tritonclient.grpc")


@pytest.fixture(scope="module")
def server(start: Start, plans: Path) -> Running:
    names = [plans / f"{name}.plan" for name in ("digits", "half", "detector", "segmenter")]
    return start(*names, "--max-latency", "100ms", "--log-requests")


@pytest.fixture(params=["http", "grpc"])
def client(request: pytest.FixtureRequest, server: Running) -> Any:
    if request.param == "http":
        yield rest.InferenceServerClient(server.url)
    else:
        with calls.InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as made:
            yield made


def library(client: Any) -> Any:
    return rest if isinstance(client, rest.InferenceServerClient) else calls


def tensor(client: Any, name: str, array: np.ndarray, datatype: str = "FP32", **how: Any) -> Any:
    made = library(client).InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, **how)
    return made


def plain(value: Any) -> Any:
    """What a client gives for a document, whichever client."""
    return value.get("config", value) if isinstance(value, dict) else value


def ask(server: Running, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request(method, path, body or None, {name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    data = response.read()
    connection.close()
    return response.status, data, response.headers


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def test_the_server_tells_of_itself(client: Any) -> None:
    told = {} if isinstance(client, rest.InferenceServerClient) else {"as_json": True}
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("digits")
    assert client.is_model_ready("digits", "1")
    assert client.get_server_metadata(**told)["name"] == "chipwise"
    model = client.get_model_metadata("digits", **told)
    assert model["versions"] == ["1"]
    assert list(map(int, model["inputs"][0]["shape"])) == [-1, 1, 8, 8]
    assert model["outputs"][0]["datatype"] == "FP32"
    config = plain(client.get_model_config("digits", **told))
    assert config["max_batch_size"] > 1
    assert config["input"][0]["data_type"] == "TYPE_FP32"
    assert list(map(int, config["input"][0]["dims"])) == [1, 8, 8]
    assert plain(client.get_model_config("detector", **told)).get("max_batch_size", 0) == 0
    index = client.get_model_repository_index(**told)
    lines = index if isinstance(index, list) else index["models"]
    assert {line["name"]: line["state"] for line in lines}["half"] == "READY"


def test_health_is_said_in_json_too(server: Running) -> None:
    for path, said in {
        "/v2/health/live": {"live": True},
        "/v2/health/ready": {"ready": True},
        "/v2/models/digits/ready": {"name": "digits", "ready": True},
    }.items():
        status, body, _ = ask(server, "GET", path)
        assert (status, json.loads(body)) == (200, said)
    assert ask(server, "HEAD", "/v2/health/live")[:2] == (200, b"")


@pytest.mark.parametrize("rows", [1, 5])
def test_answers_are_those_of_run(client: Any, plans: Path, pixels: np.ndarray, rows: int) -> None:
    wanted = chipwise.load(plans / "digits.plan").run(pixels[:rows])["y"]
    found = client.infer("digits", [tensor(client, "x", pixels[:rows])], request_id="7")
    np.testing.assert_allclose(found.as_numpy("y"), wanted, rtol=1e-6)
    told = found.get_response()
    assert (told["id"] if isinstance(told, dict) else told.id) == "7"


def test_json_and_compressed_bodies(server: Running, plans: Path, pixels: np.ndarray) -> None:
    client = rest.InferenceServerClient(server.url)
    many = np.tile(pixels, (20, 1, 1, 1))
    wanted = chipwise.load(plans / "digits.plan").run(many)["y"]
    for binary in (True, False):
        for encoding in (None, "gzip", "deflate"):
            found = client.infer(
                "digits",
                [tensor(client, "x", many, binary_data=binary)],
                outputs=[rest.InferRequestedOutput("y", binary_data=binary)],
                request_compression_algorithm=encoding,
                response_compression_algorithm=encoding,
            )
            np.testing.assert_allclose(found.as_numpy("y"), wanted, rtol=1e-5)


def test_half_precision(client: Any, plans: Path, pixels: np.ndarray) -> None:
    half = np.float16([[1.5, -2, 0.1, 1000]])
    found = client.infer("half", [tensor(client, "x", half, "FP16")])
    assert found.as_numpy("z").dtype == np.float32
    np.testing.assert_array_equal(found.as_numpy("z"), half.astype(np.float32))
    np.testing.assert_array_equal(found.as_numpy("y"), half + half)
    sixteenths = np.round(pixels[:2] * 16) / 16  # which bfloat16 holds exactly
    wanted = chipwise.load(plans / "digits.plan").run(sixteenths)["y"]
    for datatype, array in (("FP16", sixteenths.astype(np.float16)), ("BF16", sixteenths)):
        found = client.infer("digits", [tensor(client, "x", array, datatype)])
        np.testing.assert_allclose(found.as_numpy("y"), wanted, rtol=1e-6)


def test_classes_are_bytes(client: Any, plans: Path, pixels: np.ndarray) -> None:
    (wanted,) = chipwise.run(plans / "digits.plan", pixels[:1], top=2).predictions
    output = library(client).InferRequestedOutput("y", class_count=2)
    found = client.infer("digits", [tensor(client, "x", pixels[:1])], outputs=[output]).as_numpy("y")
    assert found.shape == (1, 2)
    assert [each.decode().split(":")[-1] for each in found[0]] == [label for label, _ in wanted.top]


def test_statistics_count(client: Any, pixels: np.ndarray) -> None:
    told = {} if isinstance(client, rest.InferenceServerClient) else {"as_json": True}

    def count() -> int:
        (line,) = client.get_inference_statistics("digits", **told)["model_stats"]
        return int(line.get("inference_count", 0))

    before = count()
    client.infer("digits", [tensor(client, "x", pixels[:3])])
    assert count() == before + 3


@pytest.mark.parametrize(
    ("model", "version", "name", "shape", "datatype", "says"),
    [
        ("absent", "", "x", [1, 1, 8, 8], "FP32", "no model 'absent'"),
        ("../digits", "", "x", [1, 1, 8, 8], "FP32", "../digits"),
        ("digits", "9", "x", [1, 1, 8, 8], "FP32", "has version 1, not '9'"),
        ("digits", "", "w", [1, 1, 8, 8], "FP32", "inputs are x; received w"),
        ("digits", "", "x", [1, 1, 8, 9], "FP32", "takes FP32 [-1, 1, 8, 8]"),
        ("digits", "", "x", [1, 1, 8, 8], "INT64", "takes FP32"),
        ("digits", "", "x", [0, 1, 8, 8], "FP32", "is empty"),
    ],
)
def test_what_is_refused(
    client: Any, model: str, version: str, name: str, shape: list[int], datatype: str, says: str
) -> None:
    array = np.zeros(shape, np.int64 if datatype == "INT64" else np.float32)
    with pytest.raises(Exception, match=r"model|version|input|takes|nothing") as caught:
        client.infer(model, [tensor(client, name, array, datatype)], model_version=version)
    if (model, library(client)) != ("../digits", rest):
        assert says in str(caught.value)


def test_clients_that_do_not_wait(server: Running, plans: Path, pixels: np.ndarray) -> None:
    """Both of Triton's asyncio clients, with requests at the same time: joined, and each gets its own answer."""
    wanted = chipwise.load(plans / "digits.plan").run(pixels)["y"]

    async def ask(made: Any, kind: Any) -> None:
        async with made as client:
            tensors = [kind.InferInput("x", [1, 1, 8, 8], "FP32") for _ in pixels]
            for each, row in zip(tensors, pixels, strict=True):
                each.set_data_from_numpy(row[None])
            found = await asyncio.gather(*(client.infer("digits", [each]) for each in tensors))
        for row, each in zip(wanted, found, strict=True):
            np.testing.assert_allclose(each.as_numpy("y")[0], row, rtol=1e-5)

    async def both() -> None:
        await ask(pytest.importorskip("tritonclient.http.aio").InferenceServerClient(server.url), rest)
        grpc_url = f"127.0.0.1:{server.grpc_port}"
        await ask(pytest.importorskip("tritonclient.grpc.aio").InferenceServerClient(grpc_url), calls)

    asyncio.run(both())


def test_a_stream_of_calls(server: Running, pixels: np.ndarray) -> None:
    found: queue.Queue[Any] = queue.Queue()
    with calls.InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as client:
        client.start_stream(lambda result, error: found.put((result, error)))
        for model in ("digits", "absent", "digits"):
            client.async_stream_infer(model, [tensor(client, "x", pixels[:1])])
        told = [found.get(timeout=30) for _ in range(3)]
        client.stop_stream()
    assert [error is None for _, error in told] == [True, False, True]
    assert "no model 'absent'" in str(told[1][1])


def test_a_picture_is_classified(server: Running, plans: Path, pixels: np.ndarray, tmp_path: Path) -> None:
    picture = png(np.uint8(pixels[0, 0] * 255))
    (tmp_path / "a.png").write_bytes(picture)
    (wanted,) = chipwise.run(plans / "digits.plan", tmp_path / "a.png").predictions
    status, body, _ = ask(server, "POST", "/v2/models/digits/classify", picture)
    assert status == 200
    found = [(each["label"], each["score"]) for each in json.loads(body)["labels"]]
    assert found == [(label, pytest.approx(score)) for label, score in wanted.top]


def test_boxes_and_areas_of_a_picture(server: Running, plans: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    picture = png(rng.integers(0, 255, (24, 40, 3), np.uint8))
    (tmp_path / "a.png").write_bytes(picture)
    (wanted,) = chipwise.run(plans / "detector.plan", tmp_path / "a.png").predictions
    status, body, _ = ask(server, "POST", "/v2/models/detector/detect", picture)
    assert status == 200
    (box,) = json.loads(body)["boxes"]
    assert box["label"] == wanted.boxes[0].label
    assert box["right"] == pytest.approx(wanted.boxes[0].right)
    (wanted,) = chipwise.run(plans / "segmenter.plan", tmp_path / "a.png").predictions
    status, body, headers = ask(server, "POST", "/v2/models/segmenter/segment", picture)
    assert (status, headers["content-type"]) == (200, "image/png")
    drawn = np.asarray(Image.open(io.BytesIO(body)))
    assert drawn.shape == (24, 40)
    shares = sorted((float((drawn == index).mean()) for index in range(3)), reverse=True)
    assert shares == pytest.approx([share for _, share in wanted.areas])


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("/v2/models/digits/detect", b"x", 400, "is for classification; ask it to classify"),
        ("/v2/models/half/classify", b"x", 400, "is for tensor; send it tensors"),
        ("/v2/models/digits/classify", b"x", 400, "is no picture"),
        ("/v2/models/digits/classify", b"", 400, "body is empty"),
        ("/v2/models/absent/classify", b"x", 404, "no model 'absent'"),
        ("/v2/models/digits/infer", b"", 400, "has 0 bytes"),
        ("/v2/repository/index", b"[]", 400, "no JSON object"),
        ("/v2/repository/index", b'{"ready": 1}', 400, "neither true nor false"),
        ("/v2/repository/models/absent/load", b"", 404, "no model 'absent'"),
        ("/v2/repository/models/..%2Fdigits/load", b"", 404, "nothing at"),
        ("/v2/repository/models/.hidden/load", b"", 404, "no model '.hidden'"),
        ("/v2/repository/models/digits/load", b'{"parameters": {"config": "{}"}}', 400, "not supported"),
        ("/v2/health/live", b"x", 405, "POST is not allowed here; GET is"),
        ("/elsewhere", b"x", 404, "nothing at '/elsewhere'"),
    ],
)
def test_errors_are_said_in_json(server: Running, path: str, body: bytes, status: int, says: str) -> None:
    found, data, headers = ask(server, "POST", path, body)
    assert found == status
    assert headers.get("allow") == ("GET" if status == 405 else None)
    assert says in json.loads(data)["error"]


def test_bodies_that_are_too_large(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as peer:
        peer.sendall(b"POST /v2/models/digits/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 2147483648\r\n\r\n")
        assert peer.recv(1000).startswith(b"HTTP/1.1 413 ")
    status, data, _ = ask(
        server, "POST", "/v2/models/digits/infer", gzip.compress(bytes(80 << 20)), Content_Encoding="gzip"
    )
    assert status == 413, data
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        with pytest.raises(grpc.RpcError, match="larger than max"):
            call(bytes(80 << 20), compression=grpc.Compression.Gzip, timeout=60)
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as peer:
        peer.sendall(b"GET /v2 HTTP/1.1\r\n" + b"".join(b"h%d: 1\r\n" % index for index in range(200)) + b"\r\n")
        assert peer.recv(1000).startswith(b"HTTP/1.1 431 ")


def test_damaged_requests_are_refused_and_nothing_else_happens(server: Running, pixels: np.ndarray) -> None:
    """The same request with bytes changed, cut or doubled: every answer is a refusal, or a whole answer."""
    rng = random.Random(0)
    tensors = [{"name": "x", "shape": [1, 1, 8, 8], "datatype": "FP32", "parameters": {"binary_data_size": 256}}]
    head = json.dumps({"inputs": tensors}).encode()
    whole = head + pixels[:1].tobytes()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    for _ in range(400):
        body = bytearray(whole)
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(len(head))
            body[at : at + rng.randint(0, 2)] = rng.randbytes(rng.randint(0, 3))
        size = len(head) + rng.choice((0, 0, 0, len(body) - len(whole), -1, 1, 500))
        connection.request(
            "POST", "/v2/models/digits/infer", bytes(body), {"Inference-Header-Content-Length": str(size)}
        )
        response = connection.getresponse()
        data = response.read()
        assert response.status in (200, 400, 404, 413), (body, data)
        assert response.status == 200 or "error" in json.loads(data)
    connection.close()
    client = rest.InferenceServerClient(server.url)
    assert client.infer("digits", [tensor(client, "x", pixels[:1])]).as_numpy("y").shape == (1, 10)


def test_nothing_of_a_request_reaches_the_log_unescaped(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as peer:
        peer.sendall(
            'GET /v2/models/a%0A{"event":"faked"}\u2028b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'.encode()
        )
        while peer.recv(1000):
            pass
    ask(server, "GET", "/v2/models/a%0A%7B%22event%22:%22faked%22%7D")
    text = server.err.read_text()
    assert text.isascii()
    assert {event["event"] for event in server.events} <= {"opened", "listening", "request"}


def test_numbers_for_prometheus(server: Running, pixels: np.ndarray) -> None:
    client = rest.InferenceServerClient(server.url)
    client.infer("digits", [tensor(client, "x", pixels[:2])])
    status, body, headers = ask(server, "GET", "/metrics")
    assert (status, headers["content-type"].split(";")[0]) == (200, "text/plain")
    families = {family.name: family for family in text_string_to_metric_families(body.decode())}
    totals = {s.labels["model"]: s.value for s in families["chipwise_requests"].samples}
    parts = {
        s.labels["part"]: s.value
        for s in families["chipwise_latency_seconds"].samples
        if s.name.endswith("_count") and s.labels["model"] == "digits"
    }
    assert parts == dict.fromkeys(("total", "queue", "copy", "compute"), totals["digits"])
    assert any(
        s.labels == {"model": "digits", "version": "1", "batch": "2"} for s in families["chipwise_calls"].samples
    )
    assert any(s.labels.get("status") == "400" for s in families["chipwise_requests_failed"].samples)


def refusals(server: Running) -> dict[str, float]:
    """Refusals at the gRPC door by status."""
    families = text_string_to_metric_families(ask(server, "GET", "/metrics")[1].decode())
    (family,) = (each for each in families if each.name == "chipwise_requests_refused")
    return {each.labels["status"]: each.value for each in family.samples if each.labels["door"] == "grpc"}


def test_what_the_grpc_door_refuses_is_counted(server: Running) -> None:
    before = refusals(server)
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        for method, sent, code in (
            ("ModelInfer", b"\xff\xff", grpc.StatusCode.INVALID_ARGUMENT),
            ("ModelMetadata", b"\n\x06absent", grpc.StatusCode.NOT_FOUND),
            ("NoSuchMethod", b"", grpc.StatusCode.UNIMPLEMENTED),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(f"/inference.GRPCInferenceService/{method}")(sent, timeout=60)
            assert caught.value.code() == code
        stream = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
        assert b"no ModelInferRequest" in next(stream(iter([b"\xff\xff"]), timeout=60))
    after = refusals(server)
    assert after.keys() == before.keys()
    assert {status: after[status] - before[status] for status in after if after[status] != before[status]} == {
        "400": 2, "404": 2,
    }  # fmt: skip
    reasons = [event.get("refused") for event in server.events if event["event"] == "request"]
    assert reasons[-5:-1] == [
        "the message is no ModelInferRequest", "there is no model 'absent'", "there is no such method",
        "the message is no ModelInferRequest",
    ]  # fmt: skip


def test_the_openapi_document_has_every_path(server: Running) -> None:
    status, body, _ = ask(server, "GET", "/openapi.json")
    assert status == 200
    document = json.loads(body)
    assert document == json.loads(json.dumps(openapi()))
    for path, operations in document["paths"].items():
        for method in operations:
            find_route(method.upper(), path.replace("{model}", "digits").replace("{version}", "1"))
