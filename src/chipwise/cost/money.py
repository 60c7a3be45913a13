"""What a batch costs: a share of the price of a device and its electricity, or rent by the hour.

Prices are dated ranges, and how long a device lives and how busy it is are assumptions, so the answer is a range too.

>>> from chipwise.core.device import Device, Price
>>> from chipwise.core.estimate import Interval
>>> rented = Device("example", "gpu", prices=(Price("hour", 1.8, 3.6, "USD", "2024-05"),))
>>> price_of(rented, Interval(1.0, 1.0, 1.0))
Interval(low=0.0005, mid=0.00075, high=0.001, coverage=None)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from chipwise.core.device import Device, Price
from chipwise.core.estimate import Interval

_HOUR_S = 3600.0
_YEAR_S = 365.25 * 24 * _HOUR_S
_KWH_J = 3.6e6


@dataclass(frozen=True, slots=True)
class Ownership:
    """What is assumed of somebody who buys a device; each is cheapest, middle, dearest.

    Attributes:
        years: until it is written off. Servers are usually depreciated over 3 to 5 years.
        duty: share of that time in which it computes.
        usd_kwh: price of electricity.
    """

    years: tuple[float, float, float] = (5.0, 4.0, 3.0)
    duty: tuple[float, float, float] = (1.0, 0.5, 0.25)
    usd_kwh: tuple[float, float, float] = (0.08, 0.15, 0.35)


USUAL = Ownership()


def price_of(device: Device, time_s: Interval, ownership: Ownership = USUAL) -> Interval | None:
    """US dollars for one batch.

    Args:
        device: with prices; those in other currencies are not converted.
        time_s: of one batch.
        ownership: assumptions about a device that is bought.

    Returns:
        From the cheapest to the dearest way to have the device for that time. The middle is rent where a rent is
        known, else the purchase. None when no price in US dollars is known.
    """
    ways = [way for way in (_rent(device.prices), _purchase(device, ownership)) if way]
    if not ways:
        return None
    lows, mids, highs = zip(*ways, strict=True)
    return Interval(
        low=None if time_s.low is None else min(lows) * time_s.low,
        mid=None if time_s.mid is None else mids[0] * time_s.mid,
        high=None if time_s.high is None else max(highs) * time_s.high,
    )


def electricity_of(power_w: float, time_s: Interval, ownership: Ownership = USUAL) -> Interval:
    """US dollars for the electricity of what is there already.

    >>> electricity_of(1000.0, Interval(3600.0, 3600.0, 3600.0))
    Interval(low=0.08, mid=0.15, high=0.35, coverage=None)
    """
    low, mid, high = (
        None if seconds is None else power_w * seconds * usd_kwh / _KWH_J
        for seconds, usd_kwh in zip((time_s.low, time_s.mid, time_s.high), ownership.usd_kwh, strict=True)
    )
    return Interval(low, mid, high)


def by_way(device: Device, way: Literal["rent", "buy"]) -> Device:
    """The device with the prices of one way to have it alone."""
    return replace(device, prices=tuple(each for each in device.prices if (each.kind == "hour") == (way == "rent")))


def price_basis(device: Device, ownership: Ownership = USUAL) -> str:
    """What the middle of `price_of` is made of: the rate, who asked it, and when; "" where no price is known.

    >>> price_basis(Device("example", "gpu", prices=(Price("hour", 1.8, 3.6, "USD", "2024-05", "Example shop"),)))
    'USD of example: rent of 1.80–3.60 USD an hour (2024-05, from Example shop)'
    """
    hours, bought = _hours(device.prices), _bought(device.prices)
    if hours:
        return f"USD of {device.name}: rent of {_asked(hours)} an hour ({_offers(hours)})"
    if not bought:
        return ""
    usual = [price for price in bought if price.low <= (device.price_usd or 0.0) <= price.high] or bought
    years, duty, usd_kwh = (each[1] for each in (ownership.years, ownership.duty, ownership.usd_kwh))
    power = f", and electricity at {usd_kwh:.2f} USD a kWh" if device.power_w else ""
    life = f"over {years:g} years in which it computes {duty:.0%} of the time"
    return f"USD of {device.name}: {_asked(usual)} to buy it ({_offers(usual)}) {life}{power}"


def _hours(prices: Sequence[Price]) -> list[Price]:
    return [price for price in prices if price.kind == "hour" and price.currency == "USD"]


def _bought(prices: Sequence[Price]) -> list[Price]:
    return [price for price in prices if price.kind != "hour" and price.currency == "USD"]


def _asked(prices: Sequence[Price]) -> str:
    low, high = min(price.low for price in prices), max(price.high for price in prices)
    ends = [f"{each:,.2f}" if each < 100 else f"{each:,.0f}" for each in (low, high)]
    return f"{'–'.join(dict.fromkeys(ends))} USD"


def _offers(prices: Sequence[Price]) -> str:
    """Each source once, without its address, with the date of the price where it has another one."""
    said = []
    for price in prices:
        source = price.source.partition(", http")[0]
        said.append(source if price.date in source else ", from ".join(filter(None, (price.date, source))))
    return "; ".join(dict.fromkeys(said))


def _rent(prices: Sequence[Price]) -> tuple[float, float, float] | None:
    """Dollars per second of rent: the range of all known ones."""
    hours = _hours(prices)
    if not hours:
        return None
    low, high = min(price.low for price in hours), max(price.high for price in hours)
    return low / _HOUR_S, (low + high) / 2 / _HOUR_S, high / _HOUR_S


def _purchase(device: Device, ownership: Ownership) -> tuple[float, float, float] | None:
    """Dollars per computing second of a device that was bought: its price over its life, and its electricity.

    Where its power is not known, electricity is left out.
    """
    bought = _bought(device.prices)
    if not bought or device.price_usd is None:
        return None
    prices = min(price.low for price in bought), device.price_usd, max(price.high for price in bought)
    power_w = device.power_w or 0.0
    low, mid, high = (
        price / (years * _YEAR_S * duty) + power_w * usd_kwh / _KWH_J
        for price, years, duty, usd_kwh in zip(prices, ownership.years, ownership.duty, ownership.usd_kwh, strict=True)
    )
    return low, mid, high
