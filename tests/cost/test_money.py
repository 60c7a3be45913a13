"""Money: rent, purchase and electricity by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chipwise.core.device import Device, Price
from chipwise.core.estimate import Interval
from chipwise.cost.money import Ownership, price_basis, price_of

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


def test_the_basis_of_a_price_names_rate_source_and_date() -> None:
    rented = replace(RENTED, source="Example cloud, offers, 2024-06, https://example.org")
    other = Price("hour", 1.5, 1.5, "USD", "2023", "Other cloud, 2023")
    euros = Price("hour", 1, 1, "EUR", "2023", "Euro cloud")
    basis = price_basis(Device("x", "gpu", prices=(rented, other, euros, BOUGHT)))
    assert (
        basis
        == "USD of x: rent of 1.50–4.00 USD an hour (2024-05, from Example cloud, offers, 2024-06; Other cloud, 2023)"
    )
    bought = Device(
        "x", "gpu", power_w=9, prices=(replace(BOUGHT, source="Shop"), replace(BOUGHT, low=9000, high=9000))
    )
    assert price_basis(bought) == (
        "USD of x: 1,000–1,400 USD to buy it (2020-09, from Shop) over 4 years in which it computes 50% of the time, "
        "and electricity at 0.15 USD a kWh"
    )
    assert "electricity" not in price_basis(replace(bought, power_w=None))
    assert price_basis(Device("x", "gpu", prices=(euros,))) == ""
