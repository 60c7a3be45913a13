"""What the install without extras can do: an ONNX file is inspected, compiled, run, checked, benched and reported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

# Put before every call: imports of what an extra brings fail as if it were not installed.
WITHOUT_EXTRAS = (
    "import sys\n"
    "for name in ('torch', 'safetensors', 'tensorboard', 'openvino', 'nncf', 'scipy', 'sklearn', 'uvicorn'):\n"
    "    sys.modules[name] = None\n"
    "from chipwise.cli.app import main\n"
    "sys.argv = ['chipwise', *sys.argv[1:]]\n"
    "main()\n"
)


def light(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT_EXTRAS, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(10, 64)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("Gemm", ["f", "w"], ["y"], transB=1)],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(weights, "w")],
    )
    path = tmp_path_factory.mktemp("light") / "linear.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_the_line_without_extras(network: Path, tmp_path: Path) -> None:
    plan = tmp_path / "x.plan"
    np.save(tmp_path / "x.npy", np.zeros((1, 1, 8, 8), np.float32))
    for arguments, says in [
        (("inspect", network), "640"),
        (("estimate", network, "--on", "rtx4090", "--roofline", tmp_path / "x.svg"), "items/s"),
        (("estimate", network, "--measure", "--budget", "1s"), "put to the test"),
        (("compile", network, "-o", plan, "-d", "digits", "--budget", "3s", "--max-drop", "50%"), "onnxruntime"),
        (("run", plan, tmp_path / "x.npy"), "%"),
        (("check", plan, "-d", "digits", "--max-drop", "50%"), "360"),
        (("bench", plan, "--budget", "1s"), "onnxruntime default"),
        (("report", plan), "x.html"),
        (("doctor",), "chipwise[openvino]"),
    ]:
        done = light(*arguments)
        assert done.returncode == 0, f"{arguments[0]}: {done.stderr}"
        assert says in done.stdout, f"{arguments[0]}: {done.stdout}"


def test_zoo_is_inspected_without_torch() -> None:
    done = light("inspect", "lenet5-keras")
    assert done.returncode == 0, done.stderr
    assert "81,194" in done.stdout


@pytest.mark.parametrize(
    "arguments", [("train", "lenet5"), ("prove", "lenet5", "--mesh", "dp2"), ("compile", "lenet5", "-o", "x.plan")]
)
def test_what_needs_torch_says_so(arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = light(*arguments)
    assert done.returncode == 3, done.stderr
    assert done.stderr.splitlines() == [
        "error: this needs torch, which is not installed",
        "hint: pip install 'chipwise[torch]'",
    ]
    assert not list(tmp_path.iterdir())


def test_the_page_names_the_extra_that_it_needs() -> None:
    done = light("ui", "--no-open")
    assert done.returncode == 3, done.stderr
    assert done.stderr.splitlines() == [
        "error: this needs uvicorn, which is not installed",
        "hint: pip install 'chipwise[serve]'",
    ]
