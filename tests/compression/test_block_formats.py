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
        np.testing.assert_array_equal(quantize_blocks(block, table), np.asarray(wanted) + 0.0)
        own = gfloat.quantize_block(info, block, lambda _, given: gfloat.compute_scale_amax(elements, given))
        inside = np.abs(block / scale) <= info.etype.max  # gfloat's own does not saturate
        np.testing.assert_array_equal(quantize_blocks(block, table)[inside], own[inside] + 0.0)


def test_each_block_of_32_has_its_scale_and_the_last_may_be_short() -> None:
    table = number_formats()["mxfp4-e2m1"].table
    row = np.concatenate([np.full(32, 512.0), np.full(5, 0.001)])
    made = quantize_blocks(row, table)
    assert made[:32].tolist() == [512.0] * 32
    assert made[32:].tolist() == [2.0**-10] * 5


def test_zeros_stay_zeros() -> None:
    assert quantize_blocks(np.zeros(40), number_formats()["mxint8"].table).tolist() == [0.0] * 40
