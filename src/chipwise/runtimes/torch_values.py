"""What operators take and give while a graph is computed by PyTorch, and which inputs they need as plain numbers.

A value is a tensor, or a NumPy array where it is known while the graph is compiled: shapes, axes, pads. Operators get
the inputs named in `NUMBERS` as numbers and tuples, everything else as tensors.

>>> NUMBERS["Reshape"]
(1,)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

Attributes = dict[str, Any]
Values = Sequence[Any]
Operator = Callable[[Values, Attributes], Any]  # a tensor, a NumPy array, or a tuple of these

_REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")

# Operator: positions of the inputs that decide what is computed rather than what with.
NUMBERS: dict[str, tuple[int, ...]] = {
    "Clip": (1, 2),
    "ConstantOfShape": (0,),
    "CumSum": (1,),
    "Dropout": (1, 2),
    "Expand": (1,),
    "If": (0,),
    "OneHot": (1,),
    "Pad": (1, 2, 3),
    "Range": (0, 1, 2),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Tile": (1,),
    "TopK": (1,),
    "Trilu": (1,),
    "Unsqueeze": (1,),
    "Upsample": (1,),
    **{f"Reduce{name}": (1,) for name in _REDUCTIONS},
}

# Operators whose second input is better a number where it is a constant without axes: `x ** 2.0` is a product.
SCALARS = frozenset({"Add", "Div", "Mul", "Pow", "Sub"})


class UnsupportedError(ValueError):
    """An operator, or a way of using it, that has no translation."""


def plain(call: Callable[..., Tensor]) -> Operator:
    """An operator without attributes that matter: the call on its inputs."""
    return lambda values, attributes: call(*values)  # noqa: ARG005 (every operator has this form)


def text(attributes: Attributes, name: str, usual: str) -> str:
    """An attribute that is a word."""
    value = attributes.get(name, usual)
    return value.decode() if isinstance(value, bytes) else str(value)
