"""Facts about hardware as short texts: what is not known is "-", never 0.

>>> rate(82.58e12, 1e12), rate(1979e12, 1e12), number(24e9, 1e9), number(15.75e9, 1e9), rate(None)
('82.6', '1,979', '24', '15.75', '-')
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from chipwise.views.units import plain, significant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from chipwise.core.device import Price

NONE = "-"
# From wide to narrow; what is not named here follows by its name.
FORMATS = (
    "fp64", "fp64_matrix", "fp32", "fp32_matrix", "tf32", "fp16", "bf16", "fp16_vector", "bf16_vector", "fp8", "fp6",
    "fp4", "int16", "int8", "int4", "int1",
)  # fmt: skip
_DEVICE_KINDS = {"gpu": "GPU", "cpu": "CPU", "tpu": "TPU", "edge": "edge", "fpga": "FPGA"}
_PRICES = {"launch": "at launch", "street": "in shops", "used": "used", "hour": "rented, an hour"}


def ordered(formats: Iterable[str]) -> list[str]:
    """Number formats from wide to narrow."""
    return sorted(formats, key=lambda name: (FORMATS.index(name) if name in FORMATS else len(FORMATS), name))


def rate(value: float | None, unit: float = 1.0) -> str:
    """A peak or a ratio in this unit: three significant digits, more before the point."""
    if value is None:
        return NONE
    return f"{value / unit:,.0f}" if value >= 100 * unit else significant(value / unit)


def number(value: float | None, unit: float = 1.0) -> str:
    """A fact in this unit, as it is stated: 24, 608.5, 15.75, 0.18; four digits of what is not whole."""
    if value is None:
        return NONE
    scaled = value / unit
    if scaled >= 1 and math.isclose(scaled, round(scaled), rel_tol=1e-9):
        return f"{scaled:,.0f}"
    return f"{scaled:,.4g}" if scaled < 9999.5 else f"{scaled:,.0f}"


def work_name(precision: str) -> str:
    """What an operation is called: FLOP of floating-point formats, OP of others."""
    return "OP" if precision.startswith(("int", "uint")) else "FLOP"


def sixteen(peaks: Mapping[str, float]) -> float | None:
    """The peak with 16-bit floating point of either kind, the higher one."""
    return max((peaks[name] for name in ("fp16", "bf16") if name in peaks), default=None)


def fp64(peaks: Mapping[str, float]) -> float | None:
    """The fp64 peak, by matrix units where there are some."""
    return peaks.get("fp64_matrix", peaks.get("fp64"))


def kind_name(kind: str) -> str:
    """What sort of hardware it is, in words."""
    return _DEVICE_KINDS.get(kind, kind)


def short_name(name: str) -> str:
    """A name without its vendor's family, for which there is no room; it is found by this, too."""
    words = plain(name).split()
    kept = [word for word in words if word not in ("GeForce", "Tesla", "Instinct", "Core", "Xeon", "Cloud")]
    return " ".join(kept or words)


def price_kind(price: Price) -> str:
    """What sort of price it is, in words."""
    return _PRICES[price.kind]


def price_range(price: Price) -> str:
    """A price as it was asked, "1,499 USD" or "949–999 EUR"."""
    low, high = _money(price.low), _money(price.high)
    return f"{low if low == high else f'{low}–{high}'} {price.currency}"


def _money(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == round(value) else f"{value:,.2f}"
