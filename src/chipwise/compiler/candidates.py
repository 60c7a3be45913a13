"""Which ways to run a network are worth trying here: runtime x precision x threads x streams x batch x graph.

Not all of them at once: the first ones differ in runtime and number format, and what lies one step from the best of
them is tried next.

>>> thread_counts(6)
(1, 2, 4, 0)
>>> stream_counts(6)
(2, 4, 6)
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from chipwise import runtimes
from chipwise.compiler.graphs import joined
from chipwise.compiler.quantizers import QUANTIZERS
from chipwise.core.errors import RuntimeUnavailableError, unknown_name
from chipwise.core.plan import Choice, Goal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chipwise.compiler.options import CompileOptions
    from chipwise.core.device import Machine

# An engine of these is native code that needs its library where it runs: a candidate only when asked for.
ON_REQUEST = ("inductor",)
THROUGHPUT_BATCHES = (1, 8, 32, 128)
_FIRST_BATCHES = (1, 32)
_FIRST_QUANTIZERS = 2
_FLOATS = ("fp32", "bf16", "fp16")


def usable_runtimes(options: CompileOptions, machine: Machine) -> tuple[str, ...]:
    """Names of the adapters to try.

    Raises:
        UnknownNameError: when `options` names an adapter that does not exist.
        RuntimeUnavailableError: when it names one that is not usable here, or none is.
    """
    for name in (*options.runtimes, *options.allow):
        if name not in runtimes.RUNTIMES or name == "reference":
            raise unknown_name("runtime", name, set(runtimes.RUNTIMES) - {"reference"})
    asked = (*options.runtimes, *options.allow)
    usual = [name for name in runtimes.RUNTIMES if name not in (*ON_REQUEST, "reference")]
    states = {status.name: status for status in runtimes.status(machine, (*usual, *asked))}
    for name in asked:
        if not states[name].usable:
            raise RuntimeUnavailableError(f"{name} is not usable here: {states[name].reason}", hint="chipwise doctor")
    names = tuple(
        dict.fromkeys((*(options.runtimes or [each for each in usual if states[each].usable]), *options.allow))
    )
    if not names:
        raise RuntimeUnavailableError("no runtime is usable on this machine", hint="chipwise doctor says why")
    return names


def thread_counts(cores: int) -> tuple[int, ...]:
    """Powers of two below the number of cores, and 0: all of them, as the runtime itself places them."""
    return (*(2**power for power in range(cores.bit_length()) if 2**power < cores), 0)


def stream_counts(cores: int) -> tuple[int, ...]:
    """Powers of two from 2 up to the number of cores, and that number: requests that may be in flight at once."""
    return (*(2**power for power in range(1, cores.bit_length()) if 2**power < cores), *((cores,) if cores > 1 else ()))


def first_choices(
    names: tuple[str, ...],
    machine: Machine,
    goal: Goal,
    quantizers: tuple[str, ...],
    *,
    dynamic_batch: bool,
    kept: tuple[str, ...] = (),
) -> list[Choice]:
    """One thread and all of them, of every runtime and number format.

    The most faithful precision comes first, so that a time limit cuts the riskiest ones.

    Args:
        names: of the runtimes.
        machine: decides the number formats and threads.
        goal: several batches are for "throughput" only.
        quantizers: that may be used; the first two are.
        dynamic_batch: whether the graph takes any batch.
        kept: layers that stay in float whatever is quantized.
    """
    batches = _FIRST_BATCHES if goal == "throughput" and dynamic_batch else (1,)
    precisions = {name: runtimes.load(name).precisions(machine) for name in names}
    kinds: list[tuple[str, str, str]] = [
        (name, precision, "") for precision in _FLOATS for name in names if precision in precisions[name]
    ]
    kinds += [
        (name, QUANTIZERS[quantizer].precision, quantizer)
        for quantizer in quantizers[:_FIRST_QUANTIZERS]
        for name in names
        if _runs(name, quantizer)
    ]
    return [
        Choice(runtime=name, precision=precision, threads=threads, batch=batch, quantizer=quantizer, kept=kept)
        for name, precision, quantizer in kinds
        for threads in dict.fromkeys((thread_counts(machine.cores)[0], 0))
        for batch in batches
    ]


def neighbours(
    choice: Choice,
    machine: Machine,
    goal: Goal,
    *,
    graphs: Iterable[str] = (),
    quantizers: Iterable[str] = (),
    dynamic_batch: bool = False,
    in_flight: int = max(THROUGHPUT_BATCHES),
) -> list[Choice]:
    """What lies one step from a choice: other batches and streams, another graph, other threads, other quantizers.

    Args:
        choice: a good one.
        machine: how many threads make sense.
        goal: batches and streams are for "throughput" only.
        graphs: variants of the graph that differ from the choice's.
        quantizers: that may be used, where the choice is quantized.
        dynamic_batch: whether the graph takes any batch.
        in_flight: most items that all streams together may work on at once.
    """
    batches = THROUGHPUT_BATCHES if dynamic_batch else (choice.batch,)
    found = []
    if goal == "throughput":
        found += [replace(choice, batch=batch) for batch in batches]
        found += _streamed(choice, machine.cores, batches, in_flight)
    # Values have other names in another graph: whether it is to be cut, and where, is not known there.
    found += [replace(choice, graph=joined(choice.graph, each), parts=()) for each in graphs]
    found += [replace(choice, threads=threads) for threads in thread_counts(machine.cores)]
    if choice.quantizer:
        found += [
            replace(choice, parts=(), quantizer=each, precision=QUANTIZERS[each].precision)
            for each in quantizers
            if _runs(choice.runtime, each)
        ]
        found += rest_in_bf16(choice, machine)
    return [each for each in dict.fromkeys(found) if each != choice]


def _streamed(choice: Choice, cores: int, batches: Iterable[int], in_flight: int) -> list[Choice]:
    """A choice with several requests at once, which share the cores; the smallest batches and the most streams first.

    Engines in a row take one request at a time: a choice with parts has no streams.
    """
    return [
        replace(choice, threads=cores // streams, streams=streams, batch=batch)
        for batch in batches
        for streams in reversed(stream_counts(cores))
        if streams * batch <= in_flight and not choice.parts
    ]


def rest_in_bf16(choice: Choice, machine: Machine) -> list[Choice]:
    """A quantized choice with what is not quantized in bf16, where its runtime has that: one choice, or none."""
    if choice.precision != "int8" or choice.parts or "bf16" not in runtimes.load(choice.runtime).precisions(machine):
        return []
    return [replace(choice, precision="bf16")]


def _runs(runtime: str, quantizer: str) -> bool:
    """True when a runtime may be given a quantizer's graphs."""
    only = QUANTIZERS[quantizer].runtimes
    return runtime not in ON_REQUEST and (not only or runtime in only)
