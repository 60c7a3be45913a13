"""Functions as layers: run, compiled, moved, and what is said when they are wrong or absent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx.parser
import pytest

import chipwise
from chipwise import runtimes
from chipwise.codec.plan_file import read_plan, write_plan
from chipwise.compiler.load import open_plan
from chipwise.compiler.parts import build_default
from chipwise.core import custom_layers
from chipwise.core.errors import ChipwiseError, InputError, NetworkError, RuntimeUnavailableError
from chipwise.core.plan import Part
from chipwise.devices.detect import detect
from chipwise.runtimes.engine import EngineOptions

NAME = "test::Gate"
GRAPH = """<ir_version: 8, opset_import: ["": 17, "test": 1]> g (float[N, 3] x) => (float[N, 3] y)
    { a = Neg (x)  b = test.Gate <slope = 2.0, mode = "up"> (a)  c = Add (b, a)  y = Relu (c) }"""
X = np.array([[1, -2, 3]], np.float32)


def gate(x: Any, slope: float, mode: str) -> Any:
    assert mode == "up"
    return x * np.float32(slope)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    custom_layers.register(NAME, gate)
    written = tmp_path / "gated.onnx"
    written.write_bytes(onnx.parser.parse_model(GRAPH).SerializeToString())
    yield written
    custom_layers.forget(NAME)


def test_inspect_lists_it_and_knows_what_follows(path: Path) -> None:
    found = chipwise.inspect(path, batch=4)
    assert found.totals.unknown_ops == (NAME,)
    assert [row.outputs for row in found.layers][-1] == ((4, 3),)


@pytest.mark.parametrize("runtime", ["reference", "onnxruntime", pytest.param("openvino", marks=pytest.mark.runtime)])
def test_every_runtime_computes_the_same(path: Path, runtime: str) -> None:
    engine = build_default(runtime, onnx_bytes(path))
    np.testing.assert_array_equal(engine.run([X])[0], [[0, 6, 0]])
    engine.close()


def onnx_bytes(path: Path) -> bytes:
    """The graph with its shapes, as compile sees it."""
    from chipwise.networks.onnx_file import load, serialize

    return serialize(load(path))


def test_plan_says_what_it_needs_and_is_refused_without(path: Path, tmp_path: Path) -> None:
    plan = chipwise.compile(path, task="tensor", output=tmp_path / "x.plan", budget_s=3, runtimes=["onnxruntime"])
    facts = plan.manifest
    assert facts.needs == (f"custom layer {NAME}",)
    if not facts.choice.source:
        assert [part.runtime for part in facts.choice.parts] == ["onnxruntime", "python", "onnxruntime"]
    again = read_plan(tmp_path / "x.plan")
    assert again.manifest.choice == facts.choice
    np.testing.assert_array_equal(open_plan(again, detect()).run([X])[0], [[0, 6, 0]])
    custom_layers.forget(NAME)
    with pytest.raises(
        RuntimeUnavailableError, match="needs the custom layer test::Gate, which is not registered"
    ) as told:
        open_plan(again, detect())
    assert told.value.hint == 'chipwise.custom_layer("test::Gate", function)'
    with pytest.raises(NetworkError, match="Gate") as refused:
        chipwise.load(path)
    assert "custom_layer" in refused.value.hint


def test_a_plan_that_is_cut_where_it_cannot_be_is_refused(path: Path, tmp_path: Path) -> None:
    plan = chipwise.compile(path, task="tensor", output=tmp_path / "x.plan", budget_s=2, runtimes=["onnxruntime"])
    for parts in [
        (Part("onnxruntime", until="nobody"), Part("onnxruntime")),
        (Part("onnxruntime", until="y"),),
        (Part("onnxruntime", until="b"), Part("python", until="a"), Part("onnxruntime")),
        (Part("absent"),),
    ]:
        choice = replace(plan.manifest.choice, parts=parts)
        write_plan(tmp_path / "y.plan", replace(plan, manifest=replace(plan.manifest, choice=choice)))
        with pytest.raises(ChipwiseError):
            open_plan(read_plan(tmp_path / "y.plan"), detect())


def raises(x: Any, **attributes: Any) -> Any:
    raise KeyError("no such thing")


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (raises, "test::Gate raised KeyError"),
        (lambda x, **_: x[:, :2], r"gave float32 \[1, 2\] for 'b'; the graph says float32 \[N, 3\]"),
        (lambda x, **_: x.astype(np.float64), "gave float64"),
        (lambda x, **_: (x, x), "gave 2 arrays; the graph wants 1"),
        (lambda x, **_: "text", "gave str"),
        (lambda x: x, "raised TypeError"),
    ],
)
def test_a_wrong_function_is_named(path: Path, layer: Callable[..., Any], said: str) -> None:
    model = onnx_bytes(path)  # with the right one: the graph says what it gives
    custom_layers.register(NAME, layer)
    with pytest.raises(InputError, match=said):
        runtimes.load("reference").build(model, EngineOptions()).run([X])
    with pytest.raises(InputError, match=said):
        build_default("onnxruntime", model).run([X])


@pytest.mark.parametrize("name", ["Gate", "my:Gate", "ai.onnx::Relu", "com.microsoft::Gelu", "::Gate", ""])
def test_impossible_names(name: str) -> None:
    with pytest.raises(InputError):
        chipwise.custom_layer(name, gate)


def test_an_operator_called_as_one_of_onnx_has_its_own_attributes() -> None:
    text = '<ir_version: 8, opset_import: ["": 17, "test": 1]> g (float[N] x) => (float[N] y) { y = test.Swish (x) }'
    chipwise.custom_layer("test::Swish", lambda x: -x)
    engine = build_default("reference", onnx.parser.parse_model(text).SerializeToString())
    custom_layers.forget("test::Swish")
    np.testing.assert_array_equal(engine.run([X[0]])[0], -X[0])
