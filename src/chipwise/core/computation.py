"""A formula as a graph of elementary operations, each with its value and the gradient of the result by it.

>>> [Step("x", (), (3.0,), (2.0,)).label]
['x']
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One input or one operation.

    Attributes:
        label: the input's name, or the operation with its constants ("×", "+ 1", "exp").
        reads: places of the steps whose values it takes; empty for inputs.
        value: what it gives, flattened; shape: of that, () for a single number.
        gradient: of the sum of the last step's values by each of these values; empty where none flows.
    """

    label: str
    reads: tuple[int, ...]
    value: tuple[float, ...]
    gradient: tuple[float, ...] = ()
    shape: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Computation:
    """Steps in the order in which they are computed; the last is the result."""

    name: str
    steps: tuple[Step, ...]
    schema: str = "chipwise.computation/1"
