"""Tables of floats against two libraries that know them, and the folding of ties into cuts."""

from __future__ import annotations

from typing import Any

import gfloat
import ml_dtypes
import numpy as np
import pytest
from gfloat import formats as known
from hypothesis import given, settings
from hypothesis import strategies as st

from chipwise.compression.number_formats import number_formats
from chipwise.compression.number_tables import NumberTable, binary_float, cuts_between, integer

RNG = np.random.default_rng(0)
SPREAD = (RNG.standard_normal(3000) * np.exp2(RNG.integers(-60, 60, 3000))).astype(np.float32)
# Exponent bits, mantissa bits, highest exponent, overflow, and the same in ml_dtypes or numpy.
WITH_DTYPE: dict[str, tuple[int, int, Any, Any, Any]] = {
    "fp32": (8, 23, "ieee", "infinity", np.float32),
    "fp16": (5, 10, "ieee", "infinity", np.float16),
    "bf16": (8, 7, "ieee", "infinity", ml_dtypes.bfloat16),
    "fp8-e4m3": (4, 3, "nan", "nan", ml_dtypes.float8_e4m3fn),
    "fp8-e4m3-ieee": (4, 3, "ieee", "infinity", ml_dtypes.float8_e4m3),
    "fp8-e3m4": (3, 4, "ieee", "infinity", ml_dtypes.float8_e3m4),
    "fp8-e5m2": (5, 2, "ieee", "infinity", ml_dtypes.float8_e5m2),
    "fp6-e3m2": (3, 2, "finite", "saturate", ml_dtypes.float6_e3m2fn),
    "fp6-e2m3": (2, 3, "finite", "saturate", ml_dtypes.float6_e2m3fn),
    "fp4-e2m1": (2, 1, "finite", "saturate", ml_dtypes.float4_e2m1fn),
}
IN_GFLOAT = {
    "fp32": known.format_info_binary32,
    "fp16": known.format_info_binary16,
    "bf16": known.format_info_bfloat16,
    "fp8-e4m3": known.format_info_ocp_e4m3,
    "fp8-e5m2": known.format_info_ocp_e5m2,
    "fp6-e3m2": known.format_info_ocp_e3m2,
    "fp6-e2m3": known.format_info_ocp_e2m3,
    "fp4-e2m1": known.format_info_ocp_e2m1,
}


def table_of(name: str) -> NumberTable:
    exponent, mantissa, top, overflow, _ = WITH_DTYPE[name]
    return binary_float(exponent_bits=exponent, mantissa_bits=mantissa, top=top, overflow=overflow)


def hard(table: NumberTable) -> Any:
    """Every value, every tie, and their neighbours in float32; the ends; and numbers of all sizes."""
    middles = (table.values[1:] + table.values[:-1]) / 2
    ends: Any = np.array([table.largest * 1.001, 2 * table.largest, -np.inf, np.inf, 0.0, -0.0])
    if np.isfinite(table.overflow_cut):
        ends = np.concatenate([ends, [table.overflow_cut]])
    with np.errstate(over="ignore"):
        points = np.concatenate([table.values, middles, ends]).astype(np.float32)
        around = [np.nextafter(points, np.float32(side)) for side in (-np.inf, np.inf)]
    return np.concatenate([points, *around, SPREAD])


@pytest.mark.parametrize("name", WITH_DTYPE)
def test_floats_round_as_ml_dtypes_does(name: str) -> None:
    table, numbers = table_of(name), hard(table_of(name))
    with np.errstate(over="ignore", invalid="ignore"):
        wanted = numbers.astype(WITH_DTYPE[name][4]).astype(np.float64)
    np.testing.assert_array_equal(table.quantize(numbers), wanted)


@pytest.mark.parametrize("name", [name for name, held in WITH_DTYPE.items() if held[4] is not np.float32])
def test_values_are_those_of_ml_dtypes(name: str) -> None:
    dtype = np.dtype(WITH_DTYPE[name][4])
    codes = np.arange(2 ** table_of(name).bits).astype(np.uint16 if dtype.itemsize == 2 else np.uint8)
    with np.errstate(invalid="ignore"):
        values = codes.view(dtype).astype(np.float64)
    np.testing.assert_array_equal(table_of(name).values, np.unique(values[np.isfinite(values)] + 0.0))


@pytest.mark.parametrize("saturating", [False, True])
@pytest.mark.parametrize("name", IN_GFLOAT)
def test_floats_round_as_gfloat_does(name: str, saturating: bool) -> None:
    exponent, mantissa, top, overflow, _ = WITH_DTYPE[name]
    overflow = "saturate" if saturating else overflow
    table = binary_float(exponent_bits=exponent, mantissa_bits=mantissa, top=top, overflow=overflow)
    numbers = hard(table_of(name))[:: 1 if table.bits < 16 else 97].astype(np.float64)
    info = IN_GFLOAT[name]
    wanted = [gfloat.round_float(info, float(each), sat=overflow == "saturate") for each in numbers]
    np.testing.assert_array_equal(table.quantize(numbers), np.asarray(wanted) + 0.0)
    assert table.largest == info.max
    assert table.smallest == info.smallest


def test_tf32_has_the_range_of_fp32_and_the_precision_of_fp16() -> None:
    tf32, fp16 = number_formats()["tf32"].table, number_formats()["fp16"].table
    numbers = RNG.uniform(-1000, 1000, 1000)
    np.testing.assert_array_equal(tf32.quantize(numbers), fp16.quantize(numbers))
    assert tf32.quantize(1e38) != np.inf
    assert tf32.bits == 19


@pytest.mark.parametrize("name", ["fp16", "bf16"])
def test_rounding_by_rule_is_rounding_by_table(name: str) -> None:
    table = table_of(name)
    inside = hard(table)[:20000]
    inside = inside[np.abs(inside) <= table.largest]
    by_table = table.values[np.searchsorted(table.cuts, inside.astype(np.float64))]
    np.testing.assert_array_equal(table.quantize(inside), by_table)


@given(st.floats(-300, 300, allow_nan=False))
@settings(max_examples=50, deadline=None)
def test_integers_round_half_to_even_and_saturate(number: float) -> None:
    table = integer(8)
    assert table.quantize(number) == min(max(round(number), -128), 127)


def test_integers_at_their_ends() -> None:
    assert integer(8).quantize([-127.4, -128, -1e9, np.inf]).tolist() == [-127, -128, -128, 127]
    assert integer(8, symmetric=True).quantize([-128.0]).tolist() == [-127]
    assert integer(8, step=2**-4).quantize([0.03125, 0.09375, 99.0]).tolist() == [0.0, 0.125, 7.9375]


def test_not_a_number_stays_one() -> None:
    for form in number_formats().values():
        assert np.isnan(form.table.quantize([np.nan, 1.0])[0]), form.name


def test_cuts_put_ties_on_the_side_that_wins() -> None:
    cuts = cuts_between(np.array([1.0, 2.0]), np.array([True, False]))
    assert cuts[0] == 1.0
    assert cuts[1] == np.nextafter(2.0, 0.0)


@pytest.mark.parametrize("name", list(number_formats()))
def test_every_format_keeps_its_values_and_rounds_to_the_nearest_side(name: str) -> None:
    table = number_formats()[name].table
    values = table.values if len(table.values) else table.quantize(SPREAD)
    np.testing.assert_array_equal(table.quantize(values), values)
    numbers = np.sort(np.abs(SPREAD))
    made = table.quantize(numbers)
    assert np.all(np.diff(made[np.isfinite(made)]) >= 0)  # rounding keeps the order
    inside = numbers <= table.largest  # two's complement has one value more below zero
    np.testing.assert_array_equal(table.quantize(-numbers)[inside], -made[inside])


def test_accuracy_is_the_largest_relative_error_next_to_one() -> None:
    numbers = RNG.uniform(1, 2, 40000)
    for form in number_formats().values():
        if form.family not in ("integer", "fixed") and form.name not in ("mxint8", "fp32", "tf32", "fp16-sums"):
            worst = np.max(np.abs(form.table.quantize(numbers) - numbers) / numbers)
            assert 0.6 * form.table.accuracy < worst <= form.table.accuracy * (1 + 1e-9), form.name
