"""Seconds of layers by their widths: exact where they were measured, and in between along straight lines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

from chipwise.codec.records import decode, encode
from chipwise.compression.faster import Faster, table_of
from chipwise.compression.latency_table import (
    LatencyTable,
    LayerShape,
    LayerTimes,
    layer_nodes,
    layers_of,
    measured,
    one_layer,
    widths,
)
from chipwise.core.errors import NetworkError

from .clocks import multiply_adds_s, multiplying
from .graphs import residual

SHAPE = LayerShape("Conv", b"", (1, 8, 8), (3, 3), 0, 0)
rising = st.lists(st.integers(1, 200), min_size=1, max_size=4, unique=True).map(sorted)


@st.composite
def grids(draw: st.DrawFn) -> LayerTimes:
    """Times that rise with both widths."""
    reads, makes = draw(rising), draw(rising)
    steps = draw(st.lists(st.floats(0, 1), min_size=len(reads) * len(makes), max_size=len(reads) * len(makes)))
    found = np.array(steps).reshape(len(reads), len(makes)).cumsum(axis=0).cumsum(axis=1)
    return LayerTimes(SHAPE, tuple(reads), tuple(makes), tuple(map(tuple, found.tolist())))


@settings(max_examples=40, deadline=None)
@given(grids(), st.tuples(*[st.floats(0, 250)] * 4))
def test_between_measured_widths_it_is_monotone_and_at_them_exact(times: LayerTimes, at: tuple[float, ...]) -> None:
    for inputs, row in zip(times.inputs, times.measured_s, strict=True):
        assert [times.seconds(inputs, outputs) for outputs in times.outputs] == pytest.approx(list(row))
    (low, high), (few, many) = sorted(at[:2]), sorted(at[2:])
    assert times.seconds(low, few) <= times.seconds(high, few) + 1e-12 <= times.seconds(high, many) + 2e-12
    assert times.seconds(0, many) == times.seconds(high, 0) == 0.0
    assert times.seconds(high, many) <= times.measured_s[-1][-1] + 1e-12, "nothing beyond the widest is made up"


def test_widths_are_multiples_of_the_step_and_the_whole() -> None:
    assert widths(64, 16) == (16, 32, 48, 64)
    assert widths(3, 16) == (3,)
    assert widths(17, 16) == (16, 17)


def test_equal_layers_are_timed_once_at_their_own_widths() -> None:
    asked: list[tuple[int, ...]] = []

    def timed(model: bytes, given: np.ndarray, budget_s: float) -> float:
        weights = onnx.load_from_string(model).graph.initializer[0].dims
        asked.append(tuple(weights[:2]))
        assert given.shape[1] == weights[1]
        assert budget_s > 0
        return multiply_adds_s(model)

    graph = residual(width=32, inner=48)
    table = measured(graph, timed, known=LatencyTable("multiply-adds", 16, ()))
    convolutions = [row for row in table.rows if row.shape.kind == "Conv"]
    assert len(convolutions) == 1, "all of them are 3 x 3 on the same places"
    assert len(asked) == len(set(asked)) == sum(len(row.inputs) * len(row.outputs) for row in table.rows)
    assert {3, 32, 48} <= set(convolutions[0].inputs)
    assert {32, 48} <= set(convolutions[0].outputs)
    every = multiply_adds_s(ir.to_proto(graph).SerializeToString())
    assert table.seconds(layers_of(graph)) == pytest.approx(every)
    assert measured(graph, timed, known=table) == table, "what is known is not timed again"


def test_a_grouped_layer_goes_by_groups() -> None:
    text = '<ir_version: 8, opset_import: ["": 18]> g (float[N, 8, 6, 6] x) => (float[N, 8, 6, 6] y) '
    text += f"<float[8, 2, 3, 3] w = {{{', '.join(['1'] * 144)}}}> "
    graph = ir.from_onnx_text(text + "{ y = Conv<group = 4, pads = [1, 1, 1, 1]>(x, w) }")
    (layer,) = layers_of(graph)
    assert (layer.shape.group_inputs, layer.shape.group_outputs, layer.inputs, layer.outputs) == (2, 2, 8, 8)
    ((node, _),) = layer_nodes(graph)
    model, fed = one_layer(node, layer.shape, 1, 4)
    onnx.checker.check_model(onnx.load_from_string(model))
    assert fed.shape == (1, 4, 6, 6)
    assert onnx.load_from_string(model).graph.initializer[0].dims == [4, 2, 3, 3]


def test_sizes_that_are_not_known_are_named() -> None:
    text = '<ir_version: 8, opset_import: ["": 18]> g (float[N, 2, H, 6] x) => (float[N, 2, H, 6] y) '
    graph = ir.from_onnx_text(text + "<float[2, 2, 1, 1] w = {1, 2, 3, 4}> { y = Conv(x, w) }")
    with pytest.raises(NetworkError, match="sizes that are not known"):
        layers_of(graph)


def test_the_table_is_kept_and_another_runtimes_or_a_damaged_one_is_not_taken(tmp_path: Path) -> None:
    graph, file = residual(), tmp_path / "latency.json"
    counted: list[int] = []
    wanted = Faster(2.0, 16, multiplying(counted))
    table = table_of(graph, wanted, file)
    assert decode(encode(table), LatencyTable, "it") == table
    first = len(counted)
    assert table_of(graph, wanted, file) == table
    assert len(counted) == first
    assert table_of(graph, Faster(2.0, 8, multiplying(counted)), file) != table
    file.write_bytes(file.read_bytes()[:-20])
    assert table_of(graph, wanted, file) == table
    assert len(counted) > 2 * first
