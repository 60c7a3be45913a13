"""Servers under load: started as processes, asked in their own protocol, checked to answer right, ended.

`NAME-batched` is the same server with its batching; chipwise joins requests as far as the bound on latency allows.
`chipwise-inside` runs the plan in the server's own process (`--workers 0`), as FastAPI's application does.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from load_client import Address, once

HERE = Path(__file__).parent
KINDS = {"chipwise": "chipwise", "fastapi": "fastapi", "litserve": "litserve", "mlserver": "mlserver"}  # its package
NAMES = (
    "chipwise", "chipwise-batched", "chipwise-inside", "chipwise-inside-batched",
    "fastapi", "litserve", "litserve-batched", "mlserver", "mlserver-batched",
)  # fmt: skip
MOST_JOINED = 32
_READY_S = 120.0
_JSON, _BYTES = "application/json", "application/octet-stream"
_VERSIONS = """
import importlib.metadata as known, json, sys
print(json.dumps({name: known.version(name) for name in sys.argv[1:] if any(known.distributions(name=name))}))
"""


@dataclass(frozen=True)
class Served:
    """What every server is given: the plan and its graph, an item, and the right answer to it.

    Attributes:
        name: of the network; plan: its file; model: its graph as ONNX.
        taken: name of its input.
        item: float32 [1, ...]; answer: float32, flat.
    """

    name: str
    plan: Path
    model: Path
    taken: str
    item: NDArray[np.float32]
    answer: NDArray[np.float32]


@dataclass(frozen=True)
class Server:
    """A process that listens."""

    name: str
    process: subprocess.Popen[bytes]
    address: Address
    request: bytes

    def end(self) -> None:
        """Kill it and all that it started."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def kind_of(name: str) -> str:
    """The server of a name, batched or not."""
    return name.partition("-")[0]


def installed(python: str, packages: list[str]) -> dict[str, str]:
    """Versions of those packages that an environment has."""
    done = subprocess.run([python, "-c", _VERSIONS, *packages], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def start(name: str, served: Served, *, python: str, workers: int, threads: int, bound: str) -> Server:
    """Start a server, and wait until it answers right.

    Raises:
        SystemExit: it ended, did not answer in two minutes, or answers something else.
    """
    batched, ports = name.endswith("-batched"), free_ports(3)
    if kind_of(name) == "chipwise":
        command = [sys.executable, "-m", "chipwise", "serve", str(served.plan), "--port", str(ports[0])]
        command += [
            "--workers",
            str(0 if "-inside" in name else workers),
            "--queue",
            "4096",
            *(["--max-latency", bound] if batched else []),
        ]
    else:
        command = [python, str(HERE / f"serve_{kind_of(name)}.py"), str(served.model), "--ports", *map(str, ports)]
        command += ["--workers", str(workers), "--threads", str(threads)]
        command += ["--batch", str(MOST_JOINED if batched else 1)]
    silent = subprocess.DEVNULL
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    process = subprocess.Popen(command, stdout=silent, stderr=silent, start_new_session=True, env=environment)
    server = Server(name, process, ("127.0.0.1", ports[0]), request_of(kind_of(name), served))
    try:
        _check(server, served)
    except BaseException:
        server.end()
        raise
    return server


def _check(server: Server, served: Served) -> None:
    until = time.monotonic() + _READY_S
    while time.monotonic() < until:
        if server.process.poll() is not None:
            break
        try:
            good, body = once(server.address, server.request)
        except OSError:
            good = False
        if good:
            found = answer_of(kind_of(server.name), body, served)
            if not np.allclose(found, served.answer, rtol=1e-3, atol=1e-4):
                raise SystemExit(f"{server.name} answers something else on {served.name}")
            return
        time.sleep(0.1)
    raise SystemExit(f"{server.name} did not serve {served.name}: {' '.join(map(str, server.process.args))}")  # type: ignore[arg-type]


def request_of(kind: str, served: Served) -> bytes:
    """The bytes of a request for one item."""
    tensor = served.item.tobytes()
    facts: dict[str, Any] = {"name": served.taken, "shape": list(served.item.shape), "datatype": "FP32"}
    if kind == "chipwise":
        facts |= {"parameters": {"binary_data_size": len(tensor)}}
        head = json.dumps({"inputs": [facts], "parameters": {"binary_data_output": True}}).encode()
        length = f"Inference-Header-Content-Length: {len(head)}\r\n"
        return _post(f"/v2/models/{served.plan.stem}/infer", head + tensor, _BYTES, length)
    if kind == "mlserver":
        facts |= {"shape": [1, 1], "datatype": "BYTES", "data": [base64.b64encode(tensor).decode()]}
        return _post("/v2/models/model/infer", json.dumps({"inputs": [facts]}).encode(), _JSON)
    return _post("/infer", tensor, _BYTES)


def answer_of(kind: str, body: bytes, served: Served) -> NDArray[np.float32]:
    """The values in the body of an answer, flat."""
    if kind == "mlserver":
        body = base64.b64decode(json.loads(body)["outputs"][0]["data"][0])
    return np.frombuffer(body[-served.answer.nbytes :], np.float32)  # JSON may stand in front


def _post(path: str, body: bytes, kind: str, more: str = "") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: load\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports
