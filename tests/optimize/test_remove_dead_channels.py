"""Dead channels go through every operator that works channel by channel, and stay where anything else reads them."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_networks import ops, outputs, parse

from chipwise.optimize import pipeline, remove_dead_channels

DEAD = [1, 4, 5, 7]  # of 8 channels: half
LIVE = [0, 2, 3, 6]


def rng_of(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def integers(*shape: int, seed: int = 0) -> np.ndarray:
    """Small integers, none of them 0."""
    rng = rng_of(seed + sum(shape))
    return (rng.integers(1, 4, shape) * rng.choice([-1, 1], shape)).astype(np.float64)


def widths(model: ir.Model) -> list[int]:
    """How many channels each layer makes, in order."""
    found = []
    for node in model.graph:
        if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
            shape = node.inputs[1].const_value.shape.numpy()
            groups = node.attributes["group"].as_int() if "group" in node.attributes else 1
            turned = "transB" in node.attributes and node.attributes["transB"].as_int()
            found.append(
                shape[0] if node.op_type == "Conv" or turned else shape[1] * groups if shape[2:] else shape[-1]
            )
    return found


def same_after(model: ir.Model, x: np.ndarray, step: int = 1) -> str:
    """Apply the pass, compare bit for bit, and give what it said."""
    before = outputs(model, x)
    said = remove_dead_channels.apply(model, step)
    for got, want in zip(outputs(model, x), before, strict=True):
        np.testing.assert_array_equal(got, want)
    return said


def made(middle: str, end: str = "y = Conv(t, B)", opset: int = 18, dims: str = "N, 3, 6, 6", rank: int = 4, **weights):
    """Conv of 8 channels of which half are zero, then `middle` from h to t, then a layer that reads t."""
    first = integers(8, 3, 1, 1)
    first[DEAD] = 0
    out = ", ".join("ABCDE"[:rank])
    text = f"g (double[{dims}] x) => (double[{out}] y) {{ h = Conv(x, A) {middle} {end} }}"
    return parse(text, opset, A=first, **weights)


X = rng_of(7).integers(-3, 4, (2, 3, 6, 6)).astype(np.float64)
ONE = integers(5, 8, 1, 1)
THREE = integers(5, 8, 3, 3)
PADDED = "y = Conv<pads = [1, 1, 1, 1]>(t, B)"
i64 = lambda *numbers: np.array(numbers, np.int64)  # noqa: E731

SAME = integers(8, 3, 1, 1) * np.isin(range(8), LIVE)[:, None, None, None]  # dead where A is

THROUGH = {
    "relu": ("t = Relu(h)", PADDED, {"B": THREE}),
    "clip": ("t = Clip(h, lo, hi)", PADDED, {"B": THREE, "lo": np.array(-1.0), "hi": np.array(4.0)}),
    "prelu": ("t = PRelu(h, s)", PADDED, {"B": THREE, "s": integers(8, 1, 1)}),
    "norm": (
        "t = BatchNormalization<epsilon = 0.0>(h, s, b, m, v)",
        "y = Conv(t, B)",
        {"B": THREE, "s": integers(8), "b": integers(8, seed=1), "m": integers(8, seed=2), "v": np.ones(8)},
    ),
    "add a constant": ("t = Add(h, s)", "y = Conv(t, B)", {"B": THREE, "s": integers(1, 8, 1, 1)}),
    "scale": ("t = Mul(h, s)", PADDED, {"B": THREE, "s": integers(8, 1, 1)}),
    "a picture of constants": ("t = Mul(h, s)", PADDED, {"B": THREE, "s": integers(8, 6, 6)}),
    "shift by one": ("o = Add(h, s) t = Neg(o)", "y = Conv(t, B)", {"B": THREE, "s": np.array(1.0)}),
    "max pool": ("t = MaxPool<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(h)", PADDED, {"B": THREE}),
    "average pool": (
        "t = AveragePool<kernel_shape = [2, 2], count_include_pad = 1, pads = [1, 1, 0, 0]>(h)",
        PADDED,
        {"B": THREE},
    ),
    "global": ("t = GlobalAveragePool(h)", "y = Conv(t, B)", {"B": ONE}),
    "resize by scales": (
        't = Resize<mode = "nearest">(h, , s)',
        PADDED,
        {"B": THREE, "s": np.array([1, 1, 2, 2], np.float32)},
    ),
    "resize to sizes": ('t = Resize<mode = "nearest">(h, , , s)', PADDED, {"B": THREE, "s": i64(2, 8, 9, 9)}),
    "pad": ("t = Pad(h, p)", "y = Conv(t, B)", {"B": THREE, "p": i64(0, 0, 1, 1, 0, 0, 1, 1)}),
    "mirrored pad": (
        'o = Add(h, s) t = Pad<mode = "reflect">(o, p)',
        "y = Conv(t, B)",
        {"B": THREE, "p": i64(0, 0, 1, 1, 0, 0, 1, 1), "s": integers(8, 1, 1)},
    ),
    "residual": ("r = Conv(x, R) o = Add(h, r) t = Relu(o)", PADDED, {"B": THREE, "R": SAME}),
    "concat": ("t = Concat<axis = 1>(x, h)", PADDED, {"B": integers(5, 11, 3, 3)}),
    "split": (
        "l, r = Split<axis = 1>(h, s) u = Relu(r) t = Concat<axis = 1>(u, l)",
        PADDED,
        {"B": THREE, "s": i64(3, 5)},
    ),
    "split in equal parts": (
        "l, r = Split<axis = 1, num_outputs = 2>(h) t = Concat<axis = 1>(r, l)",
        PADDED,
        {"B": THREE},
    ),
    "slice": ("t = Slice(h, a, e, c)", PADDED, {"B": integers(5, 7, 3, 3), "a": i64(-8), "e": i64(-1), "c": i64(1)}),
    "slice of space": (
        "t = Slice(h, a, e, c, s)",
        PADDED,
        {"B": THREE, "a": i64(0), "e": i64(99), "c": i64(3), "s": i64(2)},
    ),
    "gather": ("t = Gather<axis = 1>(h, i)", PADDED, {"B": integers(5, 6, 3, 3), "i": i64(7, 2, -2, 0, 4, 3)}),
    "transpose": (
        "u = Transpose<perm = [0, 2, 3, 1]>(h) v = Relu(u) t = Transpose<perm = [0, 3, 1, 2]>(v)",
        PADDED,
        {"B": THREE},
    ),
    "shuffle": (
        "u = Reshape(h, p) v = Transpose<perm = [0, 2, 1, 3, 4]>(u) t = Reshape(v, q)",
        PADDED,
        {"B": THREE, "p": i64(0, 1, 8, 6, 6), "q": i64(0, 8, 6, 6)},
    ),
    "reduce": ("t = ReduceSum<keepdims = 1>(h, i)", "y = Conv(t, B)", {"B": ONE, "i": i64(2, 3)}),
    "depthwise": ("t = Conv<group = 8, pads = [1, 1, 1, 1]>(h, D)", PADDED, {"B": THREE, "D": integers(8, 1, 3, 3)}),
    "transposed": ("t = Relu(h)", "y = ConvTranspose<strides = [2, 2]>(t, B)", {"B": integers(8, 5, 3, 3)}),
    "excited": ("p = GlobalMaxPool(h) q = Conv(p, C) t = Mul(h, q)", PADDED, {"B": THREE, "C": integers(8, 8, 1, 1)}),
    "space to depth": ("t = SpaceToDepth<blocksize = 2>(h)", "y = Conv(t, B)", {"B": integers(5, 32, 1, 1)}),
    "sizes elsewhere": (
        "n = Shape(h) i = Gather(n, k) j = Cast<to = 11>(i) t = Mul(h, j)",
        PADDED,
        {"B": THREE, "k": np.array(2, np.int64)},
    ),
}


def padded_shortcut(opset: int = 18):
    """The shortcut of a residual network that pads channels: 8 of 12 before and behind, beside a layer of 12."""
    first, wide = integers(8, 3, 1, 1), integers(12, 8, 3, 3)
    first[DEAD], wide[[0, 3, 9]] = 0, 0  # 0 is added before, 3 is channel 1 of the narrow one, 9 is its channel 7
    middle = "h = Conv(x, A) r = Relu(h) w = Conv<strides = [2, 2], pads = [1, 1, 1, 1]>(r, B) "
    middle += "s = Slice(r, starts, ends, axes, steps) "
    attribute = "Pad<pads = [0, 2, 0, 0, 0, 2, 0, 0]>(s)" if opset < 11 else "Pad(s, p)"
    constants = {} if opset < 11 else {"p": i64(0, 2, 0, 0, 0, 2, 0, 0)}
    end = f"t = {attribute} z = Add(w, t) y = Conv(z, C)"
    text = f"g (double[N, 3, 6, 6] x) => (double[N, 5, 3, 3] y) {{ {middle} {end} }}"
    bounds = {"starts": i64(0, 0), "ends": i64(2**31, 2**31), "axes": i64(2, 3), "steps": i64(2, 2)}
    return parse(text, opset, A=first, B=wide, C=integers(5, 12, 1, 1), **bounds, **constants)


@pytest.mark.parametrize("opset", [10, 13, 18])
def test_a_shortcut_may_add_channels(opset: int) -> None:
    model = padded_shortcut(opset)
    assert same_after(model, X)
    assert widths(model) == [6, 9, 5], "4 and 5 of the narrow one are dead, and what they are added to is not"


@pytest.mark.parametrize("name", THROUGH)
def test_dead_channels_go_through(name: str) -> None:
    middle, end, weights = THROUGH[name]
    model = made(middle, end, **weights)
    assert same_after(model, X)
    assert widths(model)[0] == 4, "the zero channels are gone"
    assert remove_dead_channels.apply(model) == "", "and nothing is left to do"


FEATURES = {
    "flatten": ("f = Flatten(h)", {}),
    "reshape": ("f = Reshape(h, s)", {"s": i64(0, -1)}),
    "reshape to a number": ("f = Reshape(h, s)", {"s": i64(-1, 288)}),
    "reshape to what is computed": (
        "n = Shape(h) b = Gather(n, z) u = Unsqueeze(b, z) s = Concat<axis = 0>(u, k) f = Reshape(h, s)",
        {"z": i64(0)[0], "k": i64(288)},
    ),
    "pooled": ("p = GlobalMaxPool(h) f = Squeeze(p, s)", {"s": i64(2, 3)}),
    "mean": ("f = ReduceMax<keepdims = 0>(h, s)", {"s": i64(2, 3)}),
}


@pytest.mark.parametrize("end", ["y = Gemm(f, B, C)", "y = Gemm<transB = 1>(f, B)", "y = MatMul(f, B)"])
@pytest.mark.parametrize("name", FEATURES)
def test_blocks_of_features_go_with_their_channel(name: str, end: str) -> None:
    middle, weights = FEATURES[name]
    if "Unsqueeze" in middle:
        middle = middle.replace("Unsqueeze(b, z)", "Unsqueeze(b, w)")
        weights = {**weights, "w": i64(0)}
    features = 8 if name in ("pooled", "mean") else 288
    matrix = integers(5, features) if "transB" in end else integers(features, 5)
    more = {"C": integers(5)} if "C)" in end else {}
    model = made(middle, end, rank=2, B=matrix, **weights, **more)
    assert same_after(model, X)
    assert widths(model) == [4, 5]


def test_what_is_not_read_goes() -> None:
    reading = integers(5, 8, 3, 3)
    reading[:, [0, 3]] = 0  # of those that are not zero
    model = made("t = Relu(h)", PADDED, B=reading)
    assert same_after(model, X)
    assert widths(model)[0] == 2


def test_death_spreads_backwards_and_forwards() -> None:
    """What only dead channels read is dead, and what only constants make is constant."""
    text = """g (double[N, 3, 6, 6] x) => (double[N, 5, a, b] y) {
        h = Conv(x, A)  i = Relu(h)  j = Conv(i, B, b)  k = Relu(j)  y = Conv(k, C) }"""
    first, second, third = integers(8, 3, 1, 1), integers(6, 8, 1, 1), integers(5, 6, 3, 3)
    first[DEAD] = 0
    second[:3, LIVE] = 0  # outputs that only read zeros
    third[:, 5] = 0
    second[:5, 0] = 0  # input 0 is read by output 5 alone, that nobody reads
    model = parse(text, A=first, B=second, C=third, b=integers(6))
    assert same_after(model, X)
    assert widths(model) == [3, 2, 5]


def test_constants_go_into_the_bias_where_no_border_is_padded() -> None:
    """A channel that is its bias contributes the same everywhere: also to a product without a bias."""
    bias = np.arange(8.0) + 1
    for end, weights, rank in (
        ("y = Conv(t, B, C)", {"B": THREE, "C": integers(5)}, 4),
        ("y = Conv(t, B)", {"B": THREE}, 4),
        ("f = Flatten(t) y = MatMul(f, B)", {"B": integers(288, 5)}, 2),
    ):
        model = made("t = Add(h, s)", end, rank=rank, s=bias.reshape(8, 1, 1), **weights)
        assert same_after(model, X)
        assert widths(model)[0] == 4
        assert model.graph.outputs[0].name == "y"


def test_one_channel_stands_for_all_constants_behind_padding() -> None:
    """Padding makes a frame of a constant: one such channel is scaled to be all of them."""
    bias = np.ones(8)
    bias[DEAD] = [4, -2, 1, 8]
    model = made("t = Add(h, s)", PADDED, s=bias.reshape(8, 1, 1), B=THREE)
    assert same_after(model, X)
    assert widths(model)[0] == 5


def test_a_frame_of_another_value_is_no_constant() -> None:
    """What is padded with zeros and is not zero itself differs at the border."""
    pads = i64(0, 0, 1, 1, 0, 0, 1, 1)
    model = made("o = Add(h, s) t = Pad(o, p)", "y = Conv(t, B)", B=THREE, p=pads, s=integers(8, 1, 1))
    same_after(model, X)
    assert widths(model)[0] == 8


def test_no_constant_is_rounded_in_double_precision() -> None:
    bias = np.ones(8)
    bias[DEAD] = [3, 5, 7, 6]  # no two in the ratio of a power of two, but 3 and 6
    model = made("t = Add(h, s)", PADDED, s=bias.reshape(8, 1, 1), B=THREE)
    same_after(model, X)
    assert widths(model)[0] == 8


def test_constants_behind_padding_in_single_precision() -> None:
    rng = rng_of(3)
    first, bias, second = (rng.standard_normal(shape).astype(np.float32) for shape in ((8, 3, 1, 1), 8, (5, 8, 3, 3)))
    first[DEAD] = 0
    bias[DEAD] = [0.3, 0.7, 0.1, 0.2]
    text = f"g (float[N, 3, 6, 6] x) => (float[N, 5, 6, 6] y) {{ h = Conv(x, A, a) t = Relu(h) {PADDED} }}"
    model = parse(text, A=first, a=bias, B=second)
    x = X.astype(np.float32)
    before = outputs(model, x)[0]
    assert remove_dead_channels.apply(model)
    np.testing.assert_allclose(outputs(model, x)[0], before, rtol=0, atol=2e-6 * np.abs(before).max())
    assert widths(model)[0] == 5


@pytest.mark.parametrize("joined", ["h, i", "i, h"])
def test_a_branch_of_zeros_goes_altogether(joined: str) -> None:
    text = f"""g (double[N, 3, 6, 6] x) => (double[N, 5, a, b] y) {{
        h = Conv(x, A)  i = Conv(h, Z)  j = Add({joined})  y = Conv(j, B) }}"""
    model = parse(text, A=integers(8, 3, 1, 1), Z=np.zeros((8, 8, 1, 1)), B=ONE)
    assert same_after(model, X) == "replaced 1 tensor that never change"
    assert ops(model) == ["Conv", "Conv"]


def test_a_branch_of_constants_becomes_one() -> None:
    text = """g (double[N, 3, 6, 6] x) => (double[N, 5, a, b] y) {
        h = Conv(x, A)  i = Conv(h, Z, z)  j = Sub(i, h)  y = Conv(j, B) }"""
    model = parse(text, A=integers(8, 3, 1, 1), Z=np.zeros((8, 8, 1, 1)), z=integers(8), B=ONE)
    assert same_after(model, X)
    assert ops(model) == ["Conv", "Sub", "Conv"]


def test_a_scale_of_zero_kills_what_it_scales() -> None:
    scale = integers(8)
    scale[[0, 2]] = 0
    weights = {"s": scale, "b": integers(8), "m": integers(8), "v": np.ones(8)}
    model = made("t = BatchNormalization<epsilon = 0.0>(h, s, b, m, v)", "y = Conv(t, B)", B=THREE, **weights)
    assert same_after(model, X)
    assert widths(model)[0] == 2


HALF = integers(8, 8, 1, 1)
IMAGE = "g (double[N, 3, 6, 6] x"
PLAIN = IMAGE + ") => (double[N, 5, 6, 6] y) { h = Conv(x, A) "
MUST_NOT = {
    "an output of the graph": IMAGE + ") => (double[N, 8, 6, 6] h, double[N, 5, 6, 6] y) { h = Conv(x, A) "
    "y = Conv(h, B) }",
    "a partner that lives": PLAIN + "q = Conv(x, R) s = Add(h, q) y = Conv(s, B) }",
    "a partner that is an input": IMAGE + ", double[N, 8, 6, 6] p) => (double[N, 5, 6, 6] y) { h = Conv(x, A) "
    "s = Add(h, p) y = Conv(s, B) }",
    "softmax over channels": PLAIN + "s = Softmax<axis = 1>(h) y = Conv(s, B) }",
    "mean over channels": IMAGE + ") => (double[N, 1, 6, 6] y) { h = Conv(x, A) y = ReduceMean(h, i) }",
    "layer norm": PLAIN + "s = LayerNormalization<axis = 1>(h, L) y = Conv(s, B) }",
    "number of channels is read": IMAGE + ") => (double[N, 5, 6, 6] y, int64[a] n) { h = Conv(x, A) "
    "n = Shape(h) y = Conv(h, B) }",
    "every second channel": PLAIN + "s = Slice(h, z, e, i, two) y = Conv(s, H) }",
    "training dropout": PLAIN + "s = Dropout(h, r, yes) y = Conv(s, B) }",
    "a product of two tensors": IMAGE + ") => (double[N, 8, 6, 6] y) { h = Conv(x, A) y = MatMul(h, h) }",
    "read inside a branch": IMAGE + ", bool c) => (double[N, 5, 6, 6] y, double[a, b, c, d] w) { h = Conv(x, A) "
    "y = Conv(h, B) "
    "w = If(c) <then_branch = t () => (double[a, b, c, d] p) { p = Relu(h) }, "
    "else_branch = e () => (double[a, b, c, d] q) { q = Neg(h) }> }",
    "weights a caller may change": IMAGE + ", double[8, 3, 1, 1] A) => (double[N, 5, 6, 6] y) { h = Conv(x, A) "
    "y = Conv(h, B) }",
    "another domain": PLAIN + "s = other.Relu(h) y = Conv(s, B) }",
}


@pytest.mark.parametrize("name", MUST_NOT)
def test_look_alikes_stay(name: str) -> None:
    zero = integers(8, 3, 1, 1)
    zero[DEAD] = 0
    weights = {
        "A": zero,
        "B": ONE,
        "R": integers(8, 3, 1, 1),
        "i": i64(1),
        "z": i64(0),
        "e": i64(8),
        "two": i64(2),
        "H": integers(5, 4, 1, 1),
        "L": integers(8, 6, 6),
        "r": np.array(0.5, np.float64),
        "yes": np.array(True),
    }
    text = MUST_NOT[name]
    used = {key: array for key, array in weights.items() if f"{key})" in text or f"{key}," in text}
    proto = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 18, "other": 1]> {text}')
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(array, key) for key, array in used.items())
    model = ir.serde.deserialize_model(onnx.shape_inference.infer_shapes(proto))
    before = ir.serde.serialize_model(model).SerializeToString()
    assert remove_dead_channels.apply(model) == ""
    assert ir.serde.serialize_model(model).SerializeToString() == before


@pytest.mark.parametrize(
    ("live", "width", "step", "left"),
    [(5, 32, 8, 8), (8, 32, 8, 8), (9, 32, 8, 16), (20, 24, 16, 24), (5, 12, 16, 12), (5, 12, 1, 5), (0, 32, 16, 16)],
)
def test_widths_are_left_in_steps(live: int, width: int, step: int, left: int) -> None:
    first = integers(width, 3, 1, 1)
    first[live:] = 0
    text = "g (double[N, 3, 6, 6] x) => (double[N, 5, 6, 6] y) { h = Conv(x, A) t = Relu(h) y = Conv(t, B) }"
    model = parse(text, A=first, B=integers(5, width, 1, 1))
    same_after(model, X, step)
    assert widths(model)[0] == left


def test_the_pipeline_passes_the_step_on() -> None:
    for step, left in ((1, 4), (3, 6)):
        model, done = pipeline.optimize(made("t = Relu(h)", PADDED, B=THREE), step=step)
        assert widths(model)[0] == left, done


def test_groups_stay_alike() -> None:
    """Of four groups one is dead, and goes; the others keep as many inputs and outputs as the fullest."""
    first, second, third = integers(16, 3, 1, 1), integers(8, 4, 3, 3), integers(5, 8, 1, 1)
    first[4:8], first[[0, 9]] = 0, 0  # group 1; one in group 0 and one in 2; none in 3
    third[:, [2, 3]] = 0  # group 1 is not read either
    text = """g (double[N, 3, 6, 6] x) => (double[N, 5, 6, 6] y) {
        h = Conv(x, A)  t = Conv<group = 4, pads = [1, 1, 1, 1]>(h, B, b)  y = Conv(t, C) }"""
    model = parse(text, A=first, B=second, b=integers(8), C=third)
    assert same_after(model, X)
    assert widths(model) == [12, 6, 5]
    assert next(n for n in model.graph if "group" in n.attributes).attributes["group"].as_int() == 3


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    dims=st.integers(1, 3),
    groups=st.sampled_from([1, 1, 2, 4, 8]),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 2),
    pad=st.integers(0, 1),
    dilation=st.integers(1, 2),
    transposed=st.booleans(),
    biased=st.tuples(st.booleans(), st.booleans()),
    activation=st.sampled_from(["Relu", "Neg", "Abs", "Shift"]),
    step=st.sampled_from([1, 1, 3]),
    seed=st.integers(0, 2**20),
)
def test_any_convolution(dims, groups, kernel, stride, pad, dilation, transposed, biased, activation, step, seed):
    """Two layers of any kind, with filters of zeros and inputs that are not read."""
    rng = rng_of(seed)
    first, third = (rng.integers(-2, 3, (8, size) + (1,) * dims).astype(np.float64) for size in (3, 8))
    op, groups = ("ConvTranspose", 1) if transposed else ("Conv", groups)  # the evaluator knows no groups of the former
    second = rng.integers(-2, 3, (8, 8 // groups) + (kernel,) * dims).astype(np.float64)
    biases = [rng.integers(-2, 3, 8).astype(np.float64) for _ in range(2)]
    dead = rng.random(8) < 0.5
    first[dead] = 0
    biases[0][dead & (rng.random(8) < 0.5)] = 0
    second[rng.random(8) < 0.4] = 0
    third[:, rng.random(8) < 0.4] = 0
    size = ", ".join(["7"] * dims)
    args = f"group = {groups}, strides = {[stride] * dims}, pads = {[pad] * 2 * dims}, dilations = {[dilation] * dims}"
    act = "i = Add(h, s)" if activation == "Shift" else f"i = {activation}(h)"
    text = f"""g (double[2, 3, {size}] x) => (double[{", ".join("ABCDE"[: dims + 2])}] y) {{
        h = Conv(x, A{", a" if biased[0] else ""})  {act}
        j = {op}<{args}>(i, B{", b" if biased[1] else ""})  k = Relu(j)  y = Conv(k, C) }}"""
    weights = {"A": first, "B": second, "C": third, "a": biases[0], "b": biases[1], "s": np.array(1.0)}
    model = parse(text, **{key: array for key, array in weights.items() if f" {key}" in text.partition("{")[2]})
    same_after(model, rng.integers(-3, 4, (2, 3, *[7] * dims)).astype(np.float64), step)
    assert all(width % step == 0 or width == 8 or groups > 1 for width in widths(model)[:1])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**20))
def test_plain_chains_keep_exactly_what_lives(seed: int) -> None:
    """As many channels go as a count of zero filters and unread inputs says."""
    rng = rng_of(seed)
    zero, unread = rng.random(8) < 0.4, rng.random(8) < 0.4
    first, second = integers(8, 3, 1, 1, seed=seed), integers(5, 8, 3, 3, seed=seed)
    first[zero], second[:, unread] = 0, 0
    model = parse(
        f"g (double[N, 3, 6, 6] x) => (double[N, 5, 6, 6] y) {{ h = Conv(x, A) t = Relu(h) {PADDED} }}",
        A=first,
        B=second,
    )
    same_after(model, X)
    assert widths(model)[0] == max(int((~zero & ~unread).sum()), 1)


def test_half_precision_is_left_alone() -> None:
    first = np.ones((8, 3, 1, 1), np.float16)
    first[DEAD] = 0
    text = "g (float16[N, 3, 6, 6] x) => (float16[N, 5, 6, 6] y) { h = Conv(x, A) y = Conv(h, B) }"
    model = parse(text, A=first, B=np.ones((5, 8, 1, 1), np.float16))
    assert remove_dead_channels.apply(model) == ""


@pytest.mark.parametrize("opset", [7, 9, 11, 12, 13, 18, 21, 23])
def test_old_and_new_operator_sets(opset: int) -> None:
    split = "l, r = Split<axis = 1, split = [3, 5]>(h)" if opset < 13 else "l, r = Split<axis = 1>(h, s)"
    more = {"s": i64(3, 5)} if opset >= 13 else {}
    model = made(f"{split} u = Relu(r) t = Concat<axis = 1>(u, l)", PADDED, opset, B=THREE, **more)
    assert same_after(model, X)
    assert widths(model)[0] == 4


@pytest.mark.parametrize("op", ["Conv", "ConvTranspose"])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_groups_in_a_runtime(op: str, groups: int) -> None:
    """Integers in single precision, in a runtime that knows groups of transposed convolutions."""
    rng = rng_of(groups)
    first, third = (rng.integers(-2, 3, (8, size, 1, 1)).astype(np.float32) for size in (3, 8))
    second, bias = (rng.integers(-2, 3, shape).astype(np.float32) for shape in ((8, 8 // groups, 3, 3), 8))
    first[[0, 1, 4, 6, 7]], second[[2, 3]], third[:, [0, 1, 5, 7]] = 0, 0, 0
    text = f"""g (float[N, 3, 6, 6] x) => (float[N, 8, a, b] y) {{
        h = Conv(x, A)  t = {op}<group = {groups}>(h, B, b)  y = Conv(t, C) }}"""
    model = parse(text, A=first, B=second, C=third, b=bias)
    x, before = X.astype(np.float32), ir.serde.serialize_model(model).SerializeToString()
    assert remove_dead_channels.apply(model)
    after = ir.serde.serialize_model(model).SerializeToString()
    want, got = (onnxruntime.InferenceSession(each).run(None, {"x": x})[0] for each in (before, after))
    np.testing.assert_array_equal(got, want)
    assert widths(model)[0] < 8


def test_blocks_become_places_together() -> None:
    """The four channels behind each picture of DepthToSpace go together, or none does."""
    for mode, dead, left in (("DCR", [0, 2, 4, 6], 4), ("CRD", [0, 1, 2, 3], 4), ("DCR", [0, 1, 2, 3], 8)):
        first = integers(8, 3, 1, 1)
        first[dead] = 0
        text = f"""g (double[N, 3, 6, 6] x) => (double[N, 5, a, b] y) {{
            h = Conv(x, A)  t = DepthToSpace<blocksize = 2, mode = "{mode}">(h)  {PADDED} }}"""
        model = parse(text, A=first, B=integers(5, 2, 3, 3))
        same_after(model, X)
        assert widths(model)[0] == left
