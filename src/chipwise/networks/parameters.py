"""Arrays of a network that is drawn from a description: they come from a weights file, or begin at random.

>>> weight = Parameter(ir.Value(name="w"), "layer 'fc'", (2, 3), "ones")
>>> leave_untrained([weight]); weight.value.const_value.numpy().sum()
np.float32(6.0)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import onnx_ir as ir

from chipwise.core.layer import Shape

LIMIT_BYTES = 2_000_000_000  # of one network's weights: one ONNX file holds less than 2 GiB
Start = Literal["normal", "ones", "zeros"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One array of a layer, in the order of the weights file.

    Attributes:
        value: the graph's initializer.
        layer: title of its section or layer, for messages.
        shape: as the graph has it.
        start: how it begins without weights: "normal" is He's, for a fan-in of `fan_in`.
        flipped: the file has a matrix as [inputs, outputs] always ("always") or in old versions ("old").
    """

    value: ir.Value
    layer: str
    shape: Shape
    start: Start = "zeros"
    fan_in: int = 1
    flipped: Literal["", "always", "old"] = ""

    @property
    def count(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


def leave_untrained(parameters: Sequence[Parameter]) -> None:
    """Let every parameter begin at random (seed 0), drawn only when somebody looks at it."""
    for index, parameter in enumerate(parameters):
        draw = partial(_draw, parameter, index)
        shape = ir.Shape(parameter.shape)
        parameter.value.const_value = ir.LazyTensor(
            draw, ir.DataType.FLOAT, shape, cache=True, name=parameter.value.name
        )


def _draw(parameter: Parameter, index: int) -> ir.TensorProtocol:
    if parameter.start == "normal":
        values = np.random.default_rng([0, index]).standard_normal(parameter.shape, np.float32)
        values *= np.float32(math.sqrt(2 / parameter.fan_in))
    else:
        values = np.full(parameter.shape, 1 if parameter.start == "ones" else 0, np.float32)
    return ir.Tensor(values, name=parameter.value.name)
