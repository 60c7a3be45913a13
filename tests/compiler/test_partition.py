"""Where to cut, what is proposed, and that what is proposed computes the same."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chipwise.compiler import partition
from chipwise.compiler.partition import cheapest, cuts, partitions, stretch_times
from chipwise.compiler.parts import build_parts
from chipwise.compiler.trials import Kind, build, options_of
from chipwise.core.plan import Choice

LACKING = "com.microsoft.Inverse"  # that OpenVINO does not have
GRAPH = """<ir_version: 8, opset_import: ["": 17, "com.microsoft": 1]>
    g (float[N, 8, 8] x) => (float[N, 8, 8] y) <float[N, 8, 8] m>
    { a = MatMul (x, w)  b = Relu (a)  c = MatMul (b, w)  d = Add (c, x)  m = com.microsoft.Inverse (d)
      e = MatMul (m, w)  f = Relu (e)  y = Softmax (f) }"""


def model() -> bytes:
    proto = onnx.parser.parse_model(GRAPH)
    weight = np.eye(8, dtype=np.float32) * 2
    proto.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    return onnx.shape_inference.infer_shapes(proto).SerializeToString()


X = np.eye(8, dtype=np.float32)[None] + 0.1


def test_cuts_are_where_one_value_crosses_and_nothing_is_fused() -> None:
    assert cuts(ir.from_proto(onnx.load_from_string(model()))) == ["d", "m", "f"]


@given(st.integers(1, 3), st.integers(1, 5), st.data())
def test_cheapest_is_what_trying_all_ways_finds(ways: int, count: int, data: st.DataObject) -> None:
    number = st.sampled_from([0.0, 1.0, 2.0, 5.0, 9.0, math.inf])
    times = data.draw(st.lists(st.lists(number, min_size=count, max_size=count), min_size=ways, max_size=ways))
    switch = data.draw(st.lists(st.sampled_from([0.0, 0.5, 3.0]), min_size=count - 1, max_size=count - 1))
    most = data.draw(st.integers(0, 3))
    best = math.inf
    for way in itertools.product(range(ways), repeat=count):
        changes = [cost for cost, a, b in zip(switch, way, way[1:], strict=False) if a != b]
        if len(changes) <= most:
            best = min(best, sum(times[each][place] for place, each in enumerate(way)) + sum(changes))
    assert cheapest(times, switch, most)[0] == best


def search(*kinds: tuple[str, Kind]) -> Any:
    found = {(name, "fp32", "", "", (), ()): kind for name, kind in kinds}
    return SimpleNamespace(kinds=found, subject=SimpleNamespace(sample=(X,)))


def leader(graph: bytes) -> Any:
    choice = Choice("onnxruntime")
    return SimpleNamespace(candidate=SimpleNamespace(choice=choice), model=graph, engine=build(choice, graph))


@pytest.mark.runtime
def test_a_runtime_that_lacks_an_operator_gets_what_lies_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = model()
    seen: list[list[float]] = []

    def times(*arguments: Any) -> list[float]:
        found = stretch_times(*arguments)
        seen.append(found)  # real, and then as if OpenVINO were fast
        fast = arguments[2].runtime == "openvino"
        return [
            0.001 if fast and math.isfinite(each) else each and 1.0 if math.isfinite(each) else each for each in found
        ]

    monkeypatch.setattr(partition, "stretch_times", times)
    made = partitions(search(("openvino", Kind(refusal="lacks it", ran=False))), leader(graph), 60)
    assert math.isinf(seen[1][1])
    assert sum(map(math.isinf, itertools.chain(*seen))) == 1
    assert [part.runtime for part in made[-1].parts] == ["openvino", "onnxruntime", "openvino"]
    assert made[-1].parts[0].until == "d"
    assert 1 <= len(made) <= 3
    want = build(Choice("onnxruntime"), graph).run([X])[0]
    for choice in made:
        engine = build_parts(choice, graph, options_of(choice))
        np.testing.assert_allclose(engine.run([X])[0], want, rtol=1e-5, atol=1e-6)
        engine.close()


@pytest.mark.runtime
def test_nothing_is_proposed_that_gains_too_little_or_may_not_ship(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = model()
    monkeypatch.setattr(partition, "stretch_times", lambda *_: [1.0, 1.0, 1.0, 1.0])
    assert partitions(search(("openvino", Kind())), leader(graph), 60) == []
    assert partitions(search(), leader(graph), 60) == []
    assert partitions(search(("openvino", Kind(refusal="drops too much", ran=True))), leader(graph), 60) == []
