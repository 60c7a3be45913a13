"""Prices: files that take the catalogue's place, euros, and what is no price any more."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chipwise.advising.prices import RATE, PriceFile, check_names, cost_of, newest, offers, read_prices, with_prices
from chipwise.core.advice import Offer
from chipwise.core.device import Price
from chipwise.core.errors import InputError
from chipwise.core.estimate import Interval
from chipwise.core.units import parse_money, parse_rate, parse_watts

from .samples import gpu, system

HOUR = Interval(3600.0, 3600.0, 3600.0)


def row(**changes: str) -> str:
    fields = {"device": '"chip"', "kind": '"used"', "eur": "[280, 320]", "date": '"2026-11"'} | changes
    return "[[price]]\n" + "\n".join(f"{key} = {value}" for key, value in fields.items() if value)


def test_a_file_takes_the_place_of_what_it_speaks_of() -> None:
    file = read_prices(row(), "my.toml")
    (made,) = with_prices([gpu()], file)
    assert [price.kind for price in made.prices] == ["hour", "used"]  # rents stay
    (rented,) = with_prices([gpu()], read_prices(row(kind='"hour"', eur="", usd="0.5"), "my.toml"))
    assert [(price.low, price.date) for price in rented.prices] == [(0.5, "2026-11")]
    assert rented.prices[0].source == "my.toml"
    assert with_prices([system(gpu())], file)[0].prices == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (row(date=""), "price of 'chip' has no date"),
        (row(date='"soon"'), "date is 'soon'"),
        (row(device=""), "a price has no device"),
        (row(kind='"gift"'), "kind is 'gift'"),
        (row(eur="[320, 280]"), "eur is"),
        (row(eur="-5"), "eur is"),
        (row(eur="true"), "eur is"),
        (row(usd="5"), "has 2 amounts"),
        (row(eur=""), "has 0 amounts"),
        (row(curency='"EUR"'), "unknown key 'curency'"),
        (row(source="3"), "source is 3"),
        ("[prices]\n", "unknown table 'prices'"),
        ("price = 3\n", "no list of tables"),
        ("[rate]\nusd_per_eur = 1.1\n", "rate has no date"),
        ('[rate]\nusd_per_eur = 1000\ndate = "2026"\n', "usd_per_eur is 1000"),
        ("[rate]\nvat = 0.2\n", "rate is"),
        ("[[price]\n", "no readable TOML"),
    ],
)
def test_bad_files_are_one_clear_line(text: str, says: str) -> None:
    with pytest.raises(InputError) as found:
        read_prices(text, "my.toml")
    assert says in str(found.value)
    assert "my.toml" in str(found.value)
    assert found.value.hint


@given(st.text(max_size=200))
def test_no_file_is_another_error(text: str) -> None:
    with suppress(InputError):
        assert isinstance(read_prices(text, "my.toml"), PriceFile)


def test_a_price_of_what_is_not_known_is_refused() -> None:
    with pytest.raises(InputError, match="unknown device 'chop'"):
        check_names(read_prices(row(device='"chop"'), "my.toml"), [gpu()])


def test_euros_are_with_tax_and_dollars_without() -> None:
    assert RATE.usd(RATE.eur(100.0), "EUR") == pytest.approx(100.0)
    assert RATE.usd(100.0, "USD") == 100.0
    rate = read_prices('[rate]\nusd_per_eur = 2\nvat = 0.0\ndate = "2026-11"\n', "my.toml").rate
    assert rate.usd(10.0, "EUR") == 20.0
    assert rate.source == "my.toml"


def test_old_prices_are_marked_and_very_old_ones_are_none() -> None:
    def made(kind: str, date: str) -> tuple[Offer, ...]:
        return offers(gpu(prices=(Price(kind, 700.0, 700.0, "USD", date),)), 2, RATE, "2026-11")  # type: ignore[arg-type]

    assert made("launch", "2025")[0].old is False
    assert made("launch", "2020")[0].old is True
    assert made("used", "2020")[0].old is False
    assert made("launch", "2017") == ()
    assert made("hour", "2020") == ()
    assert made("hour", "2025")[0].usd == Interval(1400.0, 1400.0, 1400.0)
    assert newest([gpu(), gpu(prices=(Price("used", 1, 1, "USD", "2027-01"),))]) == "2027-01"


def test_the_newest_price_to_buy_counts() -> None:
    known = (Price("launch", 500.0, 500.0, "USD", "2020"), Price("street", 1190.0, 1190.0, "EUR", "2021"))
    (offer,) = offers(gpu(prices=known), 1, RATE, "2022")
    assert offer.usd is not None
    assert offer.usd.mid == pytest.approx(1190 / 1.19 * RATE.usd_per_eur)


def test_costs_of_rent_and_purchase() -> None:
    rent = cost_of(Offer("rent", Interval(2.0, 2.0, 2.0)), 300.0, HOUR)
    assert rent is not None
    assert rent.mid == pytest.approx(2.0)
    bought = cost_of(Offer("buy", Interval(1000.0, 1000.0, 1000.0)), 300.0, HOUR)
    assert bought is not None
    assert bought.mid == pytest.approx(1000 / (4 * 365.25 * 24 * 0.5) + 0.3 * 0.15)


@pytest.mark.parametrize(
    ("text", "value", "currency", "hourly"),
    [
        ("1500eur", 1500, "EUR", False),
        ("€1,500", 1500, "EUR", False),
        ("2usd/h", 2, "USD", True),
        ("$0.5/hour", 0.5, "USD", True),
        ("1500 EUR", 1500, "EUR", False),
    ],
)
def test_amounts(text: str, value: float, currency: str, hourly: bool) -> None:
    found = parse_money(text)
    assert (found.value, found.currency, found.hourly) == (value, currency, hourly)


@pytest.mark.parametrize("text", ["1500", "-5eur", "0usd", "eur", "1500gbp", "", "1e3eur", "nan usd", "1500eur/day"])
def test_no_amounts(text: str) -> None:
    with pytest.raises(InputError):
        parse_money(text)


def test_rates_and_watts() -> None:
    assert parse_rate("1000/s") == parse_rate("1000") == 1000.0
    assert parse_rate("60/min") == pytest.approx(1.0)
    assert parse_watts("15") == parse_watts("15W") == 15.0
    assert parse_watts("1.5kW") == 1500.0
    for wrong in ("0/s", "1000/day", "x", "-1/s"):
        with pytest.raises(InputError):
            parse_rate(wrong)
    for wrong in ("0", "15V", "-3"):
        with pytest.raises(InputError):
            parse_watts(wrong)
