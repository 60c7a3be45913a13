"""Money: rent, purchase and electricity by hand."""

from __future__ import annotations

import pytest

from chipwise.core.device import Device, Price
from chipwise.core.estimate import Interval
from chipwise.cost.money import Ownership, price_of

HOUR = Interval(3600.0, 3600.0, 3600.0)
BOUGHT = Price("launch", 1000, 1400, "USD", "2020-09")
RENTED = Price("hour", 2, 4, "USD", "2024-05")
YEAR_HOURS = 365.25 * 24
SURE = Ownership(years=(2.0, 2.0, 2.0), duty=(1.0, 1.0, 1.0), usd_kwh=(0.2, 0.2, 0.2))


def test_rent_is_by_the_hour() -> None:
    price = price_of(Device("x", "gpu", prices=(RENTED,)), HOUR)
    assert price is not None
    assert (price.low, price.mid, price.high) == pytest.approx((2, 3, 4))


def test_a_purchase_is_spread_over_its_life_and_draws_power() -> None:
    price = price_of(Device("x", "gpu", power_w=500, prices=(BOUGHT,)), HOUR, SURE)
    assert price is not None
    hours = 2 * YEAR_HOURS
    assert (price.low, price.mid, price.high) == pytest.approx(
        (1000 / hours + 0.1, 1200 / hours + 0.1, 1400 / hours + 0.1)
    )


def test_usual_assumptions_span_a_range() -> None:
    price = price_of(Device("x", "gpu", power_w=500, prices=(BOUGHT,)), HOUR)
    assert price is not None
    assert price.low is not None
    assert price.high is not None
    assert price.low == pytest.approx(1000 / (5 * YEAR_HOURS) + 0.5 * 0.08)
    assert price.high == pytest.approx(1400 / (3 * YEAR_HOURS * 0.25) + 0.5 * 0.35)


def test_where_both_are_known_rent_is_the_middle_and_both_bound() -> None:
    price = price_of(Device("x", "gpu", prices=(BOUGHT, RENTED)), HOUR)
    assert price is not None
    assert price.mid == pytest.approx(3)
    assert price.low == pytest.approx(1000 / (5 * YEAR_HOURS))
    assert price.high == pytest.approx(4)


def test_unknown_stays_unknown() -> None:
    assert price_of(Device("x", "gpu"), HOUR) is None
    euros = Device("x", "gpu", prices=(Price("street", 900, 900, "EUR", "2021"),))
    assert price_of(euros, HOUR) is None
    floor = price_of(Device("x", "gpu", prices=(RENTED,)), Interval(1.0, None, None))
    assert floor is not None
    assert (floor.mid, floor.high) == (None, None)
