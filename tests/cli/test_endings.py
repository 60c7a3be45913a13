"""How a command ends when it is interrupted or nobody reads its answer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import onnx
import onnx.parser

from chipwise.codec.plan_file import read_plan

RELU = '<ir_version: 8, opset_import: ["" : 17]> g (float[N, 8] x) => (float[N, 8] y) { y = Relu(x) }'
CHIPWISE = [sys.executable, "-m", "chipwise"]


def test_interrupted_compile_leaves_its_first_plan(tmp_path: Path) -> None:
    network, output = tmp_path / "relu.onnx", tmp_path / "x.plan"
    onnx.save(onnx.parser.parse_model(RELU), network)
    process = subprocess.Popen(
        [*CHIPWISE, "compile", str(network), "-o", str(output), "--budget", "60s"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not output.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    answer, said = process.communicate(timeout=60)
    assert (process.returncode, answer) == (130, "")
    assert said.splitlines()[-1] == "interrupted"
    assert "Traceback" not in said
    assert not read_plan(output).manifest.complete


def test_answer_that_nobody_reads_is_no_failure() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*CHIPWISE, "inspect", "lenet5", "--json"], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
