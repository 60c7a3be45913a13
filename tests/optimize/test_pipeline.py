"""Each pass does what it says and keeps what the graph computes, against the reference evaluator."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnx.reference
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chipwise.optimize import (
    drop_noops,
    drop_unused,
    fold_batch_norm,
    fold_constants,
    fold_scales,
    freeze_initializers,
    pipeline,
)


def parse(text: str, **initializers: np.ndarray) -> ir.Model:
    model = onnx.parser.parse_model('<ir_version: 8, opset_import: ["" : 17]>\n' + text)
    for name, array in initializers.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    onnx.checker.check_model(model)
    return ir.serde.deserialize_model(model)


def outputs(model: ir.Model, *arrays: np.ndarray) -> list[np.ndarray]:
    names = [value.name for value in model.graph.inputs]
    proto = ir.serde.serialize_model(model)
    return onnx.reference.ReferenceEvaluator(proto).run(None, dict(zip(names, arrays, strict=True)))


def ops(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def test_noops_go_and_training_dropout_stays() -> None:
    model = parse("""g (float[2] x) => (float[2] y) {
        a = Identity(x)  ratio = Constant <value = float {0.5}> ()  off = Constant <value = bool {0}> ()
        on = Constant <value = bool {1}> ()
        b = Dropout(a)  c = Cast <to = 1> (b)  d = Dropout(c, ratio, off)  y = Dropout(d, ratio, on) }""")
    assert drop_noops.apply(model)
    assert ops(model).count("Dropout") == 1
    assert "Identity" not in ops(model)


def test_a_second_relu_goes_and_the_output_keeps_its_name() -> None:
    model = parse("g (float[4] x) => (float[4] y) { a = Relu(x)  b = Relu(a)  c = Neg(b)  d = Relu(c)  y = Relu(d) }")
    x = np.array([-2, -1, 1, 2], np.float32)
    before = outputs(model, x)
    assert drop_noops.apply(model)
    assert ops(model) == ["Relu", "Neg", "Relu"]
    assert [value.name for value in model.graph.outputs] == ["y"]
    np.testing.assert_array_equal(outputs(model, x)[0], before[0])


def test_constants_are_folded() -> None:
    model = parse("""g (float[N, 4] x) => (float[N, 4] y) {
        one = Constant <value = float {1.0}> ()  two = Add(one, one)  y = Mul(x, two) }""")
    x = np.ones((3, 4), np.float32)
    before = outputs(model, x)
    assert fold_constants.apply(model)
    assert ops(model) == ["Mul"]
    np.testing.assert_array_equal(outputs(model, x)[0], before[0])


def test_frozen_initializers_leave_the_inputs() -> None:
    text = "g (float[1, 2] x, float[2, 2] w) => (float[1, 2] y) { y = MatMul(x, w) }"
    model = parse(text, w=np.eye(2))
    assert freeze_initializers.apply(model)
    assert [value.name for value in model.graph.inputs] == ["x"]
    assert model.graph.initializers["w"] is not None


def test_unused_nodes_and_equal_weights_go() -> None:
    text = "g (float[1, 2] x) => (float[1, 2] y) { a = MatMul(x, w)  b = MatMul(a, v)  dead = Neg(x)  y = Relu(b) }"
    model = parse(text, w=np.eye(2), v=np.eye(2), lost=np.ones(7))
    assert drop_unused.apply(model)
    assert ops(model) == ["MatMul", "MatMul", "Relu"]
    assert len(model.graph.initializers) == 1


def conv_bn(rng: np.random.Generator, channels: int, kernel: int, bias: bool, epsilon: float) -> ir.Model:
    text = f"""g (float[N, 2, 7, 7] x) => (float[N, {channels}, H, W] y) {{
        a = Conv <pads = [1, 1, 1, 1]> (x, w{", b" if bias else ""})
        c = BatchNormalization <epsilon = {epsilon}> (a, gamma, beta, mean, var)  y = Relu(c) }}"""
    arrays = {"w": rng.normal(size=(channels, 2, kernel, kernel)), "gamma": rng.normal(size=channels)}
    arrays |= {"beta": rng.normal(size=channels), "mean": rng.normal(size=channels), "var": rng.random(channels) + 0.1}
    return parse(text, **arrays, **({"b": rng.normal(size=channels)} if bias else {}))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    channels=st.integers(1, 5),
    kernel=st.sampled_from([1, 3]),
    bias=st.booleans(),
    epsilon=st.sampled_from([1e-5, 1e-3, 1e-1]),
)
def test_batch_norm_folds_into_the_convolution(
    seed: int, channels: int, kernel: int, bias: bool, epsilon: float
) -> None:
    rng = np.random.default_rng(seed)
    model = conv_bn(rng, channels, kernel, bias, epsilon)
    x = rng.normal(size=(2, 2, 7, 7)).astype(np.float32)
    before = outputs(model, x)[0]
    optimized, done = pipeline.optimize(model)
    assert ops(optimized) == ["Conv", "Relu"]
    assert any("folded 1 batch-norm" in line for line in done)
    np.testing.assert_allclose(outputs(optimized, x)[0], before, rtol=1e-4, atol=1e-4)
    assert "BatchNormalization" in ops(model), "the model that was given must not change"


def test_shared_convolution_is_left_alone() -> None:
    rng = np.random.default_rng(0)
    model = parse(
        """g (float[1, 2, 5, 5] x) => (float[1, 3, 5, 5] y) { a = Conv(x, w)
        b = BatchNormalization(a, gamma, beta, mean, var)  y = Add(a, b) }""",
        w=rng.normal(size=(3, 2, 1, 1)),
        gamma=rng.normal(size=3),
        beta=rng.normal(size=3),
        mean=rng.normal(size=3),
        var=rng.random(3) + 0.5,
    )
    x = rng.normal(size=(1, 2, 5, 5)).astype(np.float32)
    before = outputs(model, x)[0]
    fold_batch_norm.apply(model)
    np.testing.assert_allclose(outputs(model, x)[0], before, rtol=1e-5, atol=1e-5)


def test_nothing_to_do_says_nothing() -> None:
    model = parse("g (float[2] x) => (float[2] y) { y = Relu(x) }")
    assert pipeline.optimize(model)[1] == ()


@pytest.mark.parametrize(("said", "shown"), [("does not fit\nsecond line", "does not fit"), ("", "ValueError")])
def test_a_failing_pass_is_rolled_back(monkeypatch: pytest.MonkeyPatch, said: str, shown: str) -> None:
    model = parse("g (float[2] x) => (float[2] y) { a = Identity(x)  y = Relu(a) }")

    def broken(attempt: ir.Model) -> str:
        attempt.graph.remove(attempt.graph[0], safe=False)
        raise ValueError(said)

    monkeypatch.setattr(fold_constants, "apply", broken)
    optimized, done = pipeline.optimize(model)
    assert f"rolled back fold_constants: {shown}" in done
    x = np.array([-1, 2], np.float32)
    np.testing.assert_array_equal(outputs(optimized, x)[0], [0, 2])


SCALED = """g (float[N, 3, 8, 8] x) => (float[N, 2] y) {
    p = Mul(x, half)  a = Conv <pads = [1, 1, 1, 1]> (p, w1, b1)  c = Mul(a, channel)  d = Add(c, channel2)  e = Tanh(d)
    f = Mul(e, big)  h = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (f)  i = Mul(h, channel)
    j = Add(i, channel2)  k = Mul(j, half)  l = Tanh(k)  m = Div(l, big)  i1 = Constant <value = int64[2] {0, 2}> ()
    n = Gather <axis = 1> (m, i1)  o = Conv(n, w2)  q = Conv(m, w3, b3)  r = Concat <axis = 1> (o, q)  s = Sub(r, half)
    t = Mul(s, big)  u = Relu(t)  v = Flatten(u)  y0 = Gemm <transB = 1> (v, w4, b4)  y = Mul(big, y0) }"""


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), half=st.floats(0.01, 3), big=st.floats(-3, 3).filter(lambda x: abs(x) > 0.1))
def test_scales_and_shifts_fold(seed: int, half: float, big: float) -> None:
    rng = np.random.default_rng(seed)
    shapes = {"w1": (4, 3, 3, 3), "b1": (4,), "channel": (4, 1, 1), "channel2": (1, 4, 1, 1), "w2": (2, 2, 3, 3)}
    shapes |= {"w3": (3, 4, 3, 3), "b3": (3,), "w4": (2, 20), "b4": (2,)}
    arrays = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    model = parse(SCALED, half=np.array(half), big=np.array([big]), **arrays)
    x = rng.normal(size=(2, 3, 8, 8)).astype(np.float32)
    before = outputs(model, x)[0]
    optimized, done = pipeline.optimize(model)
    np.testing.assert_allclose(outputs(optimized, x)[0], before, rtol=2e-3, atol=2e-3 * np.abs(before).max())
    assert not any("rolled back" in line for line in done)
    assert ops(optimized) == [
        *("Conv", "Tanh", "AveragePool", "Mul", "Add", "Tanh", "Gather", "Conv", "Conv", "Concat", "Relu", "Flatten"),
        "Gemm",
    ]


@pytest.mark.parametrize(
    "body",
    [
        "a = Mul(x, two)  b = MaxPool <kernel_shape = [2, 2]> (a)  y = Neg(b)",  # nothing to fold into
        "a = Conv(x, w)  b = Mul(a, two)  y = Add(a, b)",  # the unscaled value is read too
        "a = Conv(x, w)  y = Mul(a, row)",  # one factor per column, not per channel
        "a = Mul(x, x)  y = Conv(a, w)",  # not a constant
        "a = Mul(x, two)  b = Conv(a, w)  y = Add(b, a)",  # the scaled value is read elsewhere
        "a = Sub(two, x)  y = Conv(a, w)",  # not a shift of x
    ],
)
def test_what_must_not_fold_does_not(body: str) -> None:
    rng = np.random.default_rng(1)
    arrays = {"w": rng.normal(size=(2, 2, 1, 1)), "two": np.array(2.0), "row": rng.normal(size=6)}
    model = parse(f"g (float[1, 2, 6, 6] x) => (float[1, 2, H, W] y) {{ {body} }}", **arrays)
    x = rng.normal(size=(1, 2, 6, 6)).astype(np.float32)
    before, operators = outputs(model, x)[0], ops(model)
    assert fold_scales.apply(model) == ""
    assert ops(model) == operators
    np.testing.assert_array_equal(outputs(model, x)[0], before)


@pytest.mark.parametrize(
    ("body", "shape"),
    [
        ("a = Gemm(x, w2)  b = Mul(a, four)  y = Mul(b, two)", (2, 3)),  # the factor adds two dimensions
        ("a = Mul(x, four)  y = Conv(a, w4)", (3, 6, 6)),
        ("a = Mul(x, depth)  b = GlobalAveragePool(a)  c = Mul(b, two)  y = Mul(c, two)", (1, 2, 3, 4, 4)),
        ("a = Mul(x, tiny)  b = Div(a, tiny)  y = Conv(b, w4)", (2, 3, 6, 6)),  # 1 / tiny is infinite
        ("a = Mul(x, huge)  b = Mul(x, tiny)  c = Mul(a, tiny)  d = Mul(b, huge)  y = Add(c, d)", (2, 3, 6, 6)),
    ],
)
def test_constants_that_add_dimensions_or_overflow_are_kept_right(body: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(2)
    arrays = {"w2": rng.normal(size=(3, 4)), "w4": rng.normal(size=(2, 3, 1, 1)), "two": np.array(2.0)}
    arrays |= {"four": np.full((1, 1, 1, 1), 4.0), "depth": rng.normal(size=(3, 1, 1))}
    arrays |= {"tiny": np.array(1e-39), "huge": np.array(1e30)}
    taken, given_back = ", ".join(map(str, shape)), "A, B, C, D, E" if len(shape) == 5 else "A, B, C, D"
    model = parse(f"g (float[{taken}] x) => (float[{given_back}] y) {{ {body} }}", **arrays)
    x = rng.normal(size=shape).astype(np.float32)
    before = outputs(model, x)[0]
    after = outputs(pipeline.optimize(model)[0], x)[0]
    assert after.shape == before.shape
    np.testing.assert_allclose(after, before, rtol=1e-3, atol=1e-3 * np.abs(before).max())
