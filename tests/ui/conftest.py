"""The what-if page as a process of its own, on a port that it found itself."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnx.parser
import pytest

GRAPH = """<ir_version: 9, opset_import: ["": 17]> mine (float[N,3,16,16] x) => (float[N,3,16,16] y)
{ y = Relu (x) }"""


@dataclass
class Shown:
    """A page that is shown."""

    process: subprocess.Popen[str]
    url: str

    @property
    def port(self) -> int:
        return int(self.url.rstrip("/").rpartition(":")[2])

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body; underscores in names of headers stand for dashes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response.status, {name.lower(): text for name, text in response.getheaders()}, body

    def document(self, path: str) -> dict[str, Any]:
        status, _, body = self.ask(path)
        assert status == 200, body
        return dict(json.loads(body))

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(60)


def begin(*arguments: object) -> Shown:
    command = [sys.executable, "-m", "chipwise", "ui", "--no-open", "--json", *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    document = json.loads("".join(process.stdout.readline() for _ in range(4)))
    assert document["schema"] == "chipwise.ui/1"
    return Shown(process, document["url"])


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "mine.onnx"
    onnx.save(onnx.parser.parse_model(GRAPH), path)
    return path


@pytest.fixture(scope="module")
def shown(network: Path) -> Iterator[Shown]:
    found = begin(network)
    yield found
    found.stop()
