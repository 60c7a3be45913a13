"""Taps without effect go, and what a convolution computes stays."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from random_networks import Builder, outputs, parse

from chipwise.optimize import trim_kernels


def trimmed(kernel: np.ndarray, size: int | str, **attributes: object) -> dict[str, tuple[int, ...]] | None:
    """Attributes of the convolution of [2, 3, size, size] after the pass; None where it did nothing."""
    given_attributes = ", ".join(f"{name} = {value}" for name, value in {"group": 1, **attributes}.items())
    text = f"g (double[N, 3, {size}, {size}] x) => (double[N, C, H, W] y) {{ y = Conv <{given_attributes}> (x, w) }}"
    model = parse(text, w=kernel)
    x = np.random.default_rng(1).integers(-3, 4, (2, 3, *[7 if size == "S" else size] * 2)).astype(np.float64)
    before = outputs(model, x)[0]
    said = trim_kernels.apply(model)
    np.testing.assert_array_equal(outputs(model, x)[0], before)
    return {name: tuple(a.value) for name, a in model.graph[0].attributes.items() if name != "group"} if said else None


def ringed(size: int, ring: int) -> np.ndarray:
    kernel = np.ones((2, 3, size, size))
    kernel[:, :, :ring] = kernel[:, :, size - ring :] = 0
    kernel[:, :, :, :ring] = kernel[:, :, :, size - ring :] = 0
    return kernel


def test_a_ring_of_zeros_goes() -> None:
    wanted = {"kernel_shape": (3, 3), "dilations": (1, 1), "pads": (1, 1, 1, 1)}
    assert trimmed(ringed(5, 1), "S", pads=[2, 2, 2, 2]) == wanted
    assert trimmed(ringed(7, 3), "S", pads=[3, 3, 3, 3], strides=[2, 2])["kernel_shape"] == (1, 1)


def test_holes_become_a_dilation() -> None:
    kernel = np.zeros((2, 3, 5, 5))
    kernel[:, :, ::2, ::2] = 3
    wanted = {"kernel_shape": (3, 3), "dilations": (2, 2), "pads": (2, 2, 2, 2)}
    assert trimmed(kernel, "S", pads=[2, 2, 2, 2]) == wanted


def test_a_crop_is_not_free() -> None:
    assert trimmed(ringed(5, 1), "S") is None
    assert trimmed(ringed(5, 2), "S", pads=[1, 1, 1, 1])["kernel_shape"] == (3, 3)
    assert trimmed(ringed(5, 1), "S", pads=[1, 0, 0, 1])["kernel_shape"] == (4, 4)


@pytest.mark.parametrize(
    ("size", "attributes", "shape"),
    [
        (1, {"pads": [1, 1, 1, 1]}, (1, 1)),
        (2, {"pads": [1, 1, 1, 1]}, None),
        (6, {"pads": [8, 8, 8, 8], "dilations": [8, 8]}, (1, 1)),  # an atrous pyramid on a small image
        (1, {"pads": [1, 1, 1, 1], "strides": [2, 2]}, (1, 1)),
        (3, {}, None),
    ],
)
def test_taps_that_never_meet_the_image_go(size: int, attributes: dict[str, object], shape: tuple[int, ...]) -> None:
    done = trimmed(np.random.default_rng(0).integers(1, 4, (2, 3, 3, 3)).astype(np.float64), size, **attributes)
    assert (done and done["kernel_shape"]) == shape


def test_what_must_stay_stays() -> None:
    assert trimmed(np.zeros((2, 3, 5, 5)), "S", pads=[2, 2, 2, 2]) is None
    assert trimmed(ringed(5, 1), "S", auto_pad='"SAME_UPPER"') is None
    text = "g (double[N, 3, 7, 7] x, double[2, 3, 5, 5] w) => (double[N, C, H, W] y) "
    model = parse(text + "{ y = Conv <pads = [2, 2, 2, 2]> (x, w) }", w=ringed(5, 1))
    assert trim_kernels.apply(model) == "", "a weight that a caller may give"


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), seed=st.integers(0, 2**20))
def test_any_kernel(data: st.DataObject, seed: int) -> None:
    b = Builder(seed, 2)
    groups = data.draw(st.sampled_from([1, 2]))
    weight = b.rng.integers(-2, 3, (4, 2 // groups, *(data.draw(st.integers(1, 6)) for _ in range(2))))
    for axis in (2, 3):
        empty = data.draw(st.lists(st.integers(0, weight.shape[axis] - 1), max_size=5))
        weight[(slice(None),) * axis + (empty,)] = 0
    numbers = {name: [data.draw(st.integers(1, 3)) for _ in range(2)] for name in ("strides", "dilations")}
    pads = [data.draw(st.integers(0, 6)) for _ in range(4)]
    b.node("Conv", "x", b.keep(weight), group=groups, pads=pads, **numbers)
    model, x = b.model(), b.sample()[:, :, : data.draw(st.integers(1, 6)), : data.draw(st.integers(1, 6))]
    shape = [
        (n + pads[a] + pads[a + 2] - (weight.shape[a + 2] - 1) * numbers["dilations"][a] - 1)
        for a, n in enumerate(x.shape[2:])
    ]
    assume(min(shape) >= 0)
    known = data.draw(st.booleans())
    model.graph.inputs[0].shape = ir.Shape(["N", 2, *(x.shape[2:] if known else "HW")])
    model.graph.outputs[0].shape = ir.Shape(["N", 4, None, None])
    before = outputs(model, x)[0]
    event(trim_kernels.apply(model) or "nothing")
    np.testing.assert_array_equal(outputs(model, x)[0], before)
