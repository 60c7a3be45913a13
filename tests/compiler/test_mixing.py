"""A network that int8 breaks at one place is compiled to int8 with that place in float, and the place is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from outliers import outlier_network, pictures

import chipwise
from chipwise import runtimes
from chipwise.codec.plan_file import read_plan
from chipwise.compiler.compile import compile_plan
from chipwise.compiler.mixing import kept_layers
from chipwise.compiler.options import CompileOptions
from chipwise.compiler.subject import class_scores
from chipwise.core.errors import UnknownNameError
from chipwise.core.network import Network
from chipwise.core.task import Task
from chipwise.datasets.dataset import Dataset, make
from chipwise.devices.detect import detect
from chipwise.networks.onnx_file import from_bytes, serialize

OPTIONS = CompileOptions(budget_s=40, runtimes=("onnxruntime",), max_drop=0.05)


@pytest.fixture(scope="module")
def broken() -> Network:
    return replace(from_bytes(outlier_network(), "outlier"), task=Task("classification"))


@pytest.fixture(scope="module")
def answers(broken: Network) -> Dataset:
    """Samples whose classes are what the float network says; those that it hardly tells apart are left out."""
    inputs = pictures(3000, seed=3)
    scores = class_scores(runtimes.load("onnxruntime").build_default(serialize(broken)), inputs)
    ordered = np.sort(scores, axis=1)
    clear = (ordered[:, -1] - ordered[:, -2]) > 0.02 * np.abs(scores).max()
    inputs, scores = inputs[clear], scores[clear]
    labels = scores.argmax(axis=1).astype(np.int64)
    assert len(np.unique(labels)) > 1
    return make("answers", inputs, labels, tuple(map(str, range(10))))


def test_the_layer_that_breaks_stays_in_float(broken: Network, answers: Dataset) -> None:
    facts = compile_plan(broken, serialize(broken), (), OPTIONS, detect(), data=answers).manifest
    plain = [c for c in facts.candidates if c.choice.quantizer and not c.choice.kept]
    assert plain
    assert all(c.status == "rejected" for c in plain), "int8 alone loses too much"
    mixed = [c for c in facts.candidates if c.choice.kept]
    assert mixed, [c.choice.title for c in facts.candidates]
    assert all({"conv2", "conv3"} & set(c.choice.kept) for c in mixed)
    judged = [c for c in mixed if c.accuracy is not None]
    assert any(c.accuracy.upper <= OPTIONS.max_drop for c in judged)
    chosen = next(c for c in facts.candidates if c.status == "chosen")
    assert chosen.accuracy is None or chosen.accuracy.upper <= OPTIONS.max_drop


def test_the_plan_file_is_rolled_back_and_names_the_layer(broken: Network, answers: Dataset, tmp_path: Path) -> None:
    """The smallest plan would be int8 throughout: only the guard stands in the way."""
    network, output = tmp_path / "outlier.onnx", tmp_path / "outlier.plan"
    network.write_bytes(serialize(broken))
    chipwise.compile(
        network, data=answers, output=output, goal="size", max_drop=0.05, budget_s=40, runtimes=("onnxruntime",)
    )
    facts = read_plan(output).manifest
    assert facts.choice.precision == "fp32" or {"conv2", "conv3"} & set(facts.choice.kept), facts.choice.title
    turned = [c for c in facts.candidates if c.status == "rejected" and c.choice.quantizer and not c.choice.kept]
    assert turned
    assert all("more than 5.00%" in c.reason for c in turned)
    if facts.choice.kept:
        assert set(facts.choice.kept) & {name for each in chipwise.show(output).missed for name in each.layers}
    assert chipwise.check(output, answers).drop.drop <= 0.05


def test_layers_that_shall_stay_in_float_do(broken: Network, answers: Dataset) -> None:
    options = replace(OPTIONS, keep=("conv2", "conv3"))
    facts = compile_plan(broken, serialize(broken), (), options, detect(), data=answers).manifest
    quantized = [c for c in facts.candidates if c.choice.quantizer]
    assert quantized
    assert all({"conv2", "conv3"} <= set(c.choice.kept) for c in quantized)
    assert any(c.status != "rejected" for c in quantized)


def test_layers_are_found_by_node_weight_and_pattern() -> None:
    model = onnx.load_model_from_string(outlier_network())
    for node in model.graph.node:
        node.input[:] = ["head.fc.weight" if name == "w" else name for name in node.input]
    next(w for w in model.graph.initializer if w.name == "w").name = "head.fc.weight"
    data = model.SerializeToString()
    assert kept_layers(data, ("conv1",)) == ("conv1",)
    assert kept_layers(data, ("head.*", "conv[01]")) == ("fc", "conv0", "conv1")
    assert kept_layers(data, ()) == ()
    with pytest.raises(UnknownNameError, match="conv9"):
        kept_layers(data, ("conv9",))
