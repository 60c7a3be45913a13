"""Which layers stay in float: those whose rounding alone moves the answers most, until a test holds.

The error of a layer is that of the network's outputs when nothing else is quantized. Measured on ResNet-8, ResNet-20
and a keyword spotter, keeping layers in this order leaves less error than in the order of what each takes away when it
alone is kept: there errors cancel by chance, and two layers that each do the same harm hide each other. A layer's own
noise, which `onnxruntime.quantization.qdq_loss_debug` compares, is small beside the signal of a channel a thousand
times as large as the others, and destroys what the other channels carry.

>>> noise([np.array([1.0, 1.0])], [np.array([1.0, 1.5])])
0.125
"""

from __future__ import annotations

import hashlib
import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from chipwise.compiler import quantizers
from chipwise.compiler.blocks import layers
from chipwise.compiler.opset import feeds, quantizable
from chipwise.compiler.parts import build_whole
from chipwise.core.errors import RuntimeUnavailableError
from chipwise.runtimes.engine import EngineOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, MutableMapping, Sequence

    from numpy.typing import NDArray

    from chipwise.compiler.opset import Samples
    from chipwise.core.device import Machine

    Quantize = Callable[[Collection[str]], bytes]
    Run = Callable[[bytes], Sequence[NDArray[Any]]]

MOST_GROUPS = 60
_LISTED = 3  # layers in a sentence
_CALLS = 16  # of the calibration inputs, to rank by: the order of layers is stable long before accuracies are
_RANKING_SHARE = 0.4  # of the time


@dataclass(frozen=True, slots=True)
class Group:
    """Layers that are kept or quantized together, and how much the outputs move when only they are quantized.

    Attributes:
        names: of the layers, in the order of the graph.
        error: energy of what changes in the outputs over that of the outputs; 0 where nothing can be quantized, or time
            ran out before.
    """

    names: tuple[str, ...]
    error: float


@dataclass(frozen=True, slots=True)
class Mixed:
    """A graph that is quantized as far as it may be.

    Attributes:
        model: serialized; empty where no graph was accepted.
        kept: layers that stay in float, the most sensitive first, what the caller kept included.
        tried: how many graphs were judged.
        errors: of each kept layer that was ranked; see `Group`.
        why: one sentence.
    """

    model: bytes
    kept: tuple[str, ...]
    tried: int
    errors: dict[str, float] = field(default_factory=dict)
    why: str = ""


def noise(expected: Sequence[NDArray[Any]], got: Sequence[NDArray[Any]]) -> float:
    """Energy of the difference over that of what is expected, the mean of all outputs; infinite if it is no number."""
    shares = []
    for want, have in zip(expected, got, strict=True):
        a, b = np.asarray(want, np.float64), np.asarray(have, np.float64)
        energy = float((a**2).sum()) or 1.0
        shares.append(float(((a - b) ** 2).sum()) / energy)
    mean = float(np.mean(shares))
    return mean if np.isfinite(mean) else float("inf")


def ranking(
    quantize: Quantize,
    run: Run,
    expected: Sequence[NDArray[Any]],
    names: Sequence[str],
    *,
    deadline_s: float = float("inf"),
) -> tuple[Group, ...]:
    """Quantize one group of layers at a time and see what becomes of the outputs.

    Args:
        quantize: from names of layers that stay in float to a quantized graph.
        run: from a graph to its outputs for the same inputs.
        expected: the float graph's outputs for them.
        names: of all layers in question, in the order of the graph; more than 60 are taken in groups of neighbours.
        deadline_s: `time.monotonic` at which to stop.

    Returns:
        the groups, the most sensitive first.
    """
    size = max(-(-len(names) // MOST_GROUPS), 1)
    found = []
    for start in range(0, len(names), size):
        group = tuple(names[start : start + size])
        error = 0.0
        if time.monotonic() < deadline_s:
            try:
                error = noise(expected, run(quantize([name for name in names if name not in group])))
            except RuntimeUnavailableError:  # nothing in this group that it quantizes
                error = 0.0
        found.append(Group(group, error))
    return tuple(sorted(found, key=lambda group: -group.error))


def mixed(
    model: bytes,
    quantizer: str,
    samples: Samples | None,
    machine: Machine,
    *,
    accept: Callable[[bytes], bool],
    budget_s: float,
    keep: Collection[str] = (),
    cache: MutableMapping[str, Any] | None = None,
) -> Mixed:
    """Keep the fewest layers in float with which a graph is accepted: twice as many each time, then halving the step.

    Args:
        model: serialized float ONNX graph.
        quantizer: name of a recipe.
        samples: calibration inputs, [C, B, ...] one row a call, or a tuple of such arrays.
        machine: where the network will run.
        accept: judges a serialized graph, on data that neither calibrates nor guards.
        budget_s: wall time; what was found by then counts.
        keep: layers that stay in float anyway.
        cache: what is known from an earlier call with the same arguments, JSON values by name; written as it goes.

    Raises:
        UnknownNameError: no such recipe or layer.
        RuntimeUnavailableError: the quantizer refuses the graph, or ONNX Runtime cannot run it.
    """
    started = time.monotonic()
    known: MutableMapping[str, Any] = {} if cache is None else cache
    search = _Search(quantizers.prepare(quantizer, model, samples, machine), accept, known, started + budget_s)
    if search.accepted(tuple(keep)):
        return search.result(
            tuple(keep), (), "every layer may be int8" if not keep else "every other layer may be int8"
        )
    if "ranking" in known:
        groups = tuple(Group(tuple(names), error) for names, error in known["ranking"])
    else:
        if samples is None:
            raise RuntimeUnavailableError("layers cannot be ranked without inputs", hint="give --data")
        until = started + budget_s * _RANKING_SHARE
        again = quantizers.QUANTIZERS[quantizer].library != ""  # NNCF calibrates for each graph anew
        quantize = quantizers.prepare("onnxruntime", model, samples, machine) if again else search.quantize
        groups = _rank(model, quantize, samples, keep=keep, deadline_s=until)
        if time.monotonic() < until:  # what time was too short for must not stay unknown in the next search
            known["ranking"] = [[list(group.names), group.error] for group in groups]
    if (found := _fewest(search, tuple(keep), groups)) is None:
        why = (
            "no mix of int8 and float was good enough"
            if search.in_time()
            else "time ran out before one was good enough"
        )
        return Mixed(b"", (), search.tried, why=why)
    kept = _without_needless(search, tuple(keep), found)
    names = _names(kept)
    lead = max(kept, key=lambda group: group.error)
    moved = f"rounding {_listed(lead.names)} alone moves the answers by {lead.error**0.5:.1%}"
    return search.result((*keep, *names), kept, f"{_listed(names)} in float: {moved}")


@dataclass(slots=True)
class _Search:
    """Judges graphs, each once."""

    quantize: Quantize
    accept: Callable[[bytes], bool]
    cache: MutableMapping[str, Any]
    deadline_s: float
    tried: int = 0
    slowest_s: float = 0.0

    def in_time(self) -> bool:
        """True while there is time for another graph, as long as they took."""
        return time.monotonic() + self.slowest_s < self.deadline_s

    def accepted(self, keep: tuple[str, ...]) -> bool:
        """Judge the graph with these layers in float."""
        key = "accepted " + hashlib.sha256("\n".join(sorted(keep)).encode()).hexdigest()[:16]
        if key not in self.cache:
            began = time.monotonic()
            try:
                verdict = bool(self.accept(self.quantize(keep)))
            except RuntimeUnavailableError:
                if not self.cache:  # the very first: the graph as a whole
                    raise
                verdict = False  # such as nothing left to quantize
            self.cache[key] = verdict
            self.tried += 1
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        return bool(self.cache[key])

    def result(self, keep: tuple[str, ...], groups: Sequence[Group], why: str) -> Mixed:
        """The graph with these layers in float."""
        errors = {name: group.error for group in groups for name in group.names}
        return Mixed(self.quantize(keep), keep, self.tried, errors, why)


def _rank(
    model: bytes, quantize: Quantize, samples: Samples, *, keep: Collection[str], deadline_s: float
) -> tuple[Group, ...]:
    """The layers by sensitivity, in ONNX Runtime's own int8 kernels: what they saturate counts too."""
    proto = quantizable(model)
    few = tuple(each[:_CALLS] for each in samples) if isinstance(samples, tuple) else samples[:_CALLS]
    calls = [list(call.values()) for call in feeds(proto, few)]

    def run(graph: bytes) -> list[NDArray[Any]]:
        with closing(build_whole("onnxruntime", graph, EngineOptions(precision="int8", threads=0))) as engine:
            rows = [engine.run(call) for call in calls]
        return [np.concatenate([np.ravel(row[place]) for row in rows]) for place in range(len(rows[0]))]

    return ranking(
        lambda names: quantize((*keep, *names)),
        run,
        run(proto.SerializeToString()),
        [name for name in layers(proto) if name not in keep],
        deadline_s=deadline_s,
    )


def _fewest(search: _Search, keep: tuple[str, ...], groups: tuple[Group, ...]) -> tuple[Group, ...] | None:
    """The shortest run of the most sensitive groups found to be enough; None without one."""
    refused, enough = 0, 0
    while not enough and refused < len(groups) - 1 and search.in_time():
        count = min(max(2 * refused, 1), len(groups) - 1)  # one less than all: something must be left in int8
        if search.accepted((*keep, *_names(groups[:count]))):
            enough = count
        else:
            refused = count
    while enough - refused > 1 and search.in_time():
        count = (refused + enough) // 2
        if search.accepted((*keep, *_names(groups[:count]))):
            enough = count
        else:
            refused = count
    return groups[:enough] if enough else None


def _without_needless(search: _Search, keep: tuple[str, ...], groups: tuple[Group, ...]) -> tuple[Group, ...]:
    """Quantize again, from the least sensitive on, what need not stay in float after all."""
    for group in reversed(groups):
        fewer = tuple(each for each in groups if each is not group)
        if len(groups) > 1 and search.in_time() and search.accepted((*keep, *_names(fewer))):
            groups = fewer
    return groups


def _names(groups: Sequence[Group]) -> tuple[str, ...]:
    return tuple(name for group in groups for name in group.names)


def _listed(names: Sequence[str]) -> str:
    """Names for a sentence; those of converted graphs may be as long as a paragraph."""
    short = [name if len(name) <= 40 else f"…{name[-39:]}" for name in names[:_LISTED]]
    more = [f"{len(names) - _LISTED} more"] if len(names) > _LISTED else []
    return ", ".join(short + more)
