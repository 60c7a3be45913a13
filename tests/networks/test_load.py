"""What `load` takes for a network, and what it says about the rest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_graphs import convolution

from chipwise.codec.plan_file import write_plan
from chipwise.core.device import Machine
from chipwise.core.errors import ChipwiseError, NetworkError, PlanError, UnknownNameError
from chipwise.core.layer import totals
from chipwise.core.network import TensorSpec
from chipwise.core.plan import PLAN_SCHEMA, Choice, Manifest, Plan, SourceFacts
from chipwise.core.task import Task
from chipwise.networks.layers import layer_rows
from chipwise.networks.load import load, with_classes
from chipwise.networks.zoo import ZOO


def test_zoo_name() -> None:
    network = load("lenet5")
    assert network.inputs[0].shape == ("batch", 1, 32, 32)
    assert network.outputs[0].shape == ("batch", 10)
    assert network.source is not None
    assert network.task.preprocess is not None


def test_every_zoo_network_preprocesses_to_its_input() -> None:
    for entry in ZOO.values():
        picture = entry.task.preprocess
        if picture is None:
            continue
        shape = (picture.channels, picture.height, picture.width)
        flat = (picture.height * picture.width * picture.channels,)
        assert entry.inputs[0].shape[1:] == (flat if picture.layout == "flat" else shape)


def test_options_after_a_zoo_name() -> None:
    network = load("lenet5-caffe:num_classes=5")
    assert network.outputs[0].shape == ("batch", 5)
    assert network.origin == "lenet5-caffe:num_classes=5"
    for text in (
        "lenet5-caffe:size=64",
        "lenet5-caffe:num_classes=nan",
        "lenet5:num_classes=",
        "lenet5:num_classes=1.5",
    ):
        with pytest.raises(ChipwiseError):
            load(text)


def test_labels_and_task_are_taken_from_the_user(tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("cat\ndog\n\n")
    network = load("lenet5", labels=names, task="tensor")
    assert network.task.labels == ("cat", "dog")
    assert network.task.kind == "tensor"
    with pytest.raises(UnknownNameError):
        load("lenet5", task="clasification")


def test_nearest_name_is_suggested() -> None:
    with pytest.raises(UnknownNameError) as caught:
        load("lenet-5")
    assert "lenet5" in caught.value.hint


def test_onnx_file(tmp_path: Path) -> None:
    path = tmp_path / "small.onnx"
    path.write_bytes(convolution().SerializeToString())
    network = load(str(path))
    assert network.name == "small"
    assert network.inputs[0].dynamic_batch
    assert network.task.kind == "classification"
    assert network.origin == str(path)


def test_preprocess_text_changes_the_task(tmp_path: Path) -> None:
    path = tmp_path / "small.onnx"
    path.write_bytes(convolution().SerializeToString())
    picture = load(str(path), preprocess="scale=1,mean=0.5").task.preprocess
    assert picture is not None
    assert (picture.scale, picture.mean) == (1.0, (0.5,))
    picture = load("lenet5-caffe", preprocess="fit=stretch").task.preprocess
    assert picture is not None
    assert picture.fit == "stretch"


def test_dots_in_a_zoo_name_do_not_make_it_a_file_error() -> None:
    with pytest.raises(NetworkError, match="no such file"):
        load("missing.onnx")


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "PNG"), (b"PK\x03\x04" + b"\0" * 40, "zip"), (b"\x80\x02}q\0.", "pickle")],
)
def test_other_formats_are_named(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "picture.onnx"
    path.write_bytes(data)
    with pytest.raises(NetworkError, match=said) as caught:
        load(str(path))
    assert caught.value.exit_code == 2


def test_a_plan_is_read_as_the_network_that_it_holds(tmp_path: Path) -> None:
    specs = (TensorSpec("x", ("batch", 1, 8, 8)),), (TensorSpec("y", ("batch", 3)),)
    manifest = Manifest(
        PLAN_SCHEMA, SourceFacts("net", "net.onnx", "0" * 64, 1, 2, 3), Task(labels=("a", "b", "c")), *specs,
        goal="latency", max_drop=None, seed=0, choice=Choice("onnxruntime"), why="", speedup=None, label="exact",
        candidates=(), passes=(), machine=Machine("cpu", "x86_64", (), 1, 1), versions={}, created="",
    )  # fmt: skip
    arrays = (np.zeros((1, 1, 8, 8), np.float32),), (np.zeros((1, 3), np.float32),)
    path = tmp_path / "net.plan"
    write_plan(path, Plan(manifest, convolution().SerializeToString(), *arrays))
    network = load(str(path))
    assert (network.name, network.outputs, network.task.labels) == ("net", specs[1], ("a", "b", "c"))
    assert totals(layer_rows(network)).parameters == 40 + 435
    assert load(str(path), task="tensor").task.kind == "tensor"
    with pytest.raises(NetworkError, match="holds its weights itself"):
        load(str(path), weights=path)
    path.write_bytes(b"PK")
    with pytest.raises(PlanError):
        load(str(path))


def test_folder_without_a_network(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"network\.json"):
        load(str(tmp_path))


def test_other_number_of_classes() -> None:
    network = with_classes(load("lenet5"), 4)
    assert network.source is not None
    assert network.source.arguments == {"num_classes": 4}
    assert network.outputs[0].shape == ("batch", 4)
    assert network.digest != load("lenet5").digest
    assert with_classes(load("lenet5"), 10) == load("lenet5")


def test_a_graph_keeps_its_classes(tmp_path: Path) -> None:
    path = tmp_path / "small.onnx"
    path.write_bytes(convolution().SerializeToString())
    with pytest.raises(NetworkError, match="7 classes"):
        with_classes(load(str(path)), 7)


@pytest.mark.runtime
def test_factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_for_load.py").write_text(
        "import torch\n"
        "def net(num_classes=3):\n"
        "    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, num_classes))\n"
        "    module.example_input = torch.zeros(1, 3, 4, 4)\n"
        "    return module\n"
        "def bare():\n"
        "    return torch.nn.ReLU()\n"
        "def wrong():\n"
        "    raise ValueError('no weights here')\n"
    )
    monkeypatch.chdir(tmp_path)
    assert load("mine_for_load:net").inputs[0].shape == ("batch", 3, 4, 4)
    assert load("mine_for_load:bare", input_shape=(5,)).inputs[0].shape == ("batch", 5)
    with pytest.raises(NetworkError, match="does not say") as caught:
        load("mine_for_load:bare")
    assert "input shape" in caught.value.hint
    with pytest.raises(NetworkError, match="no weights here"):
        load("mine_for_load:wrong")
    with pytest.raises(NetworkError, match="absent"):
        load("mine_for_load:absent")
    with pytest.raises(NetworkError, match="cannot import"):
        load("no_such_package_here:net")


def test_light_install_needs_no_torch(tmp_path: Path) -> None:
    """A zoo name and an ONNX file load and show their rows where torch cannot be imported."""
    path = tmp_path / "small.onnx"
    path.write_bytes(convolution().SerializeToString())
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from chipwise.core.errors import MissingExtraError\n"
        "from chipwise.networks.layers import layer_rows\n"
        "from chipwise.networks.load import load\n"
        f"assert len(layer_rows(load({str(path)!r}))) == 3\n"
        "assert sum(row.parameters for row in layer_rows(load('lenet5-keras'), 3)) == 81194\n"
        "try: load('a.b:c')\n"
        "except MissingExtraError as error: assert 'torch' in error.hint\n"
        "else: raise SystemExit('no error')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.shared
def test_real_files_load(shared_data: Path) -> None:
    for name in ("onnx/mnist_cntk.onnx", "onnx/super_resolution.onnx", "onnx/iris_mlp.onnx"):
        network = load(str(shared_data / name))
        assert network.graph is not None
        assert len(network.inputs) == 1  # weights that were also inputs are not asked for


def test_every_error_is_one_line(tmp_path: Path) -> None:
    for spec in ("lenet", "a b", "", str(tmp_path), "x.onnx"):
        with pytest.raises(ChipwiseError) as caught:
            load(spec)
        assert len(caught.value.message.splitlines()) == 1
