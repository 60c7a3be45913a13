"""OpenVINO in a process that also hears signals: what it leaves behind in the thread that used it."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.runtime

_ENGINES_THEN_A_CHILD = """
import gc, signal, subprocess, threading

import onnx
from onnx import TensorProto, helper

from chipwise import runtimes

graph = helper.make_graph(
    [helper.make_node("Relu", ["x"], ["y"])],
    "g",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()
openvino = runtimes.load("openvino")


def build():
    return [openvino.build_default(model) for _ in range(2)]


def let_go(engines):
    while engines:
        engines.pop(0)
        gc.collect()


let_go(build())  # in the order in which they came
away = build()
thread = threading.Thread(target=let_go, args=(away,))
del away
thread.start()
thread.join()
signal.signal(signal.SIGCHLD, lambda *_: print("heard"))
subprocess.run(["true"], check=True)
"""


def test_a_process_that_let_go_of_its_engines_lives_through_a_signal() -> None:
    """Signal stacks that OpenVINO had unmapped killed such processes: see `chipwise.runtimes.openvino.core`."""
    pytest.importorskip("openvino")
    done = subprocess.run([sys.executable, "-c", _ENGINES_THEN_A_CHILD], capture_output=True, text=True, check=False)
    assert done.returncode != -signal.SIGSEGV, "killed by a signal stack that is no more"
    assert (done.returncode, done.stdout.strip()) == (0, "heard"), done.stderr
