"""Knobs of a contestant: what a sampler may choose from, and the values that a grid has.

>>> grid_of(Real(0.01, 1.0, log=True))
(0.01, 0.1, 1.0)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

_GRID = 3  # values of a knob on a grid
_DIGITS = 3  # of a number in a model string: equal ones are found again

Setting: TypeAlias = "bool | int | float | str | None"


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from `low` to `high`; on a scale of ratios where `log`."""

    low: int
    high: int
    log: bool = False


@dataclass(frozen=True, slots=True)
class Real:
    """A number from `low` to `high`; on a scale of ratios where `log`."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several."""

    options: tuple[Setting, ...]


Knob: TypeAlias = Whole | Real | Choice


class Asked(Protocol):
    """A trial of Optuna, as far as knobs need one."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """A whole number."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A number."""

    def suggest_categorical(self, name: str, choices: tuple[Setting, ...]) -> Setting:
        """One of several."""


def suggested(asked: Asked, name: str, knob: Knob) -> Setting:
    """Let a sampler turn a knob.

    Args:
        asked: the trial.
        name: of the knob, which is the trial's parameter.
        knob: what there is to choose from.
    """
    if isinstance(knob, Choice):
        return asked.suggest_categorical(name, knob.options)
    if isinstance(knob, Whole):
        return asked.suggest_int(name, knob.low, knob.high, log=knob.log)
    return rounded(asked.suggest_float(name, knob.low, knob.high, log=knob.log))


def grid_of(knob: Knob) -> tuple[Setting, ...]:
    """The values of a knob on a grid, ascending."""
    if isinstance(knob, Choice):
        return knob.options
    shares = [step / (_GRID - 1) for step in range(_GRID)]
    if knob.log:
        values = [knob.low * (knob.high / knob.low) ** share for share in shares]
    else:
        values = [knob.low + (knob.high - knob.low) * share for share in shares]
    if isinstance(knob, Whole):
        return tuple(dict.fromkeys(round(value) for value in values))
    return tuple(rounded(value) for value in values)


def rounded(value: float) -> float:
    """A number with three digits.

    >>> rounded(0.0123456)
    0.0123
    """
    return float(f"{value:.{_DIGITS}g}")
