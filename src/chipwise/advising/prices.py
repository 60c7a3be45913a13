r"""Prices: ways to pay for hardware, what euros are in dollars, and files of prices that take the catalogue's place.

Dollars are without tax, as makers in the USA state them; shops in euros add it. Both come from one stated rate.

>>> round(RATE.usd(1500, "EUR")), round(RATE.eur(699))
(1349, 777)
>>> text = '[[price]]\ndevice = "rtx3080"\nkind = "used"\neur = [280, 320]\ndate = "2026-11"'
>>> read_prices(text, "my.toml").prices["rtx3080"][0].low
280.0
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from chipwise.core.advice import Offer, Rate
from chipwise.core.device import Device, Price, System
from chipwise.core.errors import InputError, unknown_name
from chipwise.core.estimate import Interval
from chipwise.cost.money import price_of
from chipwise.devices.catalogue_file import check_date
from chipwise.devices.known import plain_name

RATE = Rate(
    usd_per_eur=1.0705,
    vat=0.19,
    date="2024-06-28",
    source="reference rate of the European Central Bank; tax: 19% as in Germany (UStG, section 12)",
)
_KINDS = ("launch", "street", "used", "hour")
_KEYS = ("device", "kind", "usd", "eur", "date", "source")
_RATE_KEYS = ("usd_per_eur", "vat", "date", "source")
# Beside the newest price known here, in years: from when a launch price is called old, up to when it is taken to be a
# price at all (no shop has such a card any more), and up to when a rent is.
_OLD_YEARS, _SOLD_YEARS, _RENT_YEARS = 1, 7, 2

Priced = TypeVar("Priced", Device, System)


@dataclass(frozen=True, slots=True)
class PriceFile:
    """What a file of prices says: by plain name of a device or system, and a rate where it has one."""

    file: str
    prices: Mapping[str, tuple[Price, ...]] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    rate: Rate = RATE


def read_prices(text: str, file: str) -> PriceFile:
    """Read a file of prices.

    Args:
        text: TOML with `[[price]]` tables (device, kind, usd or eur, date, source) and at most one `[rate]`.
        file: its name, for errors.

    Raises:
        InputError: naming file and device, for whatever does not fit; a price without a date among it.
    """
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is no readable TOML: {error}", hint="mend the line that it names") from error
    for key in data.keys() - {"price", "rate"}:
        raise InputError(f"{file}: unknown table {key!r}", hint="known: [[price]] and [rate]")
    rows = data.get("price", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{file}: price is no list of tables", hint="write [[price]] above each")
    prices: dict[str, tuple[Price, ...]] = {}
    names: dict[str, str] = {}
    for row in rows:
        name, price = _price(row, file)
        prices[plain_name(name)] = (*prices.get(plain_name(name), ()), price)
        names[plain_name(name)] = name
    return PriceFile(file, prices, names, _rate(data["rate"], file) if "rate" in data else RATE)


def _price(row: Mapping[str, Any], file: str) -> tuple[str, Price]:
    name = row.get("device")
    if not isinstance(name, str) or not plain_name(name):
        raise InputError(f"{file}: a price has no device", hint='write device = "rtx3080"')
    where = f"{file}: price of {name!r}"
    for key in row.keys() - set(_KEYS):
        raise InputError(f"{where}: {unknown_name('key', key, _KEYS).message}", hint=f"known: {', '.join(_KEYS)}")
    if row.get("kind") not in _KINDS:
        raise InputError(f"{where}: kind is {row.get('kind')!r}", hint=f"one of {', '.join(_KINDS)}")
    currencies = [key for key in ("usd", "eur") if key in row]
    if len(currencies) != 1:
        raise InputError(f"{where} has {len(currencies)} amounts", hint="one of usd and eur: eur = [280, 320]")
    span = row[currencies[0]]
    ends = span if isinstance(span, list) else [span, span]
    if len(ends) != 2 or any(type(each) not in (int, float) for each in ends) or not 0 < ends[0] <= ends[1] < 1e8:
        raise InputError(f"{where}: {currencies[0]} is {span!r}", hint=f"{currencies[0]} = 300, or [280, 320]")
    if "date" not in row:
        raise InputError(f"{where} has no date", hint='prices age: write date = "2026-11"')
    source = row.get("source", file)
    if not isinstance(source, str):
        raise InputError(f"{where}: source is {source!r}, not a text", hint='write source = "..."')
    low, high = float(ends[0]), float(ends[1])
    return name, Price(row["kind"], low, high, currencies[0].upper(), check_date(row["date"], where), source)


def _rate(row: object, file: str) -> Rate:
    where = f"{file}: rate"
    if not isinstance(row, dict) or row.keys() - set(_RATE_KEYS) or "usd_per_eur" not in row:
        raise InputError(f"{where} is {row!r}", hint="keys: usd_per_eur and date; vat and source where they are known")
    numbers = {key: row.get(key, default) for key, default in (("usd_per_eur", 0), ("vat", RATE.vat))}
    for key, value in numbers.items():
        least, most = (0.1, 10.0) if key == "usd_per_eur" else (0.0, 1.0)
        if type(value) not in (int, float) or not least <= value <= most:
            raise InputError(f"{where}: {key} is {value!r}", hint=f"a number from {least:g} to {most:g}")
    if "date" not in row:
        raise InputError(f"{where} has no date", hint='write date = "2026-11"')
    source = row.get("source", file)
    return Rate(float(numbers["usd_per_eur"]), float(numbers["vat"]), check_date(row["date"], where), str(source))


def with_prices(known: Iterable[Priced], file: PriceFile) -> tuple[Priced, ...]:
    """The same hardware with a file's prices in the place of the catalogue's: rents for rents, others for others."""
    return tuple(replace(each, prices=_with_own(each, file)) for each in known)


def _with_own(each: Device | System, file: PriceFile) -> tuple[Price, ...]:
    own = [price for name in (each.name, *each.aliases) for price in file.prices.get(plain_name(name), ())]
    hourly = {price.kind == "hour" for price in own}
    return (*(price for price in each.prices if (price.kind == "hour") not in hourly), *own)


def check_names(file: PriceFile, known: Iterable[Device | System]) -> None:
    """Refuse a price of what is not known; raises UnknownNameError with the nearest names."""
    spelled = {plain_name(name): each.name for each in known for name in (each.name, *each.aliases)}
    for plain, name in file.names.items():
        if plain not in spelled:
            near = unknown_name("device", name, spelled)
            raise InputError(f"{file.file}: {near.message}", hint=near.hint)


def newest(known: Iterable[Device | System]) -> str:
    """The date of the newest price of all: what the others are old beside."""
    return max((price.date for each in known for price in each.prices), default="")


def offers(each: Device | System, count: int, rate: Rate, today: str) -> tuple[Offer, ...]:
    """The ways to pay for so many: the newest price to buy and the rents, as far as they are of the last years.

    Args:
        each: a device, or a whole system, whose price is of all its devices.
        count: how many are paid for.
        rate: what euros are.
        today: the date of the newest price known, which a launch price may be old beside.
    """
    bought = [price for price in each.prices if price.kind != "hour" and _years(price.date, today) <= _SOLD_YEARS]
    hours = [price for price in each.prices if price.kind == "hour" and _years(price.date, today) <= _RENT_YEARS]
    made = []
    if bought:
        last = max(bought, key=lambda price: price.date)
        old = last.kind == "launch" and _years(last.date, today) > _OLD_YEARS
        made.append(Offer("buy", _span([last], count, rate), last, old))
    if hours:
        dearest = max(hours, key=lambda price: (price.high, price.date))
        made.append(Offer("rent", _span(hours, count, rate), dearest))
    return tuple(made)


def _years(date: str, today: str) -> int:
    return int(today[:4]) - int(date[:4]) if today else 0


def _span(prices: list[Price], count: int, rate: Rate) -> Interval:
    """Dollars of so many, from the cheapest to the dearest of the prices."""
    lows = [rate.usd(price.low, price.currency) for price in prices]
    highs = [rate.usd(price.high, price.currency) for price in prices]
    low, high = count * min(lows), count * max(highs)
    return Interval(low, (low + high) / 2, high)


def cost_of(offer: Offer, power_w: float | None, time_s: Interval) -> Interval | None:
    """Dollars for so long: rent, or a share of the price over its life and electricity (`chipwise.cost.money`).

    Args:
        offer: bought or rented.
        power_w: of all its devices.
        time_s: that they are used.
    """
    if offer.usd is None or offer.usd.low is None or offer.usd.high is None:
        return None
    price = Price("hour" if offer.pay == "rent" else "street", offer.usd.low, offer.usd.high, "USD", "")
    return price_of(Device("", "gpu", power_w=power_w, prices=(price,)), time_s)


def source_line(name: str, offer: Offer) -> str:
    """Who asked a price and when, in a line; "" for what is there already."""
    price = offer.price
    if price is None:
        return ""
    source = price.source.partition(", http")[0]
    low, high = (f"{each:,.2f}" if offer.pay == "rent" else f"{each:,.0f}" for each in (price.low, price.high))
    kind = {"launch": "at launch", "street": "in shops", "used": "used", "hour": "an hour"}[price.kind]
    asked = low if low == high else f"{low}–{high}"
    dated = source if price.date in source else f"{price.date}, {source}"
    return f"{name}: {asked} {price.currency} {kind} ({dated})"
