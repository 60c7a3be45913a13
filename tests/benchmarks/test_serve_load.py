"""The load benchmark's parts: its client against a server of this process, its search, its document, its picture."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

import load_servers
import serve_load
from load_chart import knee, load_curves
from load_client import Load, closed, offered, once, whole

LARGE = 3_000_000  # bytes that no socket takes at once


class Echo(BaseHTTPRequestHandler):
    """Sends back what it gets; refuses "no"; hangs up on "bye"."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body == b"bye":
            self.close_connection = True
            return
        self.send_response(503 if body == b"no" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    request_queue_size = 256  # of 5, as is usual, the rest of many connections at once waits for seconds


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    server = Server(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield ("127.0.0.1", server.server_address[1])
    server.shutdown()
    server.server_close()


def post(body: bytes) -> bytes:
    return b"POST /infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def test_bodies_come_whole(address: tuple[str, int]) -> None:
    body = np.random.default_rng(0).bytes(LARGE)
    assert once(address, post(body)) == (True, body)
    assert once(address, post(b"no")) == (False, b"no")
    assert once(address, post(b"bye")) == (False, b"")


def test_whole_answers() -> None:
    head = b"HTTP/1.1 200 OK\r\nserver: x\r\ncontent-length: 3\r\n\r\n"
    assert [whole(head[:-1]), whole(head + b"ab"), whole(head + b"abc")] == [None, None, True]
    assert whole(head.replace(b"200", b"503") + b"abc") is False
    with pytest.raises(SystemExit, match="without Content-Length"):
        whole(b"HTTP/1.1 200 OK\r\n\r\n")


def test_clients_that_ask_again(address: tuple[str, int]) -> None:
    load = closed(address, post(b"abc"), clients=3, seconds=0.2)
    assert len(load.latencies_s) > 0
    assert load.failed == 0
    for body in (b"no", b"bye"):
        load = closed(address, post(body), clients=2, seconds=0.1)
        assert load.failed > 0
        assert not load.latencies_s


def test_slow_answers_are_waited_for(monkeypatch: pytest.MonkeyPatch, address: tuple[str, int]) -> None:
    monkeypatch.setattr("load_client.PATIENCE", 1e6)
    assert len(closed(address, post(b"abc"), clients=3, seconds=1e-5).latencies_s) >= 3


def test_an_offered_load_is_all_answered_or_failed(address: tuple[str, int]) -> None:
    load = offered(address, post(b"abc"), rate=100, seconds=0.2)
    assert (len(load.latencies_s), load.failed) == (20, 0)
    load = offered(address, post(b"no"), rate=100, seconds=0.2)
    assert (len(load.latencies_s), load.failed) == (0, 20)


def test_failures_count_as_never() -> None:
    load = Load([0.3, 0.1, 0.2], failed=1, seconds=1.0, client_s=0.0)
    assert (load.quantile_s(0.5), load.quantile_s(0.75), load.quantile_s(0.99)) == (0.2, 0.3, float("inf"))
    assert Load([], failed=0, seconds=1.0, client_s=0.0).quantile_s(0.5) == float("inf")


def test_the_highest_rate_is_found_by_turns() -> None:
    limits, asked = {"a": 70.0, "b": 0.0}, []

    def holds(name: str, rate: float, step: int) -> bool:
        asked.append((step, name))
        return rate <= limits[name]

    found = serve_load.highest({"a": 100.0, "b": 100.0}, holds, 7)
    assert 70 - 100 / 2**7 <= found["a"] <= 70
    assert found["b"] == 0
    assert asked[:4] == [(0, "a"), (0, "b"), (1, "a"), (1, "b")]


def test_ratios_are_of_the_same_round() -> None:
    def loads(*counts: int) -> dict[int, list[Load]]:
        return {32: [Load([0.1] * count, 0, 1.0, 0.5) for count in counts]}

    rows = {"chipwise": loads(10, 40, 30), "fastapi": loads(5, 10, 30)}
    assert serve_load.against(rows, "chipwise", "fastapi") == {32: {"low": 1.0, "mid": 2.0, "high": 4.0}}
    row = serve_load.told(rows["chipwise"], 0.01)["32"]
    assert row["requests_s"] == {"low": 10.0, "mid": 30.0, "high": 40.0}
    assert row["compute_share"] == pytest.approx(0.3)
    assert row["client_share"] == 0.5
    assert json.dumps(serve_load.spread([1.0, float("inf"), 2.0])) == '{"low": 1.0, "mid": 2.0, "high": null}'


def test_each_server_is_asked_in_its_own_words() -> None:
    item, answer = np.arange(4, dtype=np.float32)[None], np.array([7.0, 8.0], np.float32)
    served = load_servers.Served("net", Path("net.plan"), Path("net.onnx"), "x", item, answer)
    head, _, body = load_servers.request_of("fastapi", served).partition(b"\r\n\r\n")
    assert (b"POST /infer " in head, body) == (True, item.tobytes())
    head, _, body = load_servers.request_of("chipwise", served).partition(b"\r\n\r\n")
    length = int(head.rpartition(b"Inference-Header-Content-Length: ")[2])
    assert b"/v2/models/net/infer" in head
    assert json.loads(body[:length])["inputs"][0]["parameters"] == {"binary_data_size": 16}
    assert body[length:] == item.tobytes()
    body = load_servers.request_of("mlserver", served).partition(b"\r\n\r\n")[2]
    assert base64.b64decode(json.loads(body)["inputs"][0]["data"][0]) == item.tobytes()
    told = json.dumps({"outputs": [{"data": [base64.b64encode(answer.tobytes()).decode()]}]}).encode()
    assert load_servers.answer_of("mlserver", told, served).tolist() == [7, 8]
    assert load_servers.answer_of("chipwise", b"{}" + answer.tobytes(), served).tolist() == [7, 8]


def test_the_knee_and_the_picture() -> None:
    points = [(float(rate), 0.001 / (1.01 - rate / 10)) for rate in range(1, 11)]
    assert 7 <= knee(points) <= 9
    assert knee(points[:1]) == 0
    drawn = load_curves({"net": {"chipwise": points, "chipwise-batched": points[:1], "fastapi": points}}, 0.007)
    assert ET.fromstring(drawn).tag.endswith("svg")
    lost = {"a": {"points": [{"requests_s": 1.0, "p99_s": 0.1}, {"requests_s": 2.0, "p99_s": None}]}}
    assert serve_load.finite(lost | {"b": {"points": lost["a"]["points"][1:]}}) == {"a": [(1.0, 0.1)]}


def test_the_command_line() -> None:
    options = serve_load.parse(["--latency", "7ms", "--servers", "chipwise", "fastapi"])
    assert (options.latency_s, options.servers) == (0.007, ["chipwise", "fastapi"])
    assert {load_servers.kind_of(name) for name in load_servers.NAMES} == set(load_servers.KINDS)
    for kind in set(load_servers.KINDS) - {"chipwise"}:
        assert (load_servers.HERE / f"serve_{kind}.py").is_file()


def test_a_wrong_answer_is_no_failure(address: tuple[str, int]) -> None:
    asked = iter([True, False] * 50)
    load = offered(address, post(b"hello"), rate=100, seconds=0.2, right=lambda body: body == b"hello" and next(asked))
    assert (len(load.latencies_s), load.wrong, load.failed) == (10, 10, 0)


def test_whatever_of_ours_is_quickest_counts() -> None:
    slow, quick = ({"1": {"low": mid - 0.1, "mid": mid, "high": mid + 0.1}} for mid in (0.5, 1.2))
    row = {"faster_than": {"chipwise": {"fastapi": slow}, "chipwise-inside": {"fastapi": quick}}}
    assert [ratio["mid"] for ratio in serve_load.ratios_of(row)] == [1.2]
    assert list(serve_load.ratios_of({"faster_than": {}})) == []
