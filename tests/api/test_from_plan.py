"""A plan is compiled anew: from its source where that is here, from its own graph where that says the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx.parser
import pytest

import chipwise
from chipwise.core.errors import InputError

TEXT = """<ir_version: 8, opset_import: ["" : 17]>
g (float[N, 4] x) => (float[N, 4] y) { a = Identity(x)  y = Relu(a) }"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("again") / "relu.onnx"
    path.write_bytes(onnx.parser.parse_model(TEXT).SerializeToString())
    return path


@pytest.fixture(scope="module")
def old(path: Path) -> chipwise.Plan:
    return chipwise.compile(path, goal="latency=5s", budget_s=1, runtimes=["onnxruntime"])


def test_the_source_is_compiled_for_the_same_goal(old: chipwise.Plan, path: Path, tmp_path: Path) -> None:
    new = chipwise.compile(from_plan=old, output=tmp_path / "new.plan", budget_s=1, runtimes=["onnxruntime"])
    assert new.manifest.source.digest == old.manifest.source.digest
    assert new.manifest.source.origin == str(path)
    assert new.manifest.limit_s == 5.0
    assert chipwise.compile(from_plan=old, goal="size", budget_s=1, runtimes=["onnxruntime"]).manifest.goal == "size"


def test_a_plan_without_its_source_is_a_network_where_it_says_the_same(old: chipwise.Plan) -> None:
    lost = replace(old.manifest, source=replace(old.manifest.source, digest="0" * 64))
    new = chipwise.compile(from_plan=replace(old, manifest=lost), budget_s=1, runtimes=["onnxruntime"])
    assert new.manifest.source.name == old.manifest.source.name
    with pytest.raises(InputError, match="its source relu is not here"):
        chipwise.compile(from_plan=replace(old, manifest=replace(lost, label="lossy")), budget_s=1)


def test_one_of_both_is_wanted(old: chipwise.Plan, path: Path) -> None:
    with pytest.raises(InputError, match="a network or a plan"):
        chipwise.compile()
    with pytest.raises(InputError, match="a network or a plan"):
        chipwise.compile(path, from_plan=old)
