"""`chipwise show` and `chipwise export`: the answer, files that work elsewhere, one clear line for what cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from chipwise import api
from chipwise.cli import answer
from chipwise.codec.plan_file import read_plan, write_plan
from chipwise.core.task import Preprocess, Task

Cli = Callable[..., object]
LABELS = ("cat", "dog", "owl")


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of 8x8 pictures, with names and preprocessing of its own."""
    folder = tmp_path_factory.mktemp("plan")
    weights = np.random.default_rng(0).normal(size=(192, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(weights, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "n.onnx")
    made = api.compile(folder / "n.onnx", budget_s=2, runtimes=("onnxruntime",))
    task = Task("classification", LABELS, Preprocess(8, 8, channels=3, scale=0.125))
    write_plan(folder / "n.plan", replace(made, manifest=replace(made.manifest, task=task)))
    return folder / "n.plan"


def test_show(cli: Cli, plan: Path) -> None:
    done = cli("show", plan)
    assert done.code == 0, done.err
    for part in ("choice", "Passes that fired", "Layers", "Fast paths missed", "no int8 was tried"):
        assert part in done.out
    document = json.loads(cli("show", plan, "--json").out)
    assert document["schema"] == "chipwise.show/1"
    assert [each["op"] for each in document["layers"]] == ["MatMul"]
    assert document["layers"][0]["flops"] == 2 * 192 * 3


def test_export_to_onnx_keeps_what_it_is_for(cli: Cli, plan: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "n.onnx"
    done = cli("export", plan, "-o", target)
    assert (done.code, str(target) in done.out) == (0, True)
    onnx.checker.check_model(str(target), full_check=True)
    loaded = api.load(target)
    held = read_plan(plan)
    assert loaded.task == held.manifest.task
    target.write_bytes(b"old")
    assert cli("export", plan, "-o", target, "--json").code == 0  # written over, as other verbs do
    assert onnx.load(target).graph.node


@pytest.mark.runtime
def test_export_to_openvino_gives_the_same_numbers(cli: Cli, plan: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    from chipwise.runtimes.openvino import core

    assert cli("export", plan, "-o", tmp_path / "n.xml").code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["n.bin", "n.xml"]
    held = read_plan(plan)
    compiled = core().compile_model(tmp_path / "n.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    (got,) = compiled(list(held.sample_inputs)).values()
    np.testing.assert_allclose(got, held.expected_outputs[0], rtol=1e-4, atol=1e-5)  # fp16 would be 1e-3 off


@pytest.mark.parametrize("verb", [("show",), ("export", "-o", "out.onnx")])
def test_what_is_no_plan_is_refused(cli: Cli, plan: Path, tmp_path: Path, verb: tuple[str, ...]) -> None:
    (tmp_path / "cut.plan").write_bytes(plan.read_bytes()[:-50])
    wrong = [(tmp_path / "none.plan", "none.plan"), (tmp_path / "cut.plan", "cut.plan")]
    if verb == ("show",):  # a network can be exported, too
        wrong += [(plan.with_name("n.onnx"), "not a plan file"), (tmp_path, "cannot read plan")]
    for given, says in wrong:
        done = cli(verb[0], given, *verb[1:])
        lines = done.err.strip().splitlines()
        assert (done.code, done.out) == (2, ""), (given, done)
        assert lines[0].startswith("error: "), lines
        assert says in lines[0]
        assert len(lines) <= 2
    assert not Path("out.onnx").exists()


@pytest.mark.parametrize("name", ["n.txt", "n", "n.plan", "n.bin"])
def test_other_suffixes_are_refused_with_a_hint(cli: Cli, plan: Path, tmp_path: Path, name: str) -> None:
    done = cli("export", plan, "-o", tmp_path / name)
    assert done.code == 2
    assert "-o X.onnx" in done.err
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_is_said(cli: Cli, plan: Path, tmp_path: Path) -> None:
    (tmp_path / "n.onnx").mkdir()
    done = cli("export", plan, "-o", tmp_path / "n.onnx")
    assert done.code == 3
    assert "is a folder" in done.err


def test_completion(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(plan.parent)
    Path("deep").mkdir(exist_ok=True)
    assert answer.plan_names("n") == ["n.plan"]
    assert answer.plan_names("") == ["deep/", "n.plan"]
