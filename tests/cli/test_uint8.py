"""`compile --uint8`: the plan takes pictures as they are, and every verb goes on with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from chipwise import api
from chipwise.codec.plan_file import read_plan
from chipwise.datasets import load
from chipwise.tasks.pictures import png_bytes

Cli = Callable[..., object]
NORMED = "mean=0.2,std=0.3"


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nearest class mean of digits whose pixels are (x / 255 - 0.2) / 0.3, after a padded convolution by one."""
    train = load("digits").split().train
    pixels = (train.inputs.reshape(-1, 64).astype(np.float32) / 255 - 0.2) / 0.3
    means = np.stack([pixels[train.labels == digit].mean(axis=0) for digit in range(10)])
    one = np.zeros((1, 1, 3, 3), np.float32)
    one[0, 0, 1, 1] = 1
    weights = {"one": one, "w": means, "b": -0.5 * (means**2).sum(axis=1)}
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "one"], ["c"], pads=[1, 1, 1, 1]),
            helper.make_node("Flatten", ["c"], ["f"]),
            helper.make_node("Gemm", ["f", "w", "b"], ["y"], transB=1),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    path = tmp_path_factory.mktemp("net") / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.fixture(scope="module")
def plan(net: Path) -> Path:
    path = net.with_name("uint8.plan")
    api.compile(net, output=path, data="digits", uint8=True, preprocess=NORMED, budget_s=3, runtimes=("onnxruntime",))
    return path


def test_the_plan_answers_as_the_network(cli: Cli, net: Path, plan: Path, tmp_path: Path) -> None:
    test = load("digits").split().test
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(png_bytes(test.inputs[number]))
    pictures = sorted(tmp_path.glob("*.png"))
    found = json.loads(cli("run", plan, *pictures, "--json", "-o", tmp_path / "out").out)
    usual = json.loads(cli("run", net, *pictures, "--preprocess", NORMED, "--json").out)
    for ours, theirs in zip(found["predictions"], usual["predictions"], strict=True):
        assert ours["top"][0][0] == theirs["top"][0][0]
        assert ours["top"][0][1] == pytest.approx(theirs["top"][0][1], rel=1e-2)
    np.save(tmp_path / "all.npy", test.inputs)
    assert len(json.loads(cli("run", plan, tmp_path / "all.npy", "--json").out)["predictions"]) == len(test.labels)


def test_verbs_go_on_with_it(cli: Cli, plan: Path, tmp_path: Path) -> None:
    checked = cli("check", plan, "-d", "digits", "--json")
    assert checked.code == 0, checked.err
    assert json.loads(checked.out)["drop"]["source"]["correct"] > 300
    benched = cli("bench", plan, "--vs", "onnxruntime", "--budget", "0.5s")
    assert benched.code == 0, benched.err
    assert "prepared beforehand" in " ".join(benched.out.split())
    shown = cli("show", plan)
    assert shown.code == 0, shown.err
    assert "took preprocessing of uint8 pictures" in " ".join(shown.out.split())
    assert cli("report", plan, "-o", tmp_path / "r.html").code == 0
    assert cli("export", plan, "-o", tmp_path / "x.onnx").code == 0
    (tmp_path / "d.png").write_bytes(png_bytes(load("digits").inputs[0]))
    runs = [json.loads(cli("run", each, tmp_path / "d.png", "--json").out) for each in (plan, tmp_path / "x.onnx")]
    assert runs[0]["predictions"][0]["top"][0][0] == runs[1]["predictions"][0]["top"][0][0]
    assert cli("export", plan, "-o", tmp_path / "x.xml").code == 0


def test_compiling_anew_keeps_the_choice(cli: Cli, plan: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.plan"
    done = cli("compile", "--from", plan, "-o", again, "--budget", "1s", "--runtime", "onnxruntime")
    assert done.code == 0, done.err
    new, old = read_plan(again).manifest, read_plan(plan).manifest
    assert new.inputs[0].dtype == "uint8"
    assert (new.source.digest, new.source.preprocess) == (old.source.digest, old.source.preprocess)
    assert new.task.preprocess == old.task.preprocess


def test_numbers_of_pixels_are_part_of_the_plan(cli: Cli, plan: Path, tmp_path: Path) -> None:
    (tmp_path / "d.png").write_bytes(png_bytes(load("digits").inputs[0]))
    refused = cli("run", plan, tmp_path / "d.png", "--preprocess", "scale=1/255")
    assert refused.code == 2
    assert "scales them itself" in refused.err
    assert cli("run", plan, tmp_path / "d.png", "--preprocess", "fit=stretch").code == 0


def test_floats_are_refused(cli: Cli, plan: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((1, 1, 8, 8), np.float32))
    refused = cli("run", plan, tmp_path / "x.npy")
    assert refused.code == 2
    assert "uint8" in refused.err


def test_what_takes_no_pictures_is_refused(cli: Cli, tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 5])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "a.onnx")
    refused = cli("compile", tmp_path / "a.onnx", "--uint8", "-o", tmp_path / "a.plan", "--budget", "1s")
    assert refused.code == 2
    assert "takes arrays, not pictures" in refused.err
    assert "hint: " in refused.err
    assert not (tmp_path / "a.plan").exists()
