"""Where the radix point goes: against every other place, and with what is cut off counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chipwise.compression.fixed_point import Fixed, best_radix, saturated, sqnr_db, squared_error, tried_radices


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([4, 8, 16]), st.booleans(), st.integers(-6, 6))
def test_no_other_radix_is_better(seed: int, bits: int, signed: bool, size: int) -> None:
    random = np.random.default_rng(seed)
    kind = random.integers(4)
    values = [random.normal(0, 1, 300), random.uniform(0, 1, 300), random.laplace(0, 1, 300), random.standard_t(2, 300)]
    drawn = np.ldexp(values[kind] if signed else np.abs(values[kind]), size)
    chosen = best_radix(drawn, bits, signed=signed)
    errors = {radix: squared_error(drawn, Fixed(bits, signed, radix)) for radix in range(-20, 29)}
    assert errors[chosen] == min(errors.values())


def test_a_value_far_out_is_cut_off_where_all_others_gain_a_bit() -> None:
    values = np.append(np.random.default_rng(0).uniform(-1, 1, 100_000), 1.3)
    first, *_ = tried_radices(-1.0, 1.3, 8, signed=True)
    assert first == 6
    assert best_radix(values, 8, signed=True) == 7
    assert saturated(values, Fixed(8, True, 7)) == int(np.count_nonzero(np.rint(values * 128) > 127))
    assert saturated(values, Fixed(8, True, 6)) == 0


def test_ends_of_the_range_and_halves() -> None:
    form = Fixed(8, True, 0)
    values = np.array([127.49, 127.5, 128.0, -128.5, -128.51, -129.0, 0.5, 1.5])
    assert form.whole(values).tolist() == [127, 127, 127, -128, -128, -128, 0, 2]
    assert saturated(values, form) == 4  # 127.5 is 128 to even, and -128.5 is -128
    assert Fixed(8, False, 0).whole(np.array([-3.0, 255.4, 300.0])).tolist() == [0, 255, 255]


def test_least_and_largest_decide_the_first_radix() -> None:
    assert tried_radices(-1.0, 0.0, 8, signed=True)[0] == 7  # -128 fits
    assert tried_radices(0.0, 1.0, 8, signed=True)[0] == 6  # 128 does not
    assert tried_radices(0.0, 1.0, 8, signed=False)[0] == 7
    assert tried_radices(0.0, 127.49 / 64, 8, signed=True)[0] == 6  # it rounds to 127
    assert best_radix(np.zeros(5), 8, signed=True) == 0
    assert min(tried_radices(-1e30, 1e30, 8, signed=True)) == -24


def test_signal_to_noise() -> None:
    assert sqnr_db(100.0, 1.0) == pytest.approx(20.0)
    assert sqnr_db(1.0, 0.0) == np.inf
    assert sqnr_db(0.0, 1.0) == -np.inf
