"""Read what people type for a share, a duration or a number. The other way round is in `chipwise.views.units`.

>>> parse_share("1%"), parse_duration_s("2min")
(0.01, 120.0)
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from chipwise.core.errors import InputError

_SECONDS = {
    "ms": 1e-3, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "day": 86400.0,
    "days": 86400.0,
}  # fmt: skip
_PER_SECOND = {"s": 1.0, "min": 60.0, "h": 3600.0}
_CURRENCIES = {"usd": "USD", "$": "USD", "eur": "EUR", "€": "EUR"}
_BYTES = {
    "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
_DIGITS = 10  # Python takes its time to read a number with millions of them
_MONEY = re.compile(r"^\s*([$€]?)\s*(-?[0-9][0-9,]*\.?[0-9]*)\s*([a-z$€]*)\s*(/\s*(?:h|hour))?\s*$", re.IGNORECASE)
_NUMBER = re.compile(r"^\s*([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*([a-z%]*)\s*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in a currency (ISO 4217); by the hour, or once."""

    value: float
    currency: str
    hourly: bool = False


def parse_money(text: str) -> Money:
    """Read "1500eur", "€1,500" or "2usd/h"; more than nothing.

    >>> parse_money("1500eur"), parse_money("$2/h")
    (Money(value=1500.0, currency='EUR', hourly=False), Money(value=2.0, currency='USD', hourly=True))

    Raises:
        InputError: when it is none, has no currency or another than US dollars and euros, or is not more than nothing.
    """
    match = _MONEY.match(text)
    sign = "" if match is None else (match[1] or match[3]).lower()
    if match is None or sign not in _CURRENCIES:
        raise InputError(f"cannot read {text!r} as money", hint="write it as 1500eur, or 2usd/h for rent")
    value = float(match[2].replace(",", ""))
    if not 0 < value < math.inf:
        raise InputError(f"a budget of {text} buys nothing", hint="more than 0, as 1500eur")
    return Money(value, _CURRENCIES[sign], match[4] is not None)


def parse_rate(text: str) -> float:
    """Read "1000/s", "60/min" or a plain number as so many a second; more than none.

    Raises:
        InputError: when it is none.
    """
    number, _, unit = text.partition("/")
    factor = _PER_SECOND.get(unit.strip().lower() or "s")
    value = _split(number, "a rate", "1000/s")
    if factor is None or value[1] or not value[0]:
        raise InputError(f"cannot read {text!r} as a rate", hint="write it as 1000/s")
    return value[0] / factor


def parse_watts(text: str) -> float:
    """Read "15", "15W" or "1.5kW" as watts; more than none.

    Raises:
        InputError: when it is none.
    """
    number, unit = _split(text, "a power", "15W")
    factor = {"": 1.0, "w": 1.0, "kw": 1e3}.get(unit)
    if factor is None or not number:
        raise InputError(f"cannot read {text!r} as a power", hint="write it as 15W")
    return number * factor


def parse_share(text: str) -> float:
    """Read "1%" or "0.01" as a share between 0 and 1.

    Raises:
        InputError: when it is neither, lies outside 0..1, or is a bare 1, which may mean 1% or all.
    """
    number, unit = _split(text, "a share", "1% or 0.01")
    share = number / 100 if unit == "%" else number
    if unit not in ("", "%") or share > 1 or (share == 1 and not unit):
        raise InputError(f"cannot read {text!r} as a share", hint="write it as 1% or 0.01, at most 100%")
    return share


def parse_duration_s(text: str) -> float:
    """Read "60s", "2min", "1.5h", "500ms" or a plain number of seconds; at least 0.

    Raises:
        InputError: when the unit is not known.
    """
    number, unit = _split(text, "a duration", "60s, 2min or 1.5h")
    factor = _SECONDS.get(unit or "s")
    if factor is None:
        raise InputError(f"cannot read {text!r} as a duration", hint=f"known units: {', '.join(_SECONDS)}")
    return number * factor


def parse_bytes(text: str) -> int:
    """Read "10GB", "512 MiB" or a plain number of bytes; 1 kB = 1000 bytes, 1 KiB = 1024.

    Raises:
        InputError: when it is none, or less than a byte.
    """
    number, unit = _split(text, "an amount of memory", "10GB or 512MiB")
    factor = _BYTES.get(unit or "b")
    if factor is None or number * factor < 1:
        raise InputError(f"cannot read {text!r} as an amount of memory", hint=f"known units: {', '.join(_BYTES)}")
    return int(number * factor)


def parse_number(key: str, text: str, example: str = "0.5") -> float:
    """Read the value of an option as a finite number.

    Raises:
        InputError: when it is none; the hint shows `key=example`.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"cannot read {text!r} in {key} as a number", hint=f"write {key}={example}")
    return number


def parse_whole(key: str, text: str, least: int, most: int) -> int:
    """Read the value of an option as a whole number from `least` to `most`.

    Raises:
        InputError: when it is none, or another.
    """
    number = int(text) if text.isascii() and text.isdigit() and len(text) < _DIGITS else -1
    if not least <= number <= most:
        raise InputError(f"cannot read {text!r} in {key}", hint=f"a whole number from {least:,} to {most:,}")
    return number


def parse_sizes(key: str, text: str, least: int, most: int) -> tuple[int, ...]:
    """Read "1e3..1e7", both and the powers of ten between them, or "1000,1e5", as whole numbers in ascending order.

    Raises:
        InputError: when it is neither, a number is not whole or out of bounds, or the first is not below the last.
    """
    ends = [parse_size(key, part, least, most) for part in text.split("..")] if ".." in text else []
    if not ends:
        return tuple(sorted({parse_size(key, part, least, most) for part in text.split(",")}))
    if len(ends) != 2 or ends[0] >= ends[1]:
        raise InputError(f"cannot read {text!r} in {key}", hint="a smaller number, two dots and a larger one: 1e3..1e7")
    low, high = ends
    powers = (10**power for power in range(len(str(high))))
    return (low, *(power for power in powers if low < power < high), high)


def parse_size(key: str, text: str, least: int, most: int) -> int:
    """Read "1e6", "1000000" or "2.5e4" as a whole number from `least` to `most`.

    Raises:
        InputError: when it is none, or another.
    """
    match = _NUMBER.match(text)
    number = float(match[1]) if match is not None and not match[2] else math.nan
    if not (math.isfinite(number) and number.is_integer() and least <= number <= most):
        raise InputError(f"cannot read {text.strip()!r} in {key}", hint=f"a whole number from {least:,} to {most:,}")
    return int(number)


def _split(text: str, what: str, example: str) -> tuple[float, str]:
    match = _NUMBER.match(text)
    if match is None or not math.isfinite(float(match[1])):
        raise InputError(f"cannot read {text!r} as {what}", hint=f"write it as {example}")
    return float(match[1]), match[2].lower()
