"""What a server under load loses when things go wrong: answers that never came, and wrong ones, fault by fault.

    python benchmarks/serve_faults.py --output benchmarks/results/MACHINE/serve_faults.json
    python benchmarks/serve_faults.py --times 2 --requests 2000

LeNet-5 (random weights) on `chipwise serve` with two workers and batching. Three clients ask all the time, each answer
is held against the plan's own; meanwhile the fault happens `--times` times (or `--requests` malformed requests come).

lost    requests that were sent whole and had no answer, or one that refuses them. A connection that is not taken any
        more (the server ends) was never a request.
wrong   answers with other numbers than the plan's.
right   answers to the clients while the fault went on.

What each fault has to say for itself stands beside: how its own requests were refused, and whether that is what they
should have had (`as_meant`). The last line on stdout is one JSON document. Exit code 1: something was lost or wrong.
"""

from __future__ import annotations

import gzip
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from document import command_line, give, here
from load_servers import Served, free_ports, request_of
from serve_load import prepared

CLIENTS, WORKERS, QUEUE = 3, 2, 64
BETWEEN = 50  # right answers between one fault and the next
MALFORMED = frozenset({400, 404, 413, 415, 422})
_PATIENCE_S = 120.0
Told = dict[str, Any]


class Ground:
    """A server, and clients that keep count of what they get."""

    def __init__(self, served: Served, folder: Path) -> None:
        self.served, self.plan = served, folder / served.plan.name
        shutil.copy(served.plan, self.plan)
        self.port, *_ = free_ports(1)
        command = [sys.executable, "-m", "chipwise", "serve", str(self.plan), "--port", str(self.port)]
        command += ["--workers", str(WORKERS), "--queue", str(QUEUE), "--max-latency", "50ms"]
        with (folder / "log").open("wb") as log:
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, env=environment)
        self.head, _, self.body = request_of("chipwise", served).partition(b"\r\n\r\n")
        lines = [line.partition(": ") for line in self.head.decode().split("\r\n")[1:]]
        self.headers = {key: value for key, _, value in lines if key not in {"Host", "Content-Length"}}
        self.path = f"/v2/models/{self.plan.stem}/infer"
        self.right = self.wrong = 0
        self.lost: list[str] = []
        self._over, self._lock = threading.Event(), threading.Lock()
        self._clients: list[threading.Thread] = []
        self._until_it_answers()

    def _until_it_answers(self) -> None:
        until = time.monotonic() + _PATIENCE_S
        while time.monotonic() < until and self.process.poll() is None:
            try:
                if self.ask("GET", "/v2/health/ready")[0] == 200:
                    return
            except OSError:
                time.sleep(0.1)
        raise SystemExit("the server did not begin")

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """One request on a connection of its own: status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE_S)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def workers(self) -> list[int]:
        """Processes that compute."""
        pid = self.process.pid
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def begin(self) -> None:
        """Let the clients ask."""
        self._over.clear()
        self._clients = [threading.Thread(target=self._client) for _ in range(CLIENTS)]
        for client in self._clients:
            client.start()

    def end(self) -> None:
        """Let them stop."""
        self._over.set()
        for client in self._clients:
            client.join()

    def wait(self, more: int = BETWEEN) -> None:
        """Until so many more right answers have come.

        Raises:
            SystemExit: they do not come.
        """
        wanted, until = self.right + more, time.monotonic() + _PATIENCE_S
        while self.right < wanted:
            if time.monotonic() > until:
                raise SystemExit(f"no answers any more; lost: {self.lost[:3]}")
            time.sleep(0.002)

    def _client(self) -> None:
        while not self._over.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE_S)
            try:
                connection.connect()
            except ConnectionRefusedError:
                time.sleep(0.01)
                continue
            try:
                connection.request("POST", self.path, self.body, self.headers)
                response = connection.getresponse()
                self._judge(response.status, response.read())
            except (OSError, http.client.HTTPException) as error:
                with self._lock:
                    self.lost.append(repr(error))
            finally:
                connection.close()

    def _judge(self, status: int, data: bytes) -> None:
        with self._lock:
            if status != 200:
                self.lost.append(f"{status} {data[:200]!r}")
            elif self.is_right(data):
                self.right += 1
            else:
                self.wrong += 1

    def is_right(self, data: bytes) -> bool:
        """Whether an answer ends with the plan's own numbers."""
        wanted = self.served.answer
        found = np.frombuffer(data[-wanted.nbytes :], np.float32)
        return found.shape == wanted.shape and bool(np.allclose(found, wanted, rtol=1e-3, atol=1e-4))


def main() -> int:
    """All faults; 0 where nothing was lost or wrong, and all was as meant."""
    parser = command_line(__doc__)
    parser.add_argument("--times", type=int, default=20, help="that each fault happens")
    parser.add_argument("--requests", type=int, default=100_000, help="that are malformed")
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=list(FAULTS))
    options = parser.parse_args()
    found: dict[str, Told] = {}
    with tempfile.TemporaryDirectory() as folder:
        served, _ = prepared("lenet5", Path(folder), 1)
        for name in options.faults:
            number = options.requests if name == "malformed_requests" else options.times
            found[name] = counted(served, FAULTS[name], number)
            print(name, found[name], file=sys.stderr, flush=True)
    ok = all(row["as_meant"] and not row["lost"] and not row["wrong"] for row in found.values())
    give("serve_faults", {**here(), "clients": CLIENTS, "workers": WORKERS, "faults": found, "ok": ok}, options.output)
    return 0 if ok else 1


def counted(served: Served, fault: Callable[[Ground, int], Told], times: int) -> Told:
    """A fault on a server of its own."""
    with tempfile.TemporaryDirectory() as folder, running(served, Path(folder)) as ground:
        ground.begin()
        ground.wait()
        begun = time.monotonic()
        told = fault(ground, times)
        if ground.process.poll() is None:
            ground.wait()
        ground.end()
        seconds = time.monotonic() - begun
    return {"times": times, "seconds": seconds, "right": ground.right, "lost": len(ground.lost), "wrong": ground.wrong,
            **told, "examples_lost": ground.lost[:3]}  # fmt: skip


@contextmanager
def running(served: Served, folder: Path) -> Iterator[Ground]:
    """A server with its clients, ended whatever happens."""
    ground = Ground(served, folder)
    try:
        yield ground
    finally:
        ground.end()
        ground.process.terminate()
        ground.process.wait(_PATIENCE_S)


def worker_killed(ground: Ground, times: int) -> Told:
    """A worker process ends by SIGKILL."""
    killed = set()
    for _ in range(times):
        killed.add(pid := ground.workers()[0])
        os.kill(pid, signal.SIGKILL)
        ground.wait()
    return {"killed": len(killed), "as_meant": len(killed) == times}


def server_ended(ground: Ground, times: int) -> Told:
    """SIGTERM while requests are being answered; as often, each a server of its own."""
    codes = [_ended(ground)]
    ground.end()
    for _ in range(times - 1):
        with tempfile.TemporaryDirectory() as folder, running(ground.served, Path(folder)) as other:
            other.begin()
            other.wait()
            codes.append(_ended(other))
            other.end()
            ground.right, ground.wrong = ground.right + other.right, ground.wrong + other.wrong
            ground.lost += other.lost
    return {"exit_codes": dict(Counter(codes)), "as_meant": set(codes) == {0}}


def _ended(ground: Ground) -> int:
    ground.process.send_signal(signal.SIGTERM)
    return ground.process.wait(_PATIENCE_S)


def plan_replaced(ground: Ground, times: int) -> Told:
    """A new version of the plan is loaded."""
    statuses = Counter[int]()
    for _ in range(times):
        shutil.copy(ground.served.plan, ground.plan)
        statuses[_reload(ground)[0]] += 1
        ground.wait()
    return {"statuses": dict(statuses), "as_meant": set(statuses) == {200}}


def damaged_plan(ground: Ground, times: int) -> Told:
    """A file with one bit changed is offered: refused, and the old version goes on."""
    rng, whole, said = random.Random(0), ground.served.plan.read_bytes(), Counter[str]()
    for _ in range(times):
        damaged = bytearray(whole)
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        ground.plan.write_bytes(damaged)
        status, data = _reload(ground)
        said[f"{status} {'with' if b'error' in data else 'without'} a reason"] += 1
        ground.wait()
    return {"said": dict(said), "as_meant": set(said) == {"400 with a reason"}}


def _reload(ground: Ground) -> tuple[int, bytes]:
    return ground.ask("POST", f"/v2/repository/models/{ground.plan.stem}/load")


def clients_gone(ground: Ground, times: int) -> Told:
    """Clients go in the middle of their request, and just after it."""
    whole, rng = ground.head + b"\r\n\r\n" + ground.body, random.Random(0)
    for _ in range(25 * times):
        with socket.create_connection(("127.0.0.1", ground.port)) as peer:
            peer.sendall(whole[: rng.choice((rng.randrange(len(whole)), len(whole)))])
    ground.wait()
    return {"gone": 25 * times, "as_meant": True}


def slow_clients(ground: Ground, times: int) -> Told:
    """Slow-loris: heads that come a byte a second, until the server has closed all of them."""
    peers = [socket.create_connection(("127.0.0.1", ground.port)) for _ in range(10 * times)]
    begun, at = time.monotonic(), 0
    left, lasted = peers, 0.0
    while left and time.monotonic() < begun + _PATIENCE_S:
        left = [peer for peer in left if _dribbled(peer, ground.head[at : at + 1])]
        at, lasted = at + 1, time.monotonic() - begun
        time.sleep(1)
    return {"connections": len(peers), "closed": len(peers) - len(left), "closed_after_s": lasted, "as_meant": not left}


def _dribbled(peer: socket.socket, byte: bytes) -> bool:
    """Whether a connection takes one more byte."""
    peer.setblocking(False)
    try:
        if peer.recv(1000) == b"":
            return False
    except BlockingIOError:
        pass
    except OSError:
        return False
    try:
        return peer.send(byte) == 1
    except OSError:
        return False


def large_claims(ground: Ground, times: int) -> Told:
    """Heads and tensors that claim 2 GiB and more, which is not sent."""
    most, statuses = 2 << 30, Counter[int]()
    shapes = ([most], [1 << 40], [1 << 20, 1 << 20, 1 << 20], [-1])
    for turn in range(times):
        facts = {"name": ground.served.taken, "shape": shapes[turn % len(shapes)], "datatype": "FP32"}
        head = json.dumps({"inputs": [facts | {"parameters": {"binary_data_size": most}}]}).encode()
        statuses[ground.ask("POST", ground.path, head, {"Inference-Header-Content-Length": str(len(head))})[0]] += 1
        statuses[ground.ask("POST", ground.path, head, {"Inference-Header-Content-Length": str(most)})[0]] += 1
        with socket.create_connection(("127.0.0.1", ground.port), timeout=_PATIENCE_S) as peer:
            peer.sendall(f"POST {ground.path} HTTP/1.1\r\nHost: a\r\nContent-Length: {most}\r\n\r\n".encode())
            statuses[int(peer.recv(100).split()[1])] += 1
    return {"statuses": dict(statuses), "as_meant": set(statuses) <= MALFORMED, **_memory(ground)}


def gzip_bombs(ground: Ground, times: int) -> Told:
    """Bodies that grow a thousand times."""
    bomb, before, statuses = gzip.compress(bytes(200 << 20)), _memory(ground), Counter[int]()
    for _ in range(times):
        statuses[ground.ask("POST", ground.path, bomb, {"Content-Encoding": "gzip"})[0]] += 1
    as_meant = set(statuses) <= MALFORMED
    return {
        "statuses": dict(statuses),
        "sent_bytes": len(bomb),
        "as_meant": as_meant,
        "before": before,
        **_memory(ground),
    }


def _memory(ground: Ground) -> dict[str, int]:
    """The most memory that the process which listens ever had, in bytes."""
    lines = Path(f"/proc/{ground.process.pid}/status").read_text().splitlines()
    return {"peak_bytes": next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))}


def malformed_requests(ground: Ground, times: int) -> Told:
    """JSON and binary requests with bytes changed, cut and doubled: a refusal with a reason, or an answer."""
    size = int(ground.headers["Inference-Header-Content-Length"])
    values = [float(value) for value in ground.served.item.ravel()]
    facts = {"name": ground.served.taken, "shape": list(ground.served.item.shape), "datatype": "FP32", "data": values}
    kinds = ((ground.body, size), (json.dumps({"inputs": [facts]}).encode(), 0))
    rng, statuses, silent = random.Random(0), Counter[int](), 0
    connection = http.client.HTTPConnection("127.0.0.1", ground.port, timeout=_PATIENCE_S)
    for turn in range(times):
        body, head = _malformed(*kinds[turn % 2], rng)
        headers = {"Inference-Header-Content-Length": str(head)} if head else {}
        connection.request("POST", ground.path, body, headers)
        response = connection.getresponse()
        data = response.read()
        statuses[response.status] += 1
        silent += response.status != 200 and b'"error"' not in data
    connection.close()
    as_meant = not silent and set(statuses) <= MALFORMED | {200}
    return {"statuses": dict(statuses), "without_a_reason": silent, "as_meant": as_meant, **_memory(ground)}


def _malformed(whole: bytes, head: int, rng: random.Random) -> tuple[bytes, int]:
    """A request with damage in its JSON, and what it says the JSON's length is (0: all)."""
    body, end = bytearray(whole), head or len(whole)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(end)
        put = rng.choice((b"", rng.randbytes(2), b"9", b'"', b"[[", b"-1", b"1e999", b"{}", b"null", body[:at]))
        body[at : at + rng.randint(0, 3)] = put[:200]
    return bytes(body), max(head and head + rng.choice((0, 0, 0, len(body) - len(whole), -1, 1, 500)), 0)


def full_queue(ground: Ground, times: int) -> Told:
    """Many more at once than the queue holds: each is answered right, or refused at once with when to come again."""
    ground.end()  # these clients are not to be refused
    said, lock = Counter[str](), threading.Lock()

    def ask() -> None:
        for _ in range(times):
            connection = http.client.HTTPConnection("127.0.0.1", ground.port, timeout=_PATIENCE_S)
            connection.request("POST", ground.path, ground.body, ground.headers)
            response = connection.getresponse()
            data, again = response.read(), response.headers.get("Retry-After")
            connection.close()
            with lock:
                if response.status == 503 and again:
                    said["refused with Retry-After"] += 1
                elif response.status == 200:
                    said["right" if ground.is_right(data) else "wrong"] += 1
                else:
                    said[f"{response.status}"] += 1

    held = ground.workers()
    for pid in held:
        os.kill(pid, signal.SIGSTOP)
    crowd = [threading.Thread(target=ask) for _ in range(8 * QUEUE)]
    for each in crowd:
        each.start()
    time.sleep(2)
    for pid in held:
        os.kill(pid, signal.SIGCONT)
    for each in crowd:
        each.join()
    ground.begin()
    return {"said": dict(said), "as_meant": set(said) == {"right", "refused with Retry-After"}}


FAULTS: dict[str, Callable[[Ground, int], Told]] = {
    "worker_killed": worker_killed,
    "server_ended": server_ended,
    "plan_replaced": plan_replaced,
    "damaged_plan": damaged_plan,
    "clients_gone": clients_gone,
    "slow_clients": slow_clients,
    "large_claims": large_claims,
    "gzip_bombs": gzip_bombs,
    "full_queue": full_queue,
    "malformed_requests": malformed_requests,
}

if __name__ == "__main__":
    sys.exit(main())
