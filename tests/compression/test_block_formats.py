"""MX blocks against gfloat's, which follow the same specification."""

from __future__ import annotations

import gfloat
import numpy as np
import pytest
from gfloat import formats as known

from chipwise.compression.block_formats import quantize_blocks
from chipwise.compression.number_formats import number_formats

IN_GFLOAT = {
    "mxfp8-e4m3": known.format_info_mxfp8_e4m3,
    "mxfp8-e5m2": known.format_info_mxfp8_e5m2,
    "mxfp6-e3m2": known.format_info_mxfp6_e3m2,
    "mxfp6-e2m3": known.format_info_mxfp6_e2m3,
    "mxfp4-e2m1": known.format_info_mxfp4_e2m1,
}


@pytest.mark.parametrize("name", IN_GFLOAT)
def test_blocks_are_those_of_gfloat(name: str) -> None:
    rng = np.random.default_rng(2)
    info, table = IN_GFLOAT[name], number_formats()[name].table
    elements = np.log2(info.etype.max) // 1
    for power in (-20, 0, 15):
        block = rng.standard_normal(info.k) * 2.0**power
        scale = 2.0 ** (np.floor(np.log2(np.abs(block).max())) - elements)
        wanted = [gfloat.round_float(info.etype, float(each / scale), sat=True) * scale for each in block]
        np.testing.assert_array_equal(quantize_blocks(block, table)[0], np.asarray(wanted) + 0.0)
        own = gfloat.quantize_block(info, block, lambda _, given: gfloat.compute_scale_amax(elements, given))
        inside = np.abs(block / scale) <= info.etype.max  # gfloat's own does not saturate
        np.testing.assert_array_equal(quantize_blocks(block, table)[0][inside], own[inside] + 0.0)


def test_each_block_of_32_has_its_scale_and_the_last_may_be_short() -> None:
    table = number_formats()["mxfp4-e2m1"].table
    row = np.concatenate([np.full(32, 512.0), np.full(5, 0.001)])
    made, beyond = quantize_blocks(row, table)
    assert made[:32].tolist() == [512.0] * 32
    assert made[32:].tolist() == [2.0**-10] * 5
    assert beyond == 0


def test_zeros_stay_zeros() -> None:
    assert quantize_blocks(np.zeros(40), number_formats()["mxint8"].table)[0].tolist() == [0.0] * 40


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_block_that_is_not_finite_is_no_number_and_the_next_one_is(bad: float) -> None:
    table = number_formats()["mxfp4-e2m1"].table
    row = np.concatenate([np.full(31, 4.0), [bad], np.full(32, 4.0)])
    made, beyond = quantize_blocks(row, table)
    assert np.isnan(made[:32]).all()
    assert made[32:].tolist() == [4.0] * 32
    assert beyond == np.isinf(bad)


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 5), (0, 32)])
def test_nothing_stays_nothing(shape: tuple[int, ...]) -> None:
    made, beyond = quantize_blocks(np.zeros(shape), number_formats()["mxint8"].table)
    assert (made.shape, beyond) == (shape, 0)
