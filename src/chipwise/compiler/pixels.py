"""Networks that take uint8 pictures where their source takes prepared floats, and how both are given the same pictures.

Candidates are made from a network that scales pixels itself. It is judged by the source as it was, which is given what
its own preprocessing makes of the same pixels.

>>> import numpy as np
>>> taken, seen = Preprocess(1, 2, scale=1.0), Preprocess(1, 2)
>>> for_source([np.array([[[[0, 255]]]], np.uint8)], taken, seen, "float32")[0].tolist()
[[[[0.0, 1.0]]]]
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from chipwise.core.errors import DataError, NetworkError
from chipwise.core.task import Preprocess
from chipwise.optimize.absorb_preprocessing import absorb
from chipwise.tasks.preprocess import from_pixels

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import NDArray

    from chipwise.core.network import Network
    from chipwise.datasets.dataset import Dataset

_HINT = "leave uint8 out: it is for networks of one input that is a picture"


def takes_pixels(network: Network) -> bool:
    """True when the input of a network is a uint8 picture as it is."""
    return [spec.dtype for spec in network.inputs] == ["uint8"] and network.task.preprocess is not None


def taking_pixels(network: Network) -> tuple[Network, str]:
    """The same network for uint8 pictures, and what was done, in one line.

    Args:
        network: with its graph.

    Raises:
        NetworkError: it takes no pictures, or it is not known how they become its input.
    """
    assert network.graph is not None, "compile needs a graph; export the source first"
    seen = network.task.preprocess
    if len(network.inputs) == 1 and (seen is None or network.task.stream is not None):
        hint = f"say how pictures become its input: --preprocess scale=1/255,...; or {_HINT}"
        raise NetworkError(f"{network.name} takes arrays, not pictures, so not as uint8 either", hint=hint)
    if seen is None:
        names = ", ".join(spec.name for spec in network.inputs)
        raise NetworkError(f"{network.name} has {len(network.inputs)} inputs ({names}), no picture", hint=_HINT)
    try:
        graph, left, said = absorb(network.graph, seen)
    except NetworkError as error:
        hint = f"{error.hint}; {_HINT}" if error.hint else _HINT
        raise NetworkError(f"{network.name} cannot take uint8 pictures: {error.message}", hint=hint) from error
    (spec,) = network.inputs
    task = replace(network.task, preprocess=left)
    return replace(network, inputs=(replace(spec, dtype="uint8"),), task=task, graph=graph), said


def check_pictures(data: Dataset) -> None:
    """Refuse arrays: whether they are pixels or prepared already cannot be told.

    Raises:
        DataError: the data set holds no pictures.
    """
    if not data.pictures:
        raise DataError(
            f"{data.name} holds arrays, and a plan that takes uint8 is compared on pictures",
            hint="give pictures (uint8), or compile without uint8",
        )


def for_source(
    arrays: Sequence[NDArray[Any]], taken: Preprocess | None, seen: Preprocess | None, dtype: str
) -> tuple[NDArray[Any], ...]:
    """What the source network takes in the place of a plan's inputs.

    Args:
        arrays: inputs of the plan.
        taken: what was left to do before the plan.
        seen: what is to be done before the source; None where it takes what the plan takes.
        dtype: of the source's input.
    """
    if seen is None:
        return tuple(arrays)
    assert taken is not None, "it takes pictures"
    return tuple(from_pixels(pixels, taken, seen, dtype) for pixels in arrays)
