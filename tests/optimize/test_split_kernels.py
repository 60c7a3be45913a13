"""Kernels that are products are split where that saves work, and no others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_networks import ops, outputs, parse

from chipwise.optimize import split_kernels


def powers(*shape: int, seed: int) -> np.ndarray:
    """Factors whose quotients float64 holds exactly."""
    return np.random.default_rng(seed).choice([-2.0, -1, 1, 2], shape)


def kernels_after(
    kernel: np.ndarray, size: tuple[object, object] = (9, 8), exact: bool = True, **attributes: object
) -> list[tuple[int, ...]]:
    """Shapes of the weights after the pass; what they compute is compared."""
    group = int(attributes.get("group", 1))
    said = ", ".join(f"{name} = {value}" for name, value in {"group": 1, **attributes}.items())
    channels = kernel.shape[1] * group
    kind = "double" if kernel.dtype == np.float64 else "float"
    text = (
        f"g ({kind}[N, {channels}, {size[0]}, {size[1]}] x) => ({kind}[N, C, A, B] y) {{ y = Conv <{said}> (x, w, b) }}"
    )
    bias = np.arange(len(kernel)).astype(kernel.dtype)
    model = parse(text, w=kernel, b=bias)
    x = np.random.default_rng(1).integers(-3, 4, (2, channels, 9, 8)).astype(kernel.dtype)
    before = outputs(model, x)[0]
    done = split_kernels.apply(model)
    after = outputs(model, x)[0]
    atol = 0 if exact else 1e-9 if kernel.dtype == np.float64 else 1e-4
    np.testing.assert_allclose(after, before, rtol=0, atol=atol)
    assert bool(done) == (len(model.graph) > 1)
    assert set(ops(model)) == {"Conv"}
    return [node.inputs[1].const_value.numpy().shape for node in model.graph]


SAME5 = {"pads": [2, 2, 2, 2]}


@pytest.mark.parametrize("size", [(9, 8), ("H", "W")])
def test_depthwise_products(size: tuple[object, object]) -> None:
    kernel = powers(6, 1, 5, 1, seed=0) * powers(6, 1, 1, 5, seed=1)
    assert kernels_after(kernel, size, group=6, **SAME5) == [(6, 1, 5, 1), (6, 1, 1, 5)]


def test_one_kernel_for_all() -> None:
    kernel = powers(8, 6, 1, 1, seed=0) * powers(1, 1, 5, 1, seed=1) * powers(1, 1, 1, 5, seed=2)
    wanted = [(6, 1, 5, 1), (6, 1, 1, 5), (8, 6, 1, 1)]
    assert kernels_after(kernel, **SAME5) == wanted


def test_one_kernel_for_each_channel() -> None:
    mixture = powers(8, 6, 1, 1, seed=0)
    full = np.random.default_rng(3).choice([1.0, 2, 4], (1, 6, 5, 5))
    assert kernels_after(mixture * full, **SAME5) == [(6, 1, 5, 5), (8, 6, 1, 1)]
    full = np.random.default_rng(3).choice([1.0, 2, 4], (8, 1, 5, 5))
    assert kernels_after(mixture * full, **SAME5) == [(8, 6, 1, 1), (8, 1, 5, 5)]


def test_few_products_of_vertical_and_horizontal_taps() -> None:
    rng = np.random.default_rng(0)
    kernel = np.einsum("omw, mih -> oihw", rng.normal(size=(8, 3, 5)), rng.normal(size=(3, 6, 5)))
    for dtype in (np.float64, np.float32):
        assert kernels_after(kernel.astype(dtype), exact=False, **SAME5) == [(3, 6, 5, 1), (8, 3, 1, 5)]


@pytest.mark.parametrize(
    ("kernel", "attributes"),
    [
        (np.random.default_rng(0).normal(size=(8, 6, 5, 5)), SAME5),
        (np.random.default_rng(0).normal(size=(6, 1, 5, 5)), {**SAME5, "group": 6}),
        (powers(6, 1, 1, 2, seed=0) * powers(6, 1, 2, 1, seed=0), {"group": 6}),  # 4 taps, or 2 + 2
        (powers(2, 2, 3, 1, seed=0), {}),  # one column
        (np.full((2, 2, 3, 3), np.nan), {}),
    ],
)
def test_what_must_stay_stays(kernel: np.ndarray, attributes: dict[str, object]) -> None:
    assert len(kernels_after(kernel, **attributes)) == 1


def test_nearly_a_product_is_none() -> None:
    kernel = (powers(6, 1, 5, 1, seed=0) * powers(6, 1, 1, 5, seed=1)).astype(np.float32)
    kernel[3, 0, 2, 2] *= 1 + 1e-4
    assert len(kernels_after(kernel, group=6, **SAME5)) == 1


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), seed=st.integers(0, 2**20), groups=st.sampled_from([1, 2, 4]), free=st.booleans())
def test_any_product(data: st.DataObject, seed: int, groups: int, free: bool) -> None:
    high, wide = (data.draw(st.integers(1, 4)) for _ in range(2))
    shapes = [
        (8, 4 // groups, 1, 1),
        (8, 1, high, wide),
        (1, 4 // groups, high, wide),
        (8, 1, high, 1),
        (1, 1, 1, wide),
    ]
    kernel = np.ones((8, 4 // groups, high, wide))
    for index, shape in enumerate(shapes):
        if data.draw(st.booleans()):
            kernel = kernel * powers(*shape, seed=seed + index)
    pads = [data.draw(st.integers(0, 3)) for _ in range(4)]
    numbers = {name: [data.draw(st.integers(1, 2)) for _ in range(2)] for name in ("strides", "dilations")}
    kernels_after(kernel, ("H", "W") if free else (9, 8), exact=False, group=groups, pads=pads, **numbers)
