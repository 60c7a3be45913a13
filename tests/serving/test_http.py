"""The REST door without a socket: bodies that never end, tokens, and many damaged requests."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from chipwise.core.network import TensorSpec
from chipwise.serving.http import Application
from chipwise.serving.inflate import deflate
from chipwise.serving.limits import Limits
from chipwise.serving.logs import Log
from chipwise.serving.metrics import merged
from chipwise.serving.model import Serving
from chipwise.serving.model_facts import ModelFacts
from chipwise.serving.request_error import RequestError
from chipwise.serving.settings import Settings
from chipwise.serving.shelf import Shelf
from chipwise.serving.wire import Message

SPEC = TensorSpec("x", ("N", 2))
FACTS = ModelFacts((SPEC,), (SPEC,), "tensor", (), pictures=False, runtime="none", title="none")
INFER = "/v2/models/m/infer"


class Echo:
    """A worker that gives back what it gets, and refuses what is negative."""

    def __init__(self) -> None:
        self.facts, self.process, self.ended = FACTS, SimpleNamespace(pid=0), False

    async def call(self, message: Message) -> Message:
        if message.arrays[0].min() < 0:
            return Message("refused", {"message": "it is negative", "bad_input": True})
        return Message("done", {"compute_s": 0.0}, message.arrays)

    async def close(self) -> None:
        """Nothing to end."""


class Sent:
    """A request as ASGI gives it, and the answer that it gets."""

    def __init__(self, pieces: list[bytes], pause_s: float = 0.0) -> None:
        self._coming = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        self._coming.append({"type": "http.request", "body": b"", "more_body": False})
        self._pause_s = pause_s
        self.status, self.headers, self.body = 0, dict[str, str](), b""

    async def receive(self) -> Any:
        await asyncio.sleep(self._pause_s)
        return self._coming.pop(0)

    async def send(self, event: Any) -> None:
        if event["type"] == "http.response.start":
            self.status = event["status"]
            self.headers = {name.decode(): value.decode() for name, value in event["headers"]}
        else:
            self.body = event["body"]
            assert int(self.headers["content-length"]) == len(self.body)


def scope(path: str = INFER, method: str = "POST", **headers: str) -> Any:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": method, "path": path, "client": ("127.0.0.1", 1), "headers": named}


@asynccontextmanager
async def application(
    tmp_path: Path,
    log: io.StringIO | None = None,
    ended: Callable[[], Awaitable[None]] | None = None,
    **settings: Any,
) -> AsyncIterator[Application]:
    (tmp_path / "m.plan").touch()
    shelf = Shelf(Settings((tmp_path / "m.plan",), **settings), Log(io.StringIO()))
    serving = Serving("m", "1", Path(), [Echo()], settings=shelf.settings, freed=shelf.turns.pump)  # type: ignore[list-item]
    shelf.places["m"].serving = serving
    shelf.turns.servings.append(serving)
    yield Application(shelf, Log(log or io.StringIO(), requests=True), ended)
    await shelf.close()


async def answer(app: Application, given: Any, pieces: list[bytes], pause_s: float = 0.0) -> Sent:
    sent = Sent(pieces, pause_s)
    await app(given, sent.receive, sent.send)
    return sent


def body(*row: float) -> tuple[bytes, dict[str, str]]:
    tensors = [{"name": "x", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": 8}}]
    head = json.dumps({"inputs": tensors, "parameters": {"binary_data_output": True}}).encode()
    return head + np.float32(row or (1, 2)).tobytes(), {"inference_header_content_length": str(len(head))}


def test_bodies_in_pieces_and_bodies_that_are_too_large(tmp_path: Path) -> None:
    async def story() -> None:
        async with application(tmp_path, limits=Limits(body_bytes=1000)) as app:
            whole, headers = body()
            fine = await answer(app, scope(**headers), [whole[:9], whole[9:]])
            assert (fine.status, fine.body[-8:]) == (200, whole[-8:])
            assert fine.headers["content-type"] == "application/octet-stream"
            assert (await answer(app, scope(), [b"a" * 600, b"a" * 600])).status == 413
            for stated in ("1001", "9" * 30, "-1", "x"):
                assert (await answer(app, scope(content_length=stated), [b""])).status == 413

    asyncio.run(story())


def test_what_is_refused_is_counted_once(tmp_path: Path) -> None:
    """By the door, or by the model that refused it; a client cannot make series of its own."""
    whole, headers = body()
    negative, _ = body(-1, 2)
    token = {"authorization": "Bearer secret"}
    asked = [
        (scope(**headers), [whole], 401),
        (scope(**headers, authorization="Bearer wrong"), [whole], 401),
        (scope("/nowhere", **token), [b""], 404),
        (scope("/v2/models/absent/infer", **token, **headers), [whole], 404),
        (scope(INFER, "DELETE", **token), [], 405),
        (scope(**token), [b"a" * 600, b"a" * 600], 413),
        (scope(**token, content_length="1" * 30), [b""], 413),
        (scope(**token, content_encoding="zstd"), [whole], 415),
        (scope(**token), [b"nonsense"], 400),
        (scope("/v2/models/m/classify", **token), [b"a picture"], 400),
    ]

    async def story() -> None:
        log = io.StringIO()
        async with application(tmp_path, log, token="secret", limits=Limits(body_bytes=1000)) as app:

            async def counts(name: str) -> dict[tuple[str, ...], float]:
                text = (await answer(app, scope("/metrics", "GET", **token), [])).body.decode()
                (family,) = (each for each in text_string_to_metric_families(text) if each.name == name)
                return {tuple(each.labels.values()): each.value for each in family.samples}

            before = await counts("chipwise_requests_refused")
            assert set(before.values()) == {0}
            assert ("http", "413") in before
            for given, pieces, status in asked:
                assert (await answer(app, given, pieces)).status == status
            assert (await answer(app, scope(**headers, **token), [negative])).status == 400
            assert (await answer(app, scope(**headers, **token), [whole])).status == 200
            after = await counts("chipwise_requests_refused")
            assert after.keys() == before.keys()
            statuses = Counter(str(status) for *_, status in asked)
            assert {status: count for (_, status), count in after.items() if count} == statuses
            assert {door for (door, _), count in after.items() if count} == {"http"}
            assert await counts("chipwise_requests_failed") == {("m", "400", "1"): 1}
        lines = [json.loads(line) for line in log.getvalue().splitlines()]
        assert [line["status"] for line in lines if "refused" in line] == [*(status for *_, status in asked), 400]
        assert any(line.get("refused") == "the body has more than 1000 bytes" for line in lines)
        assert "secret" not in log.getvalue()

    asyncio.run(story())


def test_a_refusal_keeps_nothing_of_its_request(tmp_path: Path) -> None:
    """Not even until the garbage collector comes by: many large bodies would be waiting for it."""

    async def story() -> None:
        async with application(tmp_path, timeout_s=0.05) as app:
            whole, headers = body()
            bomb = deflate(bytes(2 << 20), "gzip")
            gc.collect()
            gc.disable()
            try:
                assert (await answer(app, scope(content_encoding="gzip"), [bomb])).status == 413
                assert (await answer(app, scope(path=INFER.replace("m/", "n/")), [whole])).status == 404
                serving = app._shelf.turns.servings[0]
                serving._idle.clear()
                asyncio.get_running_loop().call_later(0.02, serving._refuse_all, "gone")
                assert (await answer(app, scope(**headers), [whole])).status == 503
                assert (await answer(app, scope(**headers), [whole])).status == 504
                kept = [each for each in gc.get_objects() if isinstance(each, RequestError)]
            finally:
                gc.enable()
            assert kept == []

    asyncio.run(story())


def test_all_bodies_together_have_a_bound(tmp_path: Path) -> None:
    async def story() -> None:
        whole, headers = body()
        async with application(tmp_path, limits=Limits(held_bytes=2 * len(whole) + 5)) as app:
            asked = [answer(app, scope(**headers), [whole[:50], whole[50:]], 0.01) for _ in range(3)]
            found = await asyncio.gather(*asked)
            assert sorted(sent.status for sent in found) == [200, 200, 503]
            assert [sent.headers.get("retry-after") for sent in found if sent.status == 503] == ["1"]
            assert (await answer(app, scope(**headers), [whole])).status == 200, "what was held is free again"

    asyncio.run(story())


def test_tokens(tmp_path: Path) -> None:
    async def story() -> None:
        async with application(tmp_path, token="secret") as app:
            whole, headers = body()
            for given, status in (
                ({}, 401),
                ({"authorization": "Bearer secre"}, 401),
                ({"authorization": "Bearer secret"}, 200),
            ):
                found = await answer(app, scope(**headers, **given), [whole])
                assert found.status == status
                assert ("www-authenticate" in found.headers) == (status == 401)
            assert (await answer(app, scope("/v2/health/live", "GET"), [])).status == 200
            assert (await answer(app, scope("/metrics", "GET"), [])).status == 401
            page = await answer(app, scope("/", "GET"), [])
            assert page.status == 200, "the page asks for the token"
            assert b"<body data-token>" in page.body

    asyncio.run(story())


def test_many_damaged_requests(tmp_path: Path) -> None:
    """Bytes changed, cut and doubled: each is answered, or refused with a reason; the next whole one is right."""
    rng = random.Random(1)
    whole, headers = body()

    async def story() -> None:
        async with application(tmp_path) as app:
            counts = {200: 0, 400: 0}
            for _ in range(3000):
                damaged = bytearray(whole)
                for _ in range(rng.randint(1, 4)):
                    at = rng.randrange(len(damaged))
                    damaged[at : at + rng.randint(0, 3)] = rng.choice((b"", rng.randbytes(2), b"9", b'"', b"[[", b"-1"))
                given = dict(headers) if rng.random() < 0.9 else {}
                if rng.random() < 0.1:
                    given["content_encoding"] = rng.choice(("gzip", "deflate"))
                found = await answer(app, scope(**given), [bytes(damaged)])
                assert found.status == 200 or json.loads(found.body)["error"]
                counts[found.status] += 1
            assert min(counts.values()) > 20
            assert (await answer(app, scope(**headers), [whole])).status == 200

    asyncio.run(story())


def test_a_client_that_goes_and_a_server_that_ends(tmp_path: Path) -> None:
    """As Ray Serve and uvicorn say it."""
    ended: list[bool] = []

    async def end() -> None:
        ended.append(True)

    async def story() -> None:
        whole, headers = body()
        async with application(tmp_path, ended=end) as app:
            gone = Sent([whole[:9]])
            gone._coming[-1] = {"type": "http.disconnect"}
            await app(scope(**headers), gone.receive, gone.send)
            assert (gone.status, json.loads(gone.body)["error"]) == (400, "the client went before the body was there")
            events = iter(({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}))
            said: list[str] = []

            async def receive() -> Any:
                return next(events)

            async def send(event: Any) -> None:
                said.append(event["type"])

            await app({"type": "lifespan"}, receive, send)
            assert (said, ended) == (["lifespan.startup.complete", "lifespan.shutdown.complete"], [True])
            await app({"type": "websocket"}, receive, send)
            assert said[-1] == "websocket.close"

    asyncio.run(story())


def test_one_replica_of_several_keeps_its_models_and_tells_all_numbers(tmp_path: Path) -> None:
    async def story() -> None:
        whole, headers = body()
        async with application(tmp_path, replica=True) as app:
            app._shelf.places["m"].versions = 1
            for verb in ("load", "unload"):
                refused = await answer(app, scope(f"/v2/repository/models/m/{verb}"), [b""])
                assert (refused.status, b"one replica of several" in refused.body) == (400, True)
            assert (await answer(app, scope(**headers), [whole])).status == 200
            text = (await answer(app, scope("/metrics", "GET"), [])).body
            found = {
                (sample.labels["replica"], sample.name): sample.value
                for family in text_string_to_metric_families(merged({"a": (text, True), "b": (text, False)}).decode())
                for sample in family.samples
            }
            assert found["a", "chipwise_requests_total"] == found["b", "chipwise_requests_total"] == 1
            assert ("a", "chipwise_queue_length") in found
            assert ("b", "chipwise_queue_length") not in found, "nothing waits in a replica that ended"

    asyncio.run(story())
