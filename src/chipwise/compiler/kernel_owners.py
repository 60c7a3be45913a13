"""Whose time a runtime's kernel is: runtimes name kernels after a node, or after its result, with words of their own.

A kernel belongs to the layer whose work it does. What only changes layouts or number formats belongs to none.

>>> owner_of("Conv_1_token_4", {"Conv_1": 0, "Conv": 1}), owner_of("x_abcd_acdb_Conv_1/WithoutBiases", {"Conv_1": 0})
(0, None)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import onnx

CONVERSIONS = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")
# As in "_abcd_acdb_": the order of axes before and after.
_REORDERED = re.compile(r"_([a-fA-F\d]{2,8})_([a-fA-F\d]{2,8})(?=_|$)")
_REORDERS = ("ReorderInput", "ReorderOutput")
_CAST = "InsertedPrecisionFreeCast_"  # ONNX Runtime's, before values of half-precision graphs that it computes in fp32


def owners(graph: onnx.GraphProto, layers: Sequence[Sequence[str]]) -> dict[str, int | None]:
    """Which layer every node and value of a graph belongs to; None for conversions between number formats.

    Args:
        graph: whose nodes have names of their own.
        layers: names of the nodes of each layer. A node that no layer names (an activation that is part of a row, a
            view) belongs to the layer that makes what it reads.
    """
    places = {name: place for place, names in enumerate(layers) for name in names}
    makers: dict[str, int] = {}
    found: dict[str, int | None] = {}
    for node in graph.node:
        place = places.get(node.name)
        if place is None:
            place = next((makers[name] for name in node.input if name in makers), None)
        if place is not None:
            makers.update(dict.fromkeys(node.output, place))
        mine = None if node.op_type in CONVERSIONS else place
        found.update(dict.fromkeys((node.name, *node.output), mine))
    return found


def owner_of(kernel: str, known: Mapping[str, int | None]) -> int | None:
    """The layer of a kernel by its name; None where it belongs to none."""
    kernel = kernel.removeprefix(_CAST)
    if kernel in known:
        return known[kernel]
    reordered = any(sorted(a.lower()) == sorted(b.lower()) for a, b in _REORDERED.findall(kernel))
    if reordered or kernel.startswith(_REORDERS):
        return None
    for end in range(len(kernel) - 1, 0, -1):
        if kernel[end] in "_/.:" and kernel[:end] in known:
            return known[kernel[:end]]
    return None


def layer_seconds(
    rounds: Sequence[Mapping[str, float]], known: Mapping[str, int | None], count: int
) -> tuple[list[float | None], float]:
    """Median seconds of each layer over all rounds, and of what belongs to none.

    Args:
        rounds: seconds by the name of the kernel.
        known: as `owners`.
        count: of layers.

    Returns:
        one time a layer, None where no kernel is its own: it runs as part of another; and the rest.
    """
    times = np.zeros((len(rounds), count + 1))
    for number, kernels in enumerate(rounds):
        for name, seconds in kernels.items():
            place = owner_of(name, known)
            times[number, count if place is None else place] += seconds
    usual = np.median(times, axis=0)
    return [float(each) or None for each in usual[:count]], float(usual[count])
