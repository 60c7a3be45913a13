"""Which parts of a network to run where: proposed from times of kernels, and then measured like any candidate.

The graph is cut where one tensor crosses. Each runtime times its kernels of every stretch between cuts; a stretch that
it refuses has none. The cheapest way through, where another runtime costs copies of what crosses, is found stretch by
stretch; only what promises to be clearly faster than the best whole is proposed.

>>> cheapest([[1.0, 4.0], [4.0, 1.0]], [0.5], switches=1)
(2.5, (0, 1))
>>> cheapest([[1.0, 4.0], [4.0, 1.0]], [0.5], switches=0)
(5.0, (0, 0))
"""

from __future__ import annotations

import math
import re
import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from chipwise import runtimes
from chipwise.compiler.graphs import serialized
from chipwise.compiler.parts import build_whole, cut
from chipwise.compiler.trials import options_of
from chipwise.core.errors import ChipwiseError
from chipwise.core.plan import Part
from chipwise.optimize.split_graph import GraphPart, reads
from chipwise.runtimes.formats import parse

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import NDArray

    from chipwise.compiler.search import Search
    from chipwise.compiler.trials import Trial
    from chipwise.core.plan import Choice

    Way = tuple[int, ...]  # the runtime of each stretch, by its place among those that are compared
    Values = dict[str, NDArray[Any]]

WORTH = 0.95  # of the time of the best whole: what promises less is not tried
_SWITCHES = (1, 2, 8)  # one proposal each
_MOST_STRETCHES = 48
_ROUNDS = 5
_COPY_S, _BYTES_PER_S = 20e-6, 4e9  # of a switch: a call more, and what crosses written and read again
_MARK = re.compile(r"mark(\d+)m")
# A runtime computes these together with what they read: no cut in front of them.
_FUSED = {
    "Add", "BatchNormalization", "Clip", "DequantizeLinear", "Div", "Elu", "Erf", "Gelu", "HardSigmoid", "HardSwish",
    "LeakyRelu", "Mish", "Mul", "PRelu", "QuantizeLinear", "Relu", "Sigmoid", "Softplus", "Sub", "Swish", "Tanh",
}  # fmt: skip


def partitions(search: Search, leader: Trial, budget_s: float) -> list[Choice]:
    """At most three ways to run the leader's graph in parts that promise to be faster than all of it on one runtime.

    Args:
        search: says which runtimes and number formats were found to be usable and close enough.
        leader: the fastest so far.
        budget_s: wall time to time kernels; nothing is proposed where it is not enough.
    """
    choice, deadline = leader.candidate.choice, time.monotonic() + budget_s
    if choice.parts or choice.batch != 1:
        return []
    ways = _colours(search, choice)
    ends = cuts(ir.serde.deserialize_model(parse(leader.model)))
    if len(ways) < 2 or not ends:
        return []
    try:
        stretches = cut(leader.model, _parts([choice] * (len(ends) + 1), ends))
        sample = dict(zip((spec.name for spec in leader.engine.inputs), search.subject.sample, strict=True))
        values = _crossing(stretches, choice, sample)
    except ChipwiseError:
        return []
    times = [stretch_times(leader.model, stretches, way, values, deadline) for way in ways]
    crossing = [sum(values[name].nbytes for name in stretch.outputs) for stretch in stretches[:-1]]
    return _worthy(choice, ways, ends, times, [_COPY_S + 2 * size / _BYTES_PER_S for size in crossing])


def cuts(model: ir.Model) -> list[str]:
    """Values at which a graph falls apart into two: nothing else crosses, and no runtime fuses over them."""
    nodes = list(model.graph)
    place = {node: number for number, node in enumerate(nodes)}
    last: dict[ir.Value, int] = {}
    for number, node in enumerate(nodes):
        last.update((value, number) for value in reads(node))
    last |= dict.fromkeys(model.graph.outputs, len(nodes))
    crossing = [0] * (len(nodes) + 1)  # values made before and read at or behind each node
    for value, end in last.items():
        maker = value.producer()
        if value.is_initializer() or (maker is not None and maker.op_type == "Constant"):
            continue
        start = -1 if maker is None else place[maker]
        crossing[start + 1] += 1
        if end + 1 <= len(nodes):
            crossing[end + 1] -= 1
    found, open_values = [], 0
    for number, node in enumerate(nodes):
        open_values += crossing[number]
        before = nodes[number - 1].outputs[0] if number else None
        if before is None or open_values != 1 or last.get(before, -1) < number or node.op_type in _FUSED:
            continue
        if isinstance(before.type, ir.TensorType) and before.shape is not None and before.name:
            found.append(before.name)
    step = math.ceil(len(found) / _MOST_STRETCHES)
    return found[:: step or 1]


def _colours(search: Search, choice: Choice) -> list[Choice]:
    """The leader's way to run, and what else may run parts of it: other runtimes and formats that are close enough."""
    found = [choice]
    for (runtime, precision, quantizer, graph, *_), kind in search.kinds.items():
        usable = not kind.ran or not kind.refusal  # what cannot run the whole graph may run a part
        own = quantizer == choice.quantizer and graph == "" and usable
        if own and runtimes.load(str(runtime)).node_times is not None:
            found.append(replace(choice, runtime=str(runtime), precision=str(precision)))
    return [each for each in dict.fromkeys(found) if runtimes.load(each.runtime).node_times is not None]


def _crossing(stretches: Sequence[GraphPart], choice: Choice, sample: Values) -> Values:
    """Every value that crosses, from the runtime that is known to run all of it."""
    values = dict(sample)
    for stretch in stretches:
        with closing(build_whole(choice.runtime, serialized(stretch.model), options_of(choice))) as engine:
            results = engine.run([values[name] for name in stretch.inputs])
        values.update(zip(stretch.outputs, results, strict=True))
    return values


def stretch_times(
    model: bytes, stretches: Sequence[GraphPart], choice: Choice, values: Values, deadline_s: float
) -> list[float]:
    """Seconds of each stretch on one runtime; infinite where it refuses it, or time is over.

    Args:
        model: the graph whose stretches they are.
        stretches: of it, in order.
        choice: the runtime, its number format and threads.
        values: the whole's inputs, and everything that crosses.
        deadline_s: `time.monotonic` at which to stop.
    """
    names = [spec.name for spec in parse(model).graph.input if spec.name in values]
    owner = [number for number, stretch in enumerate(stretches) for _ in stretch.model.graph]
    if (found := _kernel_times(model, choice, [values[name] for name in names], owner, len(stretches))) is not None:
        return found
    times = []
    for stretch in stretches:
        if time.monotonic() > deadline_s:
            times.append(math.inf)
            continue
        arrays = [values[name] for name in stretch.inputs]
        alone = _kernel_times(serialized(stretch.model), choice, arrays, [0] * len(stretch.model.graph), 1)
        times.append(math.inf if alone is None else alone[0])
    return times


def _kernel_times(
    model: bytes, choice: Choice, arrays: list[NDArray[Any]], owner: Sequence[int], count: int
) -> list[float] | None:
    """Seconds of the nodes of each owner; None where the runtime refuses the graph."""
    proto = parse(model)
    if len(proto.graph.node) != len(owner):  # something of it is read by nobody
        return None
    known: dict[str, int] = {}
    for number, node in enumerate(proto.graph.node):
        known.update(dict.fromkeys(node.output, owner[number]))
        node.name = f"mark{number}m"
    measure = runtimes.load(choice.runtime).node_times
    assert measure is not None, "only runtimes that time their kernels are asked"
    try:
        rounds = measure(proto.SerializeToString(), options_of(choice), arrays, _ROUNDS)
    except ChipwiseError:
        return None
    table, rest = np.zeros((len(rounds), count)), np.zeros(len(rounds))
    for index, kernels in enumerate(rounds):
        for name, seconds in kernels.items():
            mark = _MARK.search(name)
            place = owner[int(mark[1])] if mark else known.get(name)
            if place is None:
                rest[index] += seconds
            else:
                table[index, place] += seconds
    # Changes of layout belong to nobody: all stretches share them.
    whole = np.median(table, axis=0)
    more = 1 + float(np.median(rest)) / max(float(whole.sum()), 1e-9)
    return [float(each) * more for each in whole]


def cheapest(times: Sequence[Sequence[float]], switch_s: Sequence[float], switches: int) -> tuple[float, Way]:
    """The fastest way through with so many switches at most.

    Args:
        times: seconds of every stretch, for each runtime.
        switch_s: seconds that a switch behind each stretch costs.
        switches: how many there may be.

    Returns:
        seconds, and the runtime of each stretch; infinite where there is no way.
    """
    best: dict[tuple[int, int], tuple[float, Way]] = {(way, 0): (row[0], (way,)) for way, row in enumerate(times)}
    for place, cost in enumerate(switch_s, start=1):
        after: dict[tuple[int, int], tuple[float, Way]] = {}
        for (way, used), (seconds, path) in best.items():
            for other, row in enumerate(times):
                more = used + (other != way)
                total = seconds + row[place] + (cost if other != way else 0.0)
                if more <= switches and total < after.get((other, more), (math.inf, ()))[0]:
                    after[other, more] = (total, (*path, other))
        best = after
    return min(best.values(), default=(math.inf, ()))


def _worthy(
    choice: Choice, ways: Sequence[Choice], ends: Sequence[str], times: list[list[float]], switch_s: list[float]
) -> list[Choice]:
    limit = WORTH * min(sum(row) for row in times)
    found: dict[str, Choice] = {}
    for switches in _SWITCHES:
        seconds, path = cheapest(times, switch_s, switches)
        if not path or len(set(path)) < 2 or seconds >= limit:
            continue
        spent = [sum(times[way][place] for place, each in enumerate(path) if each == way) for way in range(len(ways))]
        most = ways[int(np.argmax(spent))]
        made = replace(
            choice, runtime=most.runtime, precision=most.precision, parts=_parts([ways[way] for way in path], ends)
        )
        found.setdefault(made.title, made)
    return list(found.values())


def _parts(ways: Sequence[Choice], ends: Sequence[str]) -> tuple[Part, ...]:
    """Stretches next to each other on the same runtime are one part, but for those that are asked for one by one."""
    alone = len(set(ways)) == 1
    made: list[Part] = []
    for way, end in zip(ways, (*ends, ""), strict=True):
        if made and not alone and (made[-1].runtime, made[-1].precision) == (way.runtime, way.precision):
            made.pop()
        made.append(Part(way.runtime, way.precision, end))
    return tuple(made)
