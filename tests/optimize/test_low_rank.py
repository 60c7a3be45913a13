"""Weights of low rank become two layers: the same values, or nearly those where energy is given up."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_networks import Builder, ops, outputs

from chipwise.core.errors import InputError
from chipwise.optimize import factor_low_rank, split_low_rank
from chipwise.optimize.low_rank import surely_full, thin_factors

RNG = np.random.default_rng(0)


def of_rank(rank: int, rows: int, columns: int) -> np.ndarray:
    return RNG.standard_normal((rows, rank)) @ RNG.standard_normal((rank, columns))


def conv(weights: np.ndarray, **attributes: object) -> Builder:
    b = Builder(0, channels=weights.shape[1])
    b.node("Conv", b.value, b.keep(weights), b.integers(len(weights)), **attributes)
    return b


def difference(builder: Builder, each: object, rank: int = 4, **options: object) -> tuple[ir.Model, str, float]:
    """The graph after a pass, what it said, and the relative difference of the output."""
    model, x = builder.model(rank), builder.sample()
    before = outputs(model, x)[0]
    said = each.apply(model, **options)
    after = outputs(model, x)[0]
    assert after.shape == before.shape
    return model, said, float(np.linalg.norm(after - before) / np.linalg.norm(before))


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("op", ["Gemm", "MatMul"])
def test_a_matrix_of_low_rank(op: str, transposed: bool) -> None:
    b = Builder(1, channels=4)
    weights = of_rank(20, 144, 130)
    b.node("Flatten", b.value)
    if op == "Gemm":
        more = {"transB": 1, "alpha": 0.5} if transposed else {}
        b.node("Gemm", b.value, b.keep(weights.T if transposed else weights), b.integers(130), **more)
    else:
        b.node("MatMul", b.value, b.keep(weights))
    model, said, error = difference(b, split_low_rank, 2)
    assert said == "split 1 layer of low rank, which leaves 29% of their multiply-adds"
    assert ops(model) == ["Flatten", "MatMul", op]
    assert error < 1e-12


@pytest.mark.parametrize("options", [{}, {"pads": [1, 1, 1, 1]}, {"strides": [2, 1]}, {"auto_pad": "SAME_UPPER"}])
@pytest.mark.parametrize("kernel", [1, 3])
def test_a_convolution_of_low_rank(kernel: int, options: dict[str, object]) -> None:
    weights = of_rank(16, 128, 128 * kernel**2).reshape(128, 128, kernel, kernel)
    model, _, error = difference(conv(weights, kernel_shape=[kernel] * 2, **options), split_low_rank)
    assert ops(model) == ["Conv", "Conv"]
    assert error < 1e-12


def conv_in_groups() -> Builder:
    b = Builder(0, channels=256)
    b.node("Conv", b.value, b.keep(of_rank(4, 256, 128)[:, :, None, None]), group=2)
    return b


ALIKE = {
    "full rank": lambda: conv(RNG.standard_normal((128, 128, 1, 1))),
    "too little saved": lambda: conv(of_rank(50, 128, 128)[:, :, None, None]),
    "nearly, but not but for rounding": lambda: conv(
        (of_rank(10, 128, 128) + 1e-3 * RNG.standard_normal((128, 128)))[:, :, None, None]
    ),
    "narrow": lambda: conv(of_rank(4, 256, 64)[:, :, None, None]),
    "groups": conv_in_groups,
    "zeros": lambda: conv(np.zeros((128, 128, 1, 1))),
    "not finite": lambda: conv(np.full((128, 128, 1, 1), np.nan)),
}


@pytest.mark.parametrize("name", ALIKE)
def test_looks_alike(name: str) -> None:
    model = ALIKE[name]().model()
    assert split_low_rank.apply(model) == ""
    assert ops(model) == ["Conv"]


def test_weights_that_a_caller_can_change_stay() -> None:
    text = """<ir_version: 8, opset_import: ["": 17]> g (float[1, 128] x, float[128, 128] w) => (float[1, 128] y) {
        y = MatMul(x, w) }"""
    proto = onnx.parser.parse_model(text)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(of_rank(4, 128, 128).astype(np.float32), "w"))
    model = ir.serde.deserialize_model(proto)
    assert split_low_rank.apply(model) == factor_low_rank.apply(model) == ""


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 60), st.integers(1, 60), st.integers(0, 40), st.booleans())
def test_factors_have_the_rank_and_give_the_matrix(
    rank: int, rows: int, columns: int, limit: int, single: bool
) -> None:
    matrix = of_rank(rank, rows, columns).astype(np.float32 if single else np.float64)
    true = min(rank, rows, columns)
    factors = thin_factors(matrix, limit)
    if true > limit:
        assert factors is None
    else:
        assert factors is not None
        assert factors[0].shape == (rows, true)
        np.testing.assert_allclose(factors[0] @ factors[1], matrix, atol=1e-5 * np.abs(matrix).max())
        assert not surely_full(matrix, limit)


def test_large_matrices_are_searched_at_random() -> None:
    matrix = of_rank(70, 1100, 1200).astype(np.float32)
    factors = thin_factors(matrix, 300)
    assert factors is not None
    assert factors[0].shape == (1100, 70)
    np.testing.assert_allclose(factors[0] @ factors[1], matrix, atol=1e-4)
    assert thin_factors(matrix, 60) is None
    noise = RNG.standard_normal((1100, 1200)).astype(np.float32)
    assert surely_full(noise, 300)
    assert thin_factors(noise, 300) is None


SHAPES = st.fixed_dictionaries(
    {
        "kernel": st.sampled_from([(1, 1), (3, 3), (1, 3), (5, 3)]),
        "strides": st.sampled_from([[1, 1], [2, 1], [2, 2]]),
        "pads": st.sampled_from([[0, 0, 0, 0], [1, 2, 0, 1], [2, 2, 2, 2]]),
        "dilations": st.sampled_from([[1, 1], [1, 2]]),
        "way": st.sampled_from(["behind", "before", "separable", "both"]),
        "outputs": st.sampled_from([24, 40]),
    }
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(SHAPES)
def test_every_way_to_factor_a_convolution_keeps_all_energy_of_what_has_its_rank(shape: dict[str, object]) -> None:
    height, width = shape["kernel"]
    n, m, r = shape["outputs"], 32, 3
    make = RNG.standard_normal
    weights = {
        "behind": lambda: np.einsum("or,rihw->oihw", make((n, r)), make((r, m, height, width))),
        "before": lambda: np.einsum("ir,orhw->oihw", make((m, r)), make((n, r, height, width))),
        "separable": lambda: np.einsum("rih,row->oihw", make((r, m, height)), make((r, n, width))),
        "both": lambda: np.einsum("or,rshw,is->oihw", make((n, r)), make((r, r, height, width)), make((m, r))),
    }[shape["way"]]()
    b = conv(weights, strides=shape["strides"], pads=shape["pads"], dilations=shape["dilations"])
    model, said, error = difference(b, factor_low_rank, energy=1 - 1e-9)
    assert error < 1e-4
    if shape["strides"] == [1, 1]:
        assert said.startswith("factored 1 layer,")
        assert len(ops(model)) in (2, 3)


@pytest.mark.parametrize("energy", [0.5, 0.8, 0.9])
def test_the_energy_that_is_asked_for_is_kept(energy: float) -> None:
    sizes = 0.9 ** np.arange(64)
    left, right = (np.linalg.qr(RNG.standard_normal((64, 64)))[0] for _ in range(2))
    matrix = left * sizes @ right
    b = Builder(2, channels=64)
    b.node("Conv", b.value, b.keep(matrix.T[:, :, None, None]))
    model = b.model()
    assert factor_low_rank.apply(model, energy) == f"factored 1 layer, keeping {energy} of the energy of the weights"
    first, second = (node.inputs[1].const_value.numpy()[:, :, 0, 0] for node in model.graph)
    lost = np.square(first.T @ second.T - matrix).sum() / np.square(matrix).sum()
    assert 1 - lost >= energy - 1e-9
    kept = np.cumsum(sizes**2) / np.square(sizes).sum()
    assert len(first) == int(np.searchsorted(kept, energy)) + 1


@pytest.mark.parametrize("energy", [0.0, -1.0, 1.5, float("nan")])
def test_no_share(energy: float) -> None:
    with pytest.raises(InputError, match="share of energy"):
        factor_low_rank.apply(Builder(0).model(), energy)
