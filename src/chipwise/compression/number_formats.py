"""The number formats that chipwise knows: each with its table, its scale, and how products of it are added up.

>>> known = number_formats()
>>> known["posit-8-1"].table.largest, known["int8"].accumulator, known["mxfp4-e2m1"].block
(4096.0, 'int32', 32)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

from chipwise.compression.block_formats import BLOCK
from chipwise.compression.log_format import LogFormat, log_format
from chipwise.compression.number_tables import NumberTable, binary_float, integer
from chipwise.compression.posits import posit
from chipwise.core.errors import unknown_name

if TYPE_CHECKING:
    from collections.abc import Iterable

Accumulator = Literal["exact", "fp32", "fp16", "int32", "elma"]
Scaling = Literal["none", "max-abs", "power-of-two"]
Family = Literal["float", "block", "integer", "fixed", "log", "posit"]

# (exponent bits, mantissa bits, what the highest exponent holds) of OCP's formats for elements.
_ELEMENTS = {
    "fp8-e4m3": (4, 3, "nan"),
    "fp8-e5m2": (5, 2, "ieee"),
    "fp6-e3m2": (3, 2, "finite"),
    "fp6-e2m3": (2, 3, "finite"),
    "fp4-e2m1": (2, 1, "finite"),
}
_POSITS = ((7, 1), (8, 0), (8, 1), (8, 2), (9, 1), (16, 1))


@dataclass(frozen=True, slots=True, eq=False)
class NumberFormat:
    """A number format and the arithmetic that goes with it.

    Attributes:
        name: as it is typed; title: as it is printed.
        family: what kind of format it is.
        table: values and rounding, of the elements where a block shares a scale.
        accumulator: how products are added up.
        scaling: what numbers are divided by before they are rounded: nothing, or what brings the largest one of a
            tensor (of an output channel, for weights) to the largest value, or the power of two next above that.
        block: numbers that share a scale of their own; 0 where none do.
        log: tables of logarithmic arithmetic; None for others.
    """

    name: str
    title: str
    family: Family
    table: NumberTable
    accumulator: Accumulator
    scaling: Scaling = "none"
    block: int = 0
    log: LogFormat | None = None

    @property
    def bits(self) -> float:
        """Bits that one value takes, with its share of the block's scale."""
        return self.table.bits + (8 / self.block if self.block else 0)

    @property
    def unscaled(self) -> bool:
        """Whether it takes a network as it is: no tensor and no block has a scale."""
        return self.scaling == "none" and not self.block


@cache
def number_formats() -> dict[str, NumberFormat]:
    """Every format by name, wide floats first."""
    found = [*_floats(), *_blocks(), *_whole(), *_tapered()]
    return {each.name: each for each in found}


def chosen(names: Iterable[str]) -> tuple[NumberFormat, ...]:
    """Formats by name, each once, in the order of `number_formats`; all of them where no name is given.

    Raises:
        UnknownNameError: there is no such format.
    """
    known, wanted = number_formats(), set(names)
    for name in sorted(wanted):
        if name not in known:
            raise unknown_name("number format", name, known)
    return tuple(each for each in known.values() if not wanted or each.name in wanted)


def _floats() -> list[NumberFormat]:
    wide = {"fp32": (8, 23), "tf32": (8, 10), "bf16": (8, 7), "fp16": (5, 10)}
    found = [
        NumberFormat(name, name, "float", _wide(exponent, mantissa), "fp32")
        for name, (exponent, mantissa) in wide.items()
    ]
    sums = NumberFormat("fp16-sums", "fp16, fp16 sums", "float", found[-1].table, "fp16")
    small = [NumberFormat(name, _title(name), "float", _element(name), "fp32", "max-abs") for name in _ELEMENTS]
    return [*found, sums, *small]


def _blocks() -> list[NumberFormat]:
    mixed = [
        NumberFormat(f"mx{name}", f"MX{_title(name)}", "block", _element(name), "fp32", block=BLOCK)
        for name in _ELEMENTS
    ]
    # Two's complement with 6 bits after the point; the lowest value is left out, so that both sides round alike.
    whole = integer(8, step=2.0**-6, symmetric=True)
    return [*mixed, NumberFormat("mxint8", "MXint8", "block", whole, "fp32", block=BLOCK)]


def _whole() -> list[NumberFormat]:
    eight, four = integer(8, symmetric=True), integer(4, symmetric=True)
    return [
        NumberFormat("int8", "int8", "integer", eight, "int32", "max-abs"),
        NumberFormat("int8-shift", "int8, power of 2", "integer", eight, "int32", "power-of-two"),
        NumberFormat("int4", "int4", "integer", four, "int32", "max-abs"),
        NumberFormat("fixed-16-8", "fixed (16,8)", "fixed", integer(16, step=2.0**-8), "exact"),
        NumberFormat("fixed-8-4", "fixed (8,4)", "fixed", integer(8, step=2.0**-4), "exact"),
    ]


def _tapered() -> list[NumberFormat]:
    elma = log_format(8, 1, 5, 5, 7)
    logarithms = NumberFormat("log-8-1-5-5-7", "log (8,1,5,5,7)", "log", elma.table, "elma", log=elma)
    posits = [
        NumberFormat(f"posit-{bits}-{es}", f"posit ({bits},{es})", "posit", posit(bits, es), "exact")
        for bits, es in _POSITS
    ]
    return [logarithms, *posits]


def _wide(exponent_bits: int, mantissa_bits: int) -> NumberTable:
    return binary_float(exponent_bits=exponent_bits, mantissa_bits=mantissa_bits, overflow="infinity")


def _element(name: str) -> NumberTable:
    exponent_bits, mantissa_bits, top = _ELEMENTS[name]
    return binary_float(exponent_bits=exponent_bits, mantissa_bits=mantissa_bits, top=top)  # type: ignore[arg-type]


def _title(name: str) -> str:
    return name.replace("-", " ")
