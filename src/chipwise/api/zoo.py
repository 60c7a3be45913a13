"""Zoo: what networks come with chipwise, and what each costs.

>>> [line.name for line in zoo("lenet5-c").networks]
['lenet5-caffe']
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chipwise.api.notebook import drawn
from chipwise.core.errors import UnknownNameError

if TYPE_CHECKING:
    from chipwise.core.report import ZooLine, ZooList


@drawn
def zoo(search: str = "") -> ZooList:
    """List the zoo's networks whose name begins with a text, else those that have to do with it, with what they cost.

    Raises:
        UnknownNameError: none does.
    """
    from chipwise.core.report import ZooList
    from chipwise.networks.zoo import ZOO

    wanted = search.lower()
    found = [name for name in ZOO if name.startswith(wanted)] or [
        name
        for name, entry in ZOO.items()
        if any(wanted in text.lower() for text in (name, entry.task.kind, entry.description))
    ]
    if not found:
        raise UnknownNameError(f"no network of the zoo has to do with {search!r}", hint="chipwise zoo lists them all")
    return ZooList(tuple(map(_line, found)))


def _line(name: str) -> ZooLine:
    from chipwise.core.layer import totals
    from chipwise.core.report import ZooLine
    from chipwise.networks.layers import layer_rows
    from chipwise.networks.load import load
    from chipwise.networks.zoo import ZOO

    entry, sums = ZOO[name], totals(layer_rows(load(name)))
    shape = entry.inputs[0].shape[1:]
    return ZooLine(name, entry.task.kind, shape, sums.parameters, sums.flops, entry.description)
