"""What goes wrong while requests come: workers and servers killed, plans replaced, clients gone. Nothing is lost."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import queue
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

import chipwise
from chipwise.core.errors import ChipwiseError, InputError, MachineError, PlanError
from chipwise.serving.crew import WorkerDiedError, start_worker
from chipwise.serving.grpc_messages import message
from chipwise.serving.wire import Message

from .conftest import Running, Start, free_port


class Load:
    """Clients that ask all the time, and keep count of what they get.

    A connection that is refused was never taken; whatever was sent whole and has no right answer is lost.
    """

    def __init__(self, server: Running, pixels: np.ndarray, wanted: np.ndarray, clients: int = 3) -> None:
        tensors = [{"name": "x", "shape": [1, 1, 8, 8], "datatype": "FP32", "parameters": {"binary_data_size": 256}}]
        head = json.dumps({"inputs": tensors, "parameters": {"binary_data_output": True}}).encode()
        self._bodies = [head + row.tobytes() for row in pixels]
        self._headers = {"Inference-Header-Content-Length": str(len(head))}
        self._wanted, self._port, self._over = wanted, server.port, threading.Event()
        self.right, self.versions = 0, set[str]()
        self.lost: list[str] = []
        self._threads = [threading.Thread(target=self._ask, args=(index,)) for index in range(clients)]
        for thread in self._threads:
            thread.start()

    def wait_for(self, more: int) -> None:
        """Wait for so many more right answers."""
        until = self.right + more
        while self.right < until and not self.lost:
            time.sleep(0.01)

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    def _ask(self, index: int) -> None:
        while not self._over.is_set():
            index = (index + 1) % len(self._bodies)
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
            try:
                connection.connect()
            except ConnectionRefusedError:
                time.sleep(0.01)
                continue
            try:
                connection.request("POST", "/v2/models/digits/infer", self._bodies[index], self._headers)
                response = connection.getresponse()
                data = response.read()
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))
                continue
            finally:
                connection.close()
            self._judge(index, response, data)

    def _judge(self, index: int, response: http.client.HTTPResponse, data: bytes) -> None:
        if response.status != 200:
            self.lost.append(f"{response.status} {data.decode()}")
            return
        size = int(response.headers["Inference-Header-Content-Length"])
        self.versions.add(json.loads(data[:size])["model_version"])
        if not np.allclose(np.frombuffer(data[size:], np.float32), self._wanted[index], rtol=1e-5):
            self.lost.append("a wrong answer")
            return
        self.right += 1


def post(server: Running, path: str) -> tuple[int, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("POST", path)
    response = connection.getresponse()
    data = response.read()
    connection.close()
    return response.status, json.loads(data or b"{}")


@pytest.fixture
def plan(plans: Path, tmp_path: Path) -> Path:
    """A plan of digits that a test may write over."""
    return Path(shutil.copy(plans / "digits.plan", tmp_path))


def nothing_lost(server: Running, load: Load) -> dict[str, Any]:
    """What a server says at its end, once that is what its clients saw."""
    assert server.stop() == 0
    load.end()
    assert load.lost == []
    done: dict[str, Any] = json.loads(server.out.read_text())
    assert (done["models"][0]["answered"], done["models"][0]["failed"]) == (load.right, 0)
    return done


def test_workers_die_plans_are_replaced_and_the_server_ends(
    start: Start, plans: Path, plan: Path, pixels: np.ndarray, wanted: np.ndarray
) -> None:
    server = start(plan, "--workers", 2, "--max-latency", "50ms", "--json")
    load = Load(server, pixels, wanted)
    load.wait_for(20)

    for _ in range(2):
        os.kill(server.workers()[0], signal.SIGKILL)
        load.wait_for(20)
    assert load.lost == []

    shutil.copy(plans / "digits.plan", plan)
    assert post(server, "/v2/repository/models/digits/load") == (200, {})
    load.wait_for(20)
    assert load.versions == {"1", "2"}

    damaged = bytearray(plan.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    plan.write_bytes(damaged)
    status, said = post(server, "/v2/repository/models/digits/load")
    assert status == 400
    assert "is damaged" in said["error"]
    os.kill(server.workers()[0], signal.SIGKILL)  # its place is taken by one with the plan of before
    server.process.send_signal(signal.SIGHUP)
    load.wait_for(20)
    assert load.versions == {"1", "2"}
    assert load.lost == []

    done = nothing_lost(server, load)
    assert (done["schema"], done["models"][0]["name"]) == ("chipwise.serve/1", "digits")
    kinds = [event["event"] for event in server.events]
    assert kinds.count("opened") == 2
    assert kinds[-2:] == ["stopping", "stopped"]
    assert not any(Path(f"/proc/{pid}").exists() for pid in server.workers_seen)


def test_without_workers_plans_are_replaced_and_the_server_ends(
    start: Start, plan: Path, pixels: np.ndarray, wanted: np.ndarray
) -> None:
    server = start(plan, "--workers", 0, "--max-latency", "50ms", "--json")
    load = Load(server, pixels, wanted, clients=8)
    load.wait_for(50)
    assert server.workers() == []
    assert post(server, "/v2/repository/models/digits/load") == (200, {})
    load.wait_for(50)
    plan.write_bytes(plan.read_bytes()[:-40])
    assert post(server, "/v2/repository/models/digits/load")[0] == 400
    load.wait_for(50)
    assert load.versions == {"1", "2"}
    nothing_lost(server, load)


def test_workers_that_hang_are_replaced_and_nothing_is_lost(
    start: Start, plans: Path, pixels: np.ndarray, wanted: np.ndarray
) -> None:
    server = start(plans / "digits.plan", "--workers", 2, "--max-latency", "50ms", "--hang-after", "1s", "--json")
    load = Load(server, pixels, wanted)
    load.wait_for(20)

    def counted(name: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        (found,) = (line.split()[-1] for line in text.splitlines() if line.startswith(name))
        return int(float(found))

    hung = 0
    for count in (1, 1, 2):  # the last time all of them at once
        stopped = server.workers()[:count]
        for each in stopped:
            os.kill(each, signal.SIGSTOP)
        hung += count
        while counted("chipwise_worker_restarts_total") < hung and not load.lost:  # others are open in their places
            time.sleep(0.05)
        assert not set(stopped) & set(server.workers())
        load.wait_for(20)
    assert counted("chipwise_workers_hung_total") == hung
    nothing_lost(server, load)


def test_a_call_that_hangs_ends_with_its_worker(plans: Path) -> None:
    async def story() -> tuple[bool, float]:
        worker = await start_worker(plans / "mean.plan", None, 0.1)
        asked = Message("infer", arrays=(np.ones((1, 4), np.float32),))
        assert (await worker.call(asked)).kind == "done"
        os.kill(worker.process.pid, signal.SIGSTOP)
        with pytest.raises(WorkerDiedError):
            await worker.call(asked)
        await worker.close()
        return worker.hung, worker.facts.item_s

    hung, item_s = asyncio.run(story())
    assert hung
    assert 0 < item_s < 1, "the plan says how long an item took"


def test_an_answer_that_came_while_the_server_stood_still_is_taken(plans: Path) -> None:
    async def story() -> bool:
        worker = await start_worker(plans / "mean.plan", None, 0.1)
        asking = asyncio.ensure_future(worker.call(Message("infer", arrays=(np.ones((1, 4), np.float32),))))
        await asyncio.sleep(0)
        time.sleep(0.5)
        assert (await asking).kind == "done"
        await worker.close()
        return worker.hung

    assert not asyncio.run(story())


def test_clients_that_vanish_or_dawdle_harm_nobody(
    start: Start, plans: Path, pixels: np.ndarray, wanted: np.ndarray, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("secret-7\n")
    server = start(plans / "mean.plan", "--max-latency", "1s", "--token-file", tmp_path / "token")
    head = b"POST /v2/models/mean/infer HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer secret-7\r\n"
    body = json.dumps({"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}).encode()
    slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]
    for peer in slow:
        peer.sendall(head[:30])
    for cut in (len(head), len(head) + 10, -3, None):
        peer = socket.create_connection(("127.0.0.1", server.port))
        peer.sendall((head + b"Content-Length: %d\r\n\r\n" % len(body) + body)[:cut])
        peer.close()
    for authorization, status in ((None, 401), ("Bearer wrong", 401), ("secret-7", 401), ("Bearer secret-7", 200)):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        headers = {} if authorization is None else {"Authorization": authorization}
        connection.request("POST", "/v2/models/mean/infer", body, headers)
        response = connection.getresponse()
        assert response.status == status
        if status == 200:
            assert json.loads(response.read())["outputs"][0]["data"] == [0, 0, 0, 0]
        connection.close()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("GET", "/v2/health/ready")
    assert connection.getresponse().status == 200, "a probe needs no token"
    with socket.create_connection(("127.0.0.1", server.port)) as peer:
        peer.sendall(b"nonsense\r\n\r\n")
        assert peer.recv(100).startswith(b"HTTP/1.1 400")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("GET", "/metrics", headers={"Authorization": "Bearer secret-7"})
    assert b'chipwise_requests_refused_total{door="http",status="400"} 1.0' in connection.getresponse().read()
    calls = pytest.importorskip("tritonclient.grpc")
    with calls.InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as client:
        with pytest.raises(Exception, match="bearer token"):
            client.get_model_metadata("mean")
        told = client.get_model_config("mean", headers={"authorization": "Bearer secret-7"}, as_json=True)
    assert "max_batch_size" not in told["config"], "its answers depend on the batch, so nothing is joined"
    assert server.stop() == 0
    for peer in slow:
        peer.close()
    assert "secret-7" not in server.err.read_text()
    assert [event["event"] for event in server.events] == ["opened", "listening", "stopping", "stopped"]


def test_a_server_that_is_ended_while_it_opens_leaves_nothing(plans: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "chipwise", "serve", str(plans / "mean.plan"), "--port", str(free_port())]
    process = subprocess.Popen(command, env=os.environ | {"TMPDIR": str(tmp_path)}, stderr=subprocess.PIPE)
    while not list(tmp_path.glob("chipwise-serve-*/mean-1.plan")):
        assert process.poll() is None
        time.sleep(0.001)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said.decode()
    assert [json.loads(line)["event"] for line in said.splitlines()][-1] == "stopped"
    assert list(tmp_path.glob("chipwise-serve-*")) == []


def test_an_idle_stream_does_not_hold_up_the_end(start: Start, plans: Path) -> None:
    calls = pytest.importorskip("tritonclient.grpc")
    server = start(plans / "mean.plan", "--log-requests")
    found: queue.Queue[object] = queue.Queue()
    tensor = calls.InferInput("x", [1, 4], "FP32")
    tensor.set_data_from_numpy(np.ones((1, 4), np.float32))
    with calls.InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as client:
        client.start_stream(lambda result, error: found.put(error))
        for model in ("mean", "absent"):
            client.async_stream_infer(model, [tensor])
        assert found.get(timeout=30) is None
        assert "no model" in str(found.get(timeout=30))
        assert server.stop() == 0
    kinds = [event["event"] for event in server.events]
    assert kinds == ["opened", "listening", "request", "request", "stopping", "stopped"]
    assert [event["status"] for event in server.events if event["event"] == "request"] == [200, 404]


def certificate(folder: Path, name: str, *more: str) -> tuple[Path, Path]:
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name} -keyout {key} -out {cert}"
    subprocess.run([*command.split(), *more], check=True, capture_output=True)
    return cert, key


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")
def test_clients_show_their_certificates(start: Start, plans: Path, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    authorities = [certificate(tmp_path, name) for name in ("ours", "theirs")]
    leaf = ("-addext", "basicConstraints=critical,CA:FALSE")
    known, stranger = (
        certificate(tmp_path, f"{ca.stem}-client", "-CA", str(ca), "-CAkey", str(ca_key), *leaf)
        for ca, ca_key in authorities
    )
    server = start(plans / "half.plan", "--tls-cert", cert, "--tls-key", key, "--client-ca", authorities[0][0])

    def status(own: tuple[Path, Path] | None) -> int:
        context = ssl.create_default_context(cafile=str(cert))
        if own is not None:
            context.load_cert_chain(*own)
        connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=context, timeout=30)
        connection.request("GET", "/v2/models/half")
        return connection.getresponse().status

    def call(own: tuple[Path, Path]) -> str:
        pair = {"private_key": own[1].read_bytes(), "certificate_chain": own[0].read_bytes()}
        credentials = grpc.ssl_channel_credentials(cert.read_bytes(), **pair)
        with grpc.secure_channel(f"localhost:{server.grpc_port}", credentials) as channel:
            ask = channel.unary_unary("/inference.GRPCInferenceService/ServerMetadata")
            return message("ServerMetadataResponse").FromString(ask(b"", timeout=20)).name

    assert status(known) == 200
    assert call(known) == "chipwise"
    for own in (None, stranger):
        with pytest.raises((OSError, http.client.HTTPException)):
            status(own)
    with pytest.raises(grpc.RpcError):
        call(stranger)
    with pytest.raises((OSError, http.client.HTTPException)):
        post(server, "/v2/repository/index")
    assert server.stop() == 0


def test_what_cannot_be_served_ends_at_once(plans: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "digits.plan"
    damaged.write_bytes((plans / "digits.plan").read_bytes()[:-40])
    half = plans / "half.plan"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        told: list[tuple[Path, dict[str, object], type[ChipwiseError], str]] = [
            (damaged, {}, PlanError, "is not a plan file"),
            (tmp_path / "absent.plan", {}, PlanError, "cannot read plan"),
            (half, {"port": taken.getsockname()[1]}, MachineError, "Address already in use"),
            (half, {"max_latency_s": 0.0}, InputError, "latency bound is 0"),
            (half, {"workers": -1}, InputError, "workers is -1"),
            (half, {"hang_s": 0.0}, InputError, "calls that hang is 0"),
            (half, {"workers": 0, "hang_s": 1.0}, InputError, "hang-after is 1 s"),
            (half, {"replicas": 2}, InputError, "--replicas is for replicas on Ray"),
            (half, {"address": "auto"}, InputError, "--address is for replicas on Ray"),
            (half, {"on": "roy"}, InputError, "'roy'"),
            (half, {"on": "ray", "replicas": 2, "max_replicas": 3}, InputError, "or between"),
            (half, {"on": "ray", "min_replicas": 3, "max_replicas": 2}, InputError, "from 3 to 2"),
            (half, {"token_file": tmp_path / "absent"}, InputError, "cannot read token"),
            (half, {"tls_cert": tmp_path / "absent"}, InputError, "given together"),
            (half, {"tls_cert": tmp_path / "absent", "tls_key": half}, InputError, "No such file"),
            (half, {"tls_cert": half, "tls_key": half}, InputError, "cannot use"),
        ]
        for plan, options, kind, says in told:
            with pytest.raises(kind, match=says):
                chipwise.serve(plan, **({"port": free_port()} | options))
