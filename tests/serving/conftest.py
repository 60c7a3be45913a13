"""Small plans of every task, and servers that are processes of their own on loopback."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import chipwise
from chipwise.datasets import load as load_data

HEAD = '<ir_version: 9, opset_import: ["": 17]> g '
HALF = HEAD + "(float16[N,4] x) => (float16[N,4] y, float[N,4] z) { z = Cast <to = 1> (x)  y = Add(x, x) }"
DETECTOR = f"""{HEAD}
(float[1,3,32,32] x) => (float[1,2,4] boxes, float[1,2,2] scores)
{{ m = ReduceMin <keepdims=0> (x)
  boxes = Constant <value = float[1,2,4] {{0.0,0.0,0.5,1.0, 0.5,0.0,1.0,0.5}}> ()
  s = Constant <value = float[1,2,2] {{0.1,0.9, 0.8,0.2}}> ()
  scores = Add(s, m) }}"""
SEGMENTER = HEAD + "(float[N,3,16,16] x) => (float[N,3,16,16] y) { y = Neg(x) }"
MEAN = HEAD + "(float[N,4] x) => (float[N,4] y) { m = ReduceMean <axes = [0]> (x)  y = Sub(x, m) }"


def digits_network() -> onnx.ModelProto:
    """Nearest class mean on 8x8 digits: about 90%."""
    train = load_data("digits").split(0).train
    pixels = train.inputs.reshape(len(train.labels), 64).astype(np.float32) / 255
    means = np.stack([pixels[train.labels == digit].mean(axis=0) for digit in range(10)])
    bias = (-0.5 * (means**2).sum(axis=1)).astype(np.float32)
    model = onnx.parser.parse_model(
        HEAD + "(float[N,1,8,8] x) => (float[N,10] y) { f = Flatten(x)  y = Gemm <transB = 1> (f, w, b) }"
    )
    model.graph.initializer.extend([numpy_helper.from_array(means, "w"), numpy_helper.from_array(bias, "b")])
    return model


def make_plan(path: Path, model: onnx.ModelProto | str, **options: object) -> Path:
    network = path.with_suffix(".onnx")
    onnx.save(onnx.parser.parse_model(model) if isinstance(model, str) else model, network)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("chipwise.compiler.race._PAUSE_S", 0.0)
        patch.setattr("chipwise.clock.interleave._BLOCK_S", 0.002)
        chipwise.compile(network, output=path, budget_s=0.5, runtimes=["onnxruntime"], **options)
    return path


@pytest.fixture(scope="session")
def plans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the plans digits, half, detector, segmenter and mean."""
    folder = tmp_path_factory.mktemp("plans")
    (folder / "names.txt").write_text("zero one two three four five six seven eight nine".replace(" ", "\n"))
    make_plan(folder / "digits.plan", digits_network(), data="digits", labels=folder / "names.txt")
    make_plan(folder / "half.plan", HALF, task="tensor")
    make_plan(folder / "detector.plan", DETECTOR, task="detection:corners", preprocess="scale=1/255")
    make_plan(folder / "segmenter.plan", SEGMENTER, task="segmentation", preprocess="scale=1/255")
    make_plan(folder / "mean.plan", MEAN, task="tensor")
    return folder


@pytest.fixture(scope="session")
def pixels() -> np.ndarray:
    """Digits as the network takes them, float32 [12, 1, 8, 8]."""
    return load_data("digits").inputs[:12].reshape(12, 1, 8, 8).astype(np.float32) / 255


@pytest.fixture(scope="session")
def wanted(plans: Path, pixels: np.ndarray) -> np.ndarray:
    """What the network says of them, float32 [12, 10]."""
    return chipwise.load(plans / "digits.plan").run(pixels)["y"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Running:
    """A server process."""

    process: subprocess.Popen[bytes]
    port: int
    grpc_port: int
    out: Path
    err: Path
    workers_seen: set[int] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def events(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.err.read_text().splitlines()]

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        self.workers_seen |= set(map(int, children))
        return [int(pid) for pid in children]

    def stop(self) -> int:
        if self.process.poll() is None:
            self.workers()
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


Start = Callable[..., Running]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts servers, and ends them."""
    running: list[Running] = []

    def begin(*arguments: object) -> Running:
        folder = tmp_path_factory.mktemp("server")
        port, grpc_port = free_port(), free_port()
        command = [sys.executable, "-m", "chipwise", "serve", *map(str, arguments)]
        command += ["--port", str(port), *([] if "ray" in arguments else ["--grpc-port", str(grpc_port)])]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
            process = subprocess.Popen(command, stdout=out, stderr=err, env=environment)
        server = Running(process, port, grpc_port, folder / "out", folder / "err")
        running.append(server)
        while '"listening"' not in server.err.read_text():
            assert process.poll() is None, server.err.read_text()
            time.sleep(0.05)
        return server

    yield begin
    for server in running:
        server.stop()
