"""Batch normalization goes into the layers around it, to the last bit of integers, and stays where none can take it."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import ops, outputs, parse

from chipwise.optimize import fold_batch_norm

NORM = "BatchNormalization <epsilon = 0.0>"


def norm(rng: np.random.Generator, channels: int, letter: str = "n", *, shift: bool = True) -> dict[str, np.ndarray]:
    """Integer parameters, called g, b, m and v after the letter."""
    scale, beta, mean = rng.integers(-2, 3, (3, channels)).astype(np.float64)
    beta = beta if shift else scale * mean
    return {f"{letter}g": scale, f"{letter}b": beta, f"{letter}m": mean, f"{letter}v": np.ones(channels)}


def whole(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.integers(-2, 3, shape).astype(np.float64)


def dense(model: ir.Model) -> ir.Model:
    """Transposed convolutions of several groups as those of one: the evaluator knows no others."""
    model = model.clone()
    for node in model.graph:
        groups = node.attributes["group"].as_int() if "group" in node.attributes else 1
        if node.op_type == "ConvTranspose" and groups > 1:
            weight = node.inputs[1].const_value.numpy()
            takes, gives = weight.shape[0] // groups, weight.shape[1]
            full = np.zeros((weight.shape[0], gives * groups, *weight.shape[2:]))
            for each in range(groups):
                rows = slice(each * takes, (each + 1) * takes)
                full[rows, each * gives : (each + 1) * gives] = weight[rows]
            node.inputs[1].const_value = ir.tensor(full)
            node.attributes["group"] = ir.AttrInt64("group", 1)
    return model


def same(model: ir.Model, x: np.ndarray) -> str:
    """Run the pass; what it said. Outputs are the same, and called the same."""
    before, names = outputs(dense(model), x), [value.name for value in model.graph.outputs]
    said = fold_batch_norm.apply(model)
    assert [value.name for value in model.graph.outputs] == names
    for got, want in zip(outputs(dense(model), x), before, strict=True):
        np.testing.assert_array_equal(got, want)
    return said


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    op=st.sampled_from(["Conv", "ConvTranspose"]),
    groups=st.sampled_from([1, 2, 4]),
    kernel=st.sampled_from([1, 2, 3]),
    stride=st.integers(1, 2),
    pad=st.integers(0, 1),
    dilation=st.integers(1, 2),
    dims=st.integers(1, 3),
    bias=st.booleans(),
    before=st.booleans(),
)
def test_into_convolutions(
    seed: int,
    op: str,
    groups: int,
    kernel: int,
    stride: int,
    pad: int,
    dilation: int,
    dims: int,
    bias: bool,
    before: bool,
) -> None:
    rng = np.random.default_rng(seed)
    takes, gives = 4, 8
    shift = bool(rng.integers(2))
    lists = {"pads": [pad] * 2 * dims, "strides": [stride] * dims, "dilations": [dilation] * dims}
    attributes = ", ".join(f"{name} = {value}" for name, value in lists.items())
    layer = f"{op} <group = {groups}, {attributes}> ({{}}, w{', c' if bias else ''})"
    rows = f"a = {NORM} (x, ng, nb, nm, nv)  y = {layer.format('a')}"
    if not before:
        rows = f"a = {layer.format('x')}  y = {NORM} (a, ng, nb, nm, nv)"
    sides = (6,) * dims
    w = whole(rng, gives, takes // groups, *(kernel,) * dims)
    if op == "ConvTranspose":
        w = whole(rng, takes, gives // groups, *(kernel,) * dims)
    weights = norm(rng, takes if before else gives, shift=shift) | {"w": w} | ({"c": whole(rng, gives)} if bias else {})
    inner, outer = ", ".join("6" * dims), ", ".join("HWD"[:dims])
    model = parse(f"g (double[N, 4, {inner}] x) => (double[N, 8, {outer}] y) {{ {rows} }}", **weights)
    padded = op == "ConvTranspose" or pad > 0
    moved = bool((weights["nb"] - weights["nm"] * weights["ng"]).any())
    said = same(model, whole(rng, 2, takes, *sides))
    assert bool(said) == (not before or not padded or not moved)
    assert ops(model) == ([op] if said else ["BatchNormalization", op])


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    op=st.sampled_from(["Gemm", "GemmT", "MatMul", "MatMulAdd"]),
    bias=st.sampled_from([None, (), (1,), (5,), (1, 5), (2, 1), (2, 5)]),
    before=st.booleans(),
)
def test_into_matrix_products(seed: int, op: str, bias: tuple[int, ...] | None, before: bool) -> None:
    rng = np.random.default_rng(seed)
    weights = norm(rng, 4 if before else 5) | {"w": whole(rng, 4, 5)}
    if op == "GemmT":
        weights["w"] = weights["w"].T
    shape = (5,) if bias is None else bias
    weights["c"] = whole(rng, *shape)
    layer = {
        "Gemm": f"Gemm ({{}}, w{'' if bias is None else ', c'})",
        "GemmT": f"Gemm <transB = 1> ({{}}, w{'' if bias is None else ', c'})",
        "MatMul": "MatMul({}, w)",
        "MatMulAdd": "MatMul({}, w)",
    }[op]
    added = "h = Add(z, c)" if op == "MatMulAdd" else "h = Identity(z)"
    rows = f"a = {NORM} (x, ng, nb, nm, nv)  z = {layer.format('a')}  {added}  y = Neg(h)"
    if not before:
        rows = f"z = {layer.format('x')}  {added}  a = {NORM} (h, ng, nb, nm, nv)  y = Neg(a)"
    model = parse(f"g (double[2, 4] x) => (double[2, 5] y) {{ {rows} }}", **weights)
    assert same(model, whole(rng, 2, 4))
    assert "BatchNormalization" not in ops(model)
    assert ops(model).count("Add") <= (2 if len(shape) == 2 else 1)


@pytest.mark.parametrize(
    ("rows", "left"),
    [
        # every input of a concatenation takes its channels
        (
            f"a = Conv(x, w)  b = Conv(x, w, c)  d = Concat <axis = 1> (a, b)  y = {NORM} (d, ng, nb, nm, nv)",
            ["Conv", "Conv", "Concat"],
        ),
        # and the reader of one takes those of one input
        (
            f"n = {NORM} (x, kg, kb, km, kv)  r = Abs(x)  d = Concat <axis = 1> (r, n)  y = Conv(d, w4)",
            ["Abs", "Concat", "Conv"],
        ),
        (f"n = {NORM} (x, kg, kb, km, kv)  f = Flatten(n)  y = Gemm(f, w32)", ["Flatten", "Gemm"]),
        (
            f"n = {NORM} (x, kg, kb, km, kv)  s = Constant <value = int64[2] {{0, -1}}> ()  f = Reshape(n, s)"
            "  y = Gemm(f, w32)",
            ["Constant", "Reshape", "Gemm"],
        ),
        (
            f"n = {NORM} (x, kg, kb, km, kv)  p = GlobalAveragePool(n)  f = Flatten(p)  y = Gemm(f, w2)",
            ["GlobalAveragePool", "Flatten", "Gemm"],
        ),
        (
            f"n = {NORM} (x, kg, kb, km, kv)  s = Constant <value = int64[2] {{2, 3}}> ()"
            "  f = ReduceMean <keepdims = 0> (n, s)  y = MatMul(f, w2)",
            ["Constant", "ReduceMean", "MatMul", "Add"],
        ),
        (
            f"n = {NORM} (x, kg, kb, km, kv)  t = Transpose <perm = [0, 2, 3, 1]> (n)"
            "  f = MatMul(t, w2)  y = Add(f, c)",
            ["Transpose", "MatMul", "Add"],
        ),
        # one takes the other
        (f"n = {NORM} (x, kg, kb, km, kv)  y = {NORM} (n, hg, hb, hm, hv)", ["BatchNormalization"]),
        # two readers, both of which can take it
        (f"n = {NORM} (x, kg, kb, km, kv)  a = Conv(n, w)  b = Conv(n, w, c)  y = Mul(a, b)", ["Conv", "Conv", "Mul"]),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_through_what_is_between(rows: str, left: list[str], seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = norm(rng, 4) | norm(rng, 2, "k") | norm(rng, 2, "h") | {"w": whole(rng, 2, 2, 1, 1), "c": whole(rng, 2)}
    weights |= {"w4": whole(rng, 3, 4, 3, 3), "w32": whole(rng, 32, 3), "w2": whole(rng, 2, 2)}
    weights["kb"] = weights["kg"] * weights["km"] + 1  # always a shift
    rank = {"Gemm": 2, "MatMul": 2}.get(left[-1], 2 if "ReduceMean" in left else 4)
    model = parse(f"g (double[N, 2, 4, 4] x) => (double[{', '.join('NCHW'[:rank])}] y) {{ {rows} }}", **weights)
    assert same(model, whole(rng, 2, 2, 4, 4)).startswith("folded 1 batch-norm into")
    assert ops(model) == left


LOOK_ALIKES = {
    "read elsewhere": f"a = Conv(x, w)  b = {NORM} (a, ng, nb, nm, nv)  y = Add(a, b)",
    "one reader cannot": f"a = {NORM} (x, ng, nb, nm, nv)  b = Conv(a, w)  y = Add(a, b)",
    "one input of the concatenation cannot": (
        f"a = Conv(x, w)  d = Concat <axis = 1> (a, x)  y = {NORM} (d, kg, kb, km, kv)"
    ),
    "rectified": f"a = Conv(x, w)  r = Relu(a)  y = {NORM} (r, ng, nb, nm, nv)",
    "a border that is not shifted": f"a = {NORM} (x, ng, nb, nm, nv)  y = Conv <pads = [1, 0, 0, 0]> (a, w)",
    "a border that may be": f'a = {NORM} (x, ng, nb, nm, nv)  y = Conv <auto_pad = "SAME_UPPER"> (a, w3)',
    "a padded average": (
        f"a = {NORM} (x, ng, nb, nm, nv)"
        "  p = AveragePool <kernel_shape = [2, 2], pads = [1, 1, 1, 1], count_include_pad = 1> (a)  y = Conv(p, w)"
    ),
    "the weight is no constant": f"s = Shape(x)  f = ConstantOfShape(s)  d = CastLike(f, x)"
    f"  a = Conv(x, d)  y = {NORM} (a, ng, nb, nm, nv)",
    "channels are not the last axis": f"s = MatMul(x, square)  y = {NORM} (s, ng, nb, nm, nv)",
    "in training": "a = Conv(x, w)  y, p, q = BatchNormalization <training_mode = 1> (a, ng, nb, nm, nv)",
    "an output": f"a = Conv(x, w)  y = Neg(a)  z = {NORM} (a, ng, nb, nm, nv)",
}


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_look_alikes_are_left_alone(name: str) -> None:
    rng = np.random.default_rng(4)
    weights = {"ng": np.array([2.0, 3]), "nb": np.array([1.0, 2]), "nm": np.array([5.0, 1]), "nv": np.ones(2)}
    weights |= norm(rng, 4, "k") | {
        "w": whole(rng, 2, 2, 1, 1),
        "w3": whole(rng, 2, 2, 3, 3),
        "square": whole(rng, 4, 4),
    }
    given_back = "double[A, B, C, D] y" + (", double[E, F, G, H] z" if " z = " in LOOK_ALIKES[name] else "")
    model = parse(f"g (double[2, 2, 4, 4] x) => ({given_back}) {{ {LOOK_ALIKES[name]} }}", **weights)
    before = ops(model)
    if name == "the weight is no constant":
        assert fold_batch_norm.apply(model) == ""
    else:
        assert same(model, whole(rng, 2, 2, 4, 4)) == ""
    assert ops(model) == before


def test_a_weight_read_elsewhere_stays_as_it_was() -> None:
    rng = np.random.default_rng(5)
    rows = f"a = Conv(x, w)  b = {NORM} (a, ng, nb, nm, nv)  d = Conv(x, w)  y = Sub(b, d)"
    model = parse(
        f"g (double[2, 2, 4, 4] x) => (double[A, B, C, D] y) {{ {rows} }}", w=whole(rng, 2, 2, 3, 3), **norm(rng, 2)
    )
    assert same(model, whole(rng, 2, 2, 4, 4))
    assert ops(model) == ["Conv", "Conv", "Sub"]


def test_a_branch_that_reads_a_value_from_outside_counts_as_a_reader() -> None:
    rng = np.random.default_rng(6)
    rows = f"""a = Conv(x, w)  b = {NORM} (a, ng, nb, nm, nv)  s = ReduceSum <keepdims = 0> (x)  zero = CastLike(o, s)
        t = Greater(s, zero)  y = If (t) <
            then_branch = g1 () => (double[A, B, C, D] p) {{ p = Add(a, b) }},
            else_branch = g2 () => (double[A, B, C, D] q) {{ q = Conv(b, w) }}> """
    model = parse(
        f"g (double[2, 2, 4, 4] x) => (double[A, B, C, D] y) {{ {rows} }}",
        **{"w": whole(rng, 2, 2, 1, 1), "o": np.zeros(())} | norm(rng, 2),
    )
    assert same(model, whole(rng, 2, 2, 4, 4)) == ""


def test_one_per_place_of_old_graphs_stays() -> None:
    rng = np.random.default_rng(7)
    text = """g (float[2, 2, 4, 4] x) => (float[2, 2, 4, 4] y) {
        a = Conv(x, w)  y = BatchNormalization <spatial = 0> (a, g, b, m, v) }"""
    per_place = {name: np.ones((2, 4, 4), np.float32) for name in "gbmv"}
    model = parse(text, opset=8, w=whole(rng, 2, 2, 1, 1).astype(np.float32), **per_place)
    assert fold_batch_norm.apply(model) == ""
    vector = {name: np.ones(2, np.float32) for name in "gbmv"}
    model = parse(text.replace(" <spatial = 0>", ""), opset=8, w=np.ones((2, 2, 1, 1), np.float32), **vector)
    assert fold_batch_norm.apply(model)


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_element_types_are_not_mixed(kind: type) -> None:
    name = {np.float16: "float16", np.float32: "float"}[kind]
    text = f"""g ({name}[2, 2, 4, 4] x) => ({name}[2, 2, 4, 4] y) {{
        a = Conv(x, w)  y = BatchNormalization(a, g, b, m, v) }}"""
    weights = {"w": np.ones((2, 2, 1, 1), kind)} | {each: np.ones(2, kind) for each in "gb"}
    weights |= {each: np.full(2, 2, np.float32) for each in "mv"}  # may be wider than what is normalized
    model = parse(text, **weights)
    assert bool(fold_batch_norm.apply(model)) == (kind is np.float32)
    if kind is np.float32:
        assert all(value.const_value.dtype == ir.DataType.FLOAT for value in model.graph.initializers.values())


def test_weights_that_would_overflow_stay() -> None:
    weights = {"w": np.full((2, 2, 1, 1), 1e20, np.float32), "g": np.full(2, 1e20, np.float32)}
    weights |= {"b": np.zeros(2, np.float32), "m": np.zeros(2, np.float32), "v": np.ones(2, np.float32)}
    text = "{ a = Conv(x, w)  y = BatchNormalization(a, g, b, m, v) }"
    model = parse(f"g (float[2, 2, 4, 4] x) => (float[2, 2, 4, 4] y) {text}", **weights)
    assert fold_batch_norm.apply(model) == ""
