"""`chipwise train` on files that came without a torch source, from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

pytest.importorskip("torch")
pytestmark = pytest.mark.runtime

Cli = Callable[..., object]
QUICK = ("--epochs", "1", "--threads", "1", "--augment", "none")


def saved(path: Path, operators: tuple[str, ...] = ("Flatten", "MatMul"), inputs: int = 1) -> Path:
    """A linear classifier of 8x8 digits, with operators in a row, half of its weights zero."""
    draw = np.random.default_rng(0)
    weight = (draw.normal(size=(64, 10)) * (draw.random((64, 10)) < 0.5)).astype(np.float32) + 0
    names = ["x", *(f"v{place}" for place in range(len(operators) - 1)), "y"]
    nodes = [
        helper.make_node(kind, [names[place], *(["w"] if kind == "MatMul" else [])], [names[place + 1]])
        for place, kind in enumerate(operators)
    ]
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 1, 8, 8]) for name in "xz"[:inputs]]
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 10])
    graph = helper.make_graph(nodes, "g", given, [result], [numpy_helper.from_array(weight, "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_a_compressed_one_from_end_to_end(cli: Cli, tmp_path: Path) -> None:
    assert cli("export", saved(tmp_path / "n.onnx"), "-o", tmp_path / "n.cwz").code == 0
    done = cli("train", tmp_path / "n.cwz", "-o", tmp_path / "run", *QUICK, "--json")
    assert done.code == 0, done.err
    record = json.loads(done.out)
    assert (record["schema"], record["network"], record["parameters"]) == ("chipwise.train/1", "n", 640)
    (told,) = [line for line in done.err.splitlines() if "zero" in line]
    assert told.endswith("weights are zero and stay zero; few values become any again: `compress` rounds them anew")
    assert cli("inspect", tmp_path / "run").code == 0
    assert cli("export", tmp_path / "run", "-o", tmp_path / "back.cwz").code == 0
    finished = cli("train", tmp_path / "n.cwz", "-o", tmp_path / "run", *QUICK, "--json")
    assert json.loads(finished.out) == record, "what is done is not done again"


def test_pixels_are_as_they_are_said_to_be(cli: Cli, tmp_path: Path) -> None:
    usual = ("train", saved(tmp_path / "n.onnx"), *QUICK, "--json")
    guessed = cli(*usual, "-o", tmp_path / "a")
    assert "pixels are assumed to be scaled to 0..1" in guessed.err
    said = cli(*usual, "-o", tmp_path / "b", "--preprocess", "scale=1/16")
    assert said.code == 0, said.err
    assert "assumed" not in said.err
    task = json.loads((tmp_path / "b" / "network.json").read_text())["task"]
    assert task["preprocess"]["scale"] == 1 / 16
    np.save(tmp_path / "x.npy", np.zeros((1, 8, 8), np.float32))
    assert "assumed" not in cli("run", tmp_path / "b", tmp_path / "x.npy").err


@pytest.mark.parametrize(
    ("operators", "inputs", "said"),
    [
        (("Flatten", "MatMul"), 2, "2 inputs"),
        (("Flatten",), 1, "trained"),
        (("Flatten", "MatMul", "Bernoulli"), 1, "no translation to PyTorch for Bernoulli"),
    ],
    ids=["two inputs", "no classifier", "an operator"],
)
def test_what_cannot_be_trained_is_bad_input(
    cli: Cli, tmp_path: Path, operators: tuple[str, ...], inputs: int, said: str
) -> None:
    done = cli("train", saved(tmp_path / "n.onnx", operators, inputs), "-o", tmp_path / "run", *QUICK)
    assert (done.code, done.out) == (2, ""), done.err
    assert said in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "run" / "network.json").exists()


def test_layers_of_a_graph_are_frozen_by_number_and_a_name_is_refused(cli: Cli, tmp_path: Path) -> None:
    usual = ("train", saved(tmp_path / "n.onnx"), *QUICK, "-o", tmp_path / "run")
    one = cli(*usual, "--freeze", "1")
    assert one.code == 2
    assert "the network has 1 layers" in one.err
    named = cli(*usual, "--freeze", "w")
    assert (named.code, named.err.splitlines()[-1]) == (2, "hint: known: a number of layers, backbone")
    held = cli(*usual, "--weights", tmp_path / "w.safetensors")
    assert held.code == 2
    assert "holds its weights itself" in held.err
