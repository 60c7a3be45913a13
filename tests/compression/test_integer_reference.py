"""Integers give what runtimes give, to the last bit; what cannot be integers is refused by name."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

from chipwise.compression import integer_operators
from chipwise.compression.fixed_layout import lay_out
from chipwise.compression.fixed_point import Fixed
from chipwise.compression.integer_operators import Number, rounded_at
from chipwise.compression.integer_reference import integer_answers
from chipwise.compression.qdq import Formats, written
from chipwise.compression.quantize import agree
from chipwise.core.errors import NetworkError
from chipwise.networks.onnx_file import from_model
from chipwise.optimize.rewrite import constant

from .fixed_graphs import random_formats, random_network

pytestmark = pytest.mark.runtime
KINDS = ("Conv", "Relu", "Clip", "MaxPool", "AveragePool", "Add", "Concat")
HEAD = '<ir_version: 8, opset_import: ["": 18]> g '


def fixed_network(seed: int, kinds: list[str], bits: int = 8) -> ir.Model:
    layout = lay_out(random_network(seed, kinds), keep_sums=bool(seed % 2))
    held = {name: constant(value) for name, value in layout.graph.graph.initializers.items()}
    arrays = {name: array for name, array in held.items() if array is not None}
    return written(layout, random_formats(layout, arrays, seed, bits), {})


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.sampled_from(KINDS), min_size=1, max_size=5))
def test_integers_equal_both_runtimes(seed: int, kinds: list[str]) -> None:
    network = from_model(fixed_network(seed, kinds), "random")
    inputs = np.random.default_rng(seed).normal(0, 1.5, (3, 4, 8, 8)).astype(np.float32)
    for runtime in ("onnxruntime", "reference"):
        found = agree(network, inputs, runtime)
        assert found.exact
        assert (found.compared, found.equal, found.largest_steps) == (15, 15, 0.0), runtime


def test_every_tensor_on_the_way_is_equal() -> None:
    """Not the scores alone: each rounded value, made an output of its own."""
    model = fixed_network(3, ["Conv", "Relu", "Add", "AveragePool"])
    ups = [node.outputs[0] for node in model.graph if node.op_type == "DequantizeLinear" and node.inputs[0].producer()]
    model.graph.outputs.extend(value for value in ups if not value.is_graph_output())
    inputs = np.random.default_rng(0).normal(0, 1.5, (3, 4, 8, 8)).astype(np.float32)
    found = agree(from_model(model, "all"), inputs)
    assert found.compared > 3 * 4 * 8 * 8
    assert found.equal == found.compared


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(-(2**20), 2**20), min_size=1, max_size=20),
    st.integers(0, 12),
    st.integers(0, 12),
    st.sampled_from([1, 2, 3, 7, 9, 49, 64]),
)
def test_rounding_is_to_the_nearest_and_halves_go_to_even(whole: list[int], old: int, new: int, divisor: int) -> None:
    number = Number(np.array(whole), np.array(old), 2**20, divisor=np.array(divisor))
    exact = [round(Fraction(each, divisor) * Fraction(2) ** (new - old)) for each in whole]  # Python's is half to even
    assert rounded_at(number, new).tolist() == exact


def test_averages_of_nine_differ_from_a_runtime_at_halves_alone() -> None:
    text = "(float[N, 1, 3, 3] x) => (float[N, 1, 1, 1] y) { y = GlobalAveragePool(x) }"
    form = Fixed(8, False, 0)
    model = written(lay_out(ir.from_onnx_text(HEAD + text)), Formats({"x": form, "y": Fixed(8, False, 1)}, {}), {})
    inputs = np.random.default_rng(0).integers(0, 120, (2000, 1, 3, 3)).astype(np.float32)
    sums = inputs.reshape(2000, 9).sum(axis=1)
    halves = int(np.count_nonzero((4 * sums) % 9 == 0) - np.count_nonzero((2 * sums) % 9 == 0))
    found = agree(from_model(model, "mean"), inputs)
    assert found.compared - found.equal <= halves
    assert found.largest_steps <= 1
    (answers,) = integer_answers(model, inputs).numbers.values()
    exact = [round(Fraction(int(each), 9) * 2) for each in sums]
    assert answers.whole.ravel().tolist() == exact


def test_tables_of_functions_move_and_select() -> None:
    text = (
        "(float[N, 2, 4] x) => (float[N, 8] y)"
        " <int64[2] s = {-1, 8}, int64[1] a = {0}, int64[1] e = {2}, int64[1] c = {1}> {"
        " t = Tanh(x) u = Sigmoid(t) m = Mul(t, u) p = Transpose<perm = [0, 2, 1]>(m)"
        " q = Slice(p, a, e, c) k = Concat<axis = 1>(q, q) y = Reshape(k, s) }"
    )
    layout = lay_out(ir.from_onnx_text(HEAD + text))
    formats = Formats({name: Fixed(8, True, 6) for name in layout.rounded}, {})
    inputs = np.random.default_rng(1).normal(0, 1, (50, 2, 4)).astype(np.float32)
    found = agree(from_model(written(layout, formats, {}), "moves"), inputs)
    assert (found.compared, found.equal) == (400, 400)


def test_what_stays_float_is_behind_the_last_layer() -> None:
    text = "(float[N, 2] x) => (float[N, 2] y) <float[2, 2] w = {1, 2, 3, 4}> "
    layout = lay_out(ir.from_onnx_text(HEAD + text + "{ h = MatMul(x, w) y = Softmax(h) }"))
    assert layout.floating == ("Softmax",)
    assert layout.ends == ("h",)
    with pytest.raises(NetworkError, match="Erf has no integer arithmetic here, and MatMul reads what it gives"):
        lay_out(ir.from_onnx_text(HEAD + text + "{ h = Erf(x) y = MatMul(h, w) }"))


def test_what_cannot_be_integers_is_refused() -> None:
    text = (
        "(float[N, 2] x) => (float[N, 2] y) <float s = {0.3}, uint8 z = {0}>"
        "{ q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, s, z) }"
    )
    one = np.ones((1, 2), np.float32)
    with pytest.raises(NetworkError, match=r"the scale 0\.3 is no power of two"):
        integer_answers(ir.from_onnx_text(HEAD + text), one)
    again = text.replace("0.3", "0.5").replace("=> (float[N, 2] y)", "=> (uint8[N, 2] r)")
    model = again.replace("s, z) }", "s, z) e = Erf(y) r = QuantizeLinear(e, s, z) }")
    with pytest.raises(NetworkError, match="Erf has no integer arithmetic"):
        integer_answers(ir.from_onnx_text(HEAD + model), one)
    with pytest.raises(NetworkError, match="nothing in this graph"):
        integer_answers(ir.from_onnx_text(HEAD + "(float[N, 2] x) => (float[N, 2] y) { y = Erf(x) }"), one)


def test_a_sum_that_could_overflow_is_refused() -> None:
    wide = Number(np.full((1, 70_000), 200), np.array(0), 255)
    weight = Number(np.full((70_000, 1), 127), np.array(0), 128)
    with pytest.raises(NetworkError, match=r"a sum could reach 2\.27e\+09, which an accumulator of 32 bits"):
        integer_operators.multiply_matrices((wide, weight), {})
    near = Number(np.full((60_000, 1), 127), np.array(0), 128)
    made = integer_operators.multiply_matrices((Number(wide.whole[:, :60_000], wide.radix, 255), near), {})
    assert made.whole.item() == 200 * 127 * 60_000


def test_sixteen_bits_take_sums_of_64_and_come_near() -> None:
    network = from_model(fixed_network(4, ["Conv", "Relu"], bits=16), "wide")
    found = agree(network, np.random.default_rng(0).normal(0, 1.5, (3, 4, 8, 8)).astype(np.float32))
    assert found.largest_steps <= 1
