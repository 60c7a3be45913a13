"""Bad input ends in one clear line, exit code 2 or 3, and leaves nothing behind."""

from __future__ import annotations

import gzip
import os
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

Cli = Callable[..., object]


def relu_model(op: str = "Relu", shape: tuple[object, ...] = ("batch", 1, 8, 8), domain: str = "") -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node(op, ["x"], ["y"], domain=domain)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.fixture(scope="module")
def relu_plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from chipwise import api

    folder = tmp_path_factory.mktemp("relu")
    onnx.save(relu_model(), folder / "relu.onnx")
    api.compile(folder / "relu.onnx", output=folder / "relu.plan", budget_s=2, runtimes=("onnxruntime",))
    return folder / "relu.plan"


def refused(outcome, code: int, says: str) -> None:
    """One error line (and at most one hint), nothing on stdout, no traceback."""
    assert outcome.code == code, outcome
    lines = outcome.err.strip().splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    assert len(errors) == 1, outcome.err
    assert says in errors[0], errors[0]
    assert "Traceback" not in outcome.err
    assert len(lines) <= 2 or all(line.startswith(("error: ", "hint: ")) for line in lines[-2:]), outcome.err
    assert outcome.out == ""


def bad_onnx(folder: Path) -> dict[str, Path]:
    """Files that are no usable ONNX, by kind."""
    good = relu_model()
    weights = helper.make_tensor_value_info("w", TensorProto.FLOAT, [10**12])
    huge = relu_model()
    huge.graph.initializer.append(
        onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[10**12], raw_data=b"1234")
    )
    huge.graph.value_info.append(weights)
    outside = relu_model()
    tensor = numpy_helper.from_array(np.ones(4, np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    outside.graph.initializer.append(tensor)
    big = good.SerializeToString() + b""
    files = {
        "png": b"\x89PNG\r\n\x1a\n" + bytes(64),
        "empty": b"",
        "truncated": numpy_heavy().SerializeToString()[:-200],
        "huge": huge.SerializeToString(),
        "outside": outside.SerializeToString(),
        "operator": relu_model("NoSuchOperator").SerializeToString(),
        "domain": relu_model("Relu", domain="com.example").SerializeToString(),
        "text": b"hello, this is not a network",
        "good": big,
    }
    paths = {}
    for name, data in files.items():
        paths[name] = folder / f"{name}.onnx"
        paths[name].write_bytes(data)
    return paths


def numpy_heavy() -> onnx.ModelProto:
    model = relu_model()
    model.graph.initializer.append(numpy_helper.from_array(np.ones(1000, np.float32), "w"))
    return model


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("png", "PNG"),
        ("empty", "empty"),
        ("truncated", "truncated.onnx"),
        ("huge", "w"),
        ("outside", "w"),
        ("operator", "NoSuchOperator"),
        ("domain", "com.example"),
        ("text", "text.onnx"),
    ],
)
def test_bad_onnx_files(cli: Cli, tmp_path: Path, kind: str, says: str) -> None:
    path = bad_onnx(tmp_path)[kind]
    outcome = cli("compile", path, "-o", tmp_path / "x.plan", "--budget", "2s")
    refused(outcome, 2, says)
    assert not list(tmp_path.glob("*.plan*"))


def test_huge_tensor_costs_no_memory(tmp_path: Path) -> None:
    path = bad_onnx(tmp_path)["huge"]
    code = (
        "import resource, sys\nresource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))\n"
        "from chipwise.cli.app import main\nsys.argv = ['chipwise', 'inspect', sys.argv[1]]\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("inspect", "lenet"), "unknown network 'lenet'"),
        (("inspect", "no/such/file.onnx"), "no/such/file.onnx"),
        (("inspect", "no.such.module:factory"), "no.such.module"),
        (("inspect", "lenet5", "--batch", "0"), "batch is 0"),
        (("inspect", "lenet5", "--batch", "9" * 20), "cannot be described"),
        (("train", "lenet5", "--data", "digit"), "unknown data set 'digit'"),
        (("train", "lenet5", "--data", "idx:no/such"), "no/such"),
        (("compile", "lenet5", "-o", "x.plan", "--max-drop", "150%"), "150%"),
        (("compile", "lenet5", "-o", "x.plan", "--budget", "soon"), "soon"),
        (("compile", "lenet5", "-o", "x.plan", "--runtime", "onnxruntme"), "unknown runtime 'onnxruntme'"),
        (("run", "absent.plan", "x.png"), "absent.plan"),
        (("bench", "absent.plan"), "absent.plan"),
        (("report", "absent.plan"), "absent.plan"),
    ],
)
def test_unknown_names_and_values(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(cli(*arguments), 2, says)
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_a_plan_is_inspected_and_not_compiled_again(cli: Cli, relu_plan: Path, tmp_path: Path) -> None:
    done = cli("inspect", relu_plan)
    assert (done.code, "Relu" in done.out) == (0, True), done
    refused(cli("compile", relu_plan, "-o", tmp_path / "x.plan"), 2, "relu.plan is compiled already")
    (tmp_path / "bad.plan").write_bytes(b"PK")
    refused(cli("inspect", tmp_path / "bad.plan"), 2, "not a plan file")


def test_tensorflow_lite_is_known_by_its_first_bytes(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "net.tflite").write_bytes(b"\x1c\0\0\0TFL3" + bytes(90))
    done = cli("inspect", tmp_path / "net.tflite")
    refused(done, 2, "is a TensorFlow Lite file")
    assert "tf2onnx" in done.err


def test_nearest_name_is_suggested(cli: Cli) -> None:
    assert "lenet5" in cli("inspect", "lenet5-kears").err
    assert "did you mean digits" in cli("train", "lenet5", "--data", "digts").err
    assert "hint: width is a number above 0" in cli("inspect", "resnet18:width=abc").err
    assert "hint: num_classes is a whole number from 1" in cli("inspect", "resnet18:num_classes=0").err


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("text.png", b"not a picture", "text.png"),
        ("empty.png", b"", "empty.png"),
        ("objects.npy", b"", "objects.npy"),
        ("short.npy", b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (9,), }", "short.npy"),
    ],
)
def test_bad_inputs_to_run(cli: Cli, relu_plan: Path, tmp_path: Path, name: str, content: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    if name == "objects.npy":
        np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    refused(cli("run", relu_plan, path), 2, says)


@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (1, 1, 8, 9), (8,), (0, 1, 8, 8)])
def test_wrong_input_shape(cli: Cli, relu_plan: Path, tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "x.npy", np.zeros(shape, np.float32))
    refused(cli("run", relu_plan, tmp_path / "x.npy"), 2, "x")


def test_image_of_zero_size(cli: Cli, relu_plan: Path, tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "x.bmp")
    data = bytearray((tmp_path / "x.bmp").read_bytes())
    data[18:22] = struct.pack("<i", 0)  # the width in the BMP header
    (tmp_path / "x.bmp").write_bytes(data)
    refused(cli("run", relu_plan, tmp_path / "x.bmp"), 2, "x.bmp")


def idx_folder(folder: Path, *, magic: int = 0x803, count: int = 20, written: int = 20) -> Path:
    folder.mkdir()
    pixels = np.zeros((written, 28, 28), np.uint8).tobytes()
    labels = (np.arange(20) % 10).astype(np.uint8).tobytes()
    (folder / "train-images-idx3-ubyte").write_bytes(struct.pack(">4I", magic, count, 28, 28) + pixels)
    with gzip.open(folder / "train-labels-idx1-ubyte.gz", "wb") as file:
        file.write(struct.pack(">2I", 0x801, 20) + labels)
    return folder


@pytest.mark.parametrize("fault", [{"magic": 0x804}, {"written": 19}, {"count": 2**31}, {"written": 21}])
def test_bad_idx_files(cli: Cli, relu_plan: Path, tmp_path: Path, fault: dict[str, int]) -> None:
    folder = idx_folder(tmp_path / "idx", **fault)
    refused(cli("check", relu_plan, "--data", f"idx:{folder}"), 2, "train-images-idx3-ubyte")


def test_hostile_plans(cli: Cli, relu_plan: Path, tmp_path: Path) -> None:
    good = relu_plan.read_bytes()
    (tmp_path / "cut.plan").write_bytes(good[:-50])
    flipped = bytearray(good)
    flipped[len(flipped) // 2] ^= 4
    (tmp_path / "flipped.plan").write_bytes(flipped)
    with zipfile.ZipFile(tmp_path / "bomb.plan", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.onnx", bytes(50 << 20))
    with zipfile.ZipFile(tmp_path / "evil.plan", "w") as archive:
        archive.writestr("../evil", b"x")
    for name in ("cut", "flipped", "bomb", "evil"):
        for verb in (("run", tmp_path / f"{name}.plan", "x.npy"), ("bench", tmp_path / f"{name}.plan")):
            refused(cli(*verb), 2, f"{name}.plan")
    assert not (tmp_path.parent / "evil").exists()


def test_unwritable_output(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    path = bad_onnx(tmp_path)["good"]
    refused(cli("compile", path, "-o", tmp_path / "file" / "x.plan"), 3, "cannot write")
    refused(cli("compile", path, "-o", tmp_path), 3, "it is a folder")


def full_disk(tmp_path: Path, size: str) -> Path | None:
    """A small file system of its own, where the right to mount one is given."""
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], capture_output=True, check=False
    )
    return disk if done.returncode == 0 else None


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may mount a small disk")
def test_full_disk(cli: Cli, tmp_path: Path) -> None:
    model = numpy_heavy()
    model.graph.initializer.append(numpy_helper.from_array(np.ones((1 << 18,), np.float32), "heavy"))
    model.graph.node.append(helper.make_node("ReduceMax", ["heavy"], ["z"], keepdims=0))
    model.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, []))
    onnx.save(model, tmp_path / "heavy.onnx")
    disk = full_disk(tmp_path, "256k")
    if disk is None:
        pytest.skip("no right to mount")
    try:
        outcome = cli("compile", tmp_path / "heavy.onnx", "-o", disk / "x.plan", "--budget", "2s")
        refused(outcome, 3, "No space left")
        assert not list(disk.iterdir())
    finally:
        subprocess.run(["umount", disk], check=True)


def test_missing_extra_is_one_line(tmp_path: Path) -> None:
    code = (
        "import sys\nfor name in ('torch', 'safetensors', 'tensorboard'): sys.modules[name] = None\n"
        "from chipwise.cli.app import main\nsys.argv = ['chipwise', 'train', 'lenet5', '-o', sys.argv[1]]\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "t"], capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert "chipwise[torch]" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 2


def test_help_is_the_same_page_that_parsing_would_give(cli: Cli) -> None:
    page = cli("compile", "--help")
    assert page.code == 0
    assert "Usage: chipwise compile [OPTIONS] [NET]" in page.out
    assert "-h, --help" in page.out
    assert cli("compile", "-h").out == page.out
    assert cli("--help").out.startswith("Usage: chipwise [OPTIONS] COMMAND")
    unknown = cli("compil", "--help")
    assert unknown.code == 2
    assert "compile" in unknown.err
