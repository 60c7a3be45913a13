"""What layers take on a runtime here: small networks of all kinds of layers, each kernel by the runtime's own profiler.

The profiler's times are of kernels; a whole network takes longer. How much longer is found from the same networks run
whole, without the profiler.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from chipwise import runtimes
from chipwise.clock.sustained import Watch, sustained
from chipwise.compiler import kernel_fit
from chipwise.core.device import Machine
from chipwise.core.errors import RuntimeUnavailableError
from chipwise.core.measured import KernelTime, LayerTimes
from chipwise.cost.fused import kernels
from chipwise.cost.measured_model import KernelModel, whole_s
from chipwise.runtimes.engine import EngineOptions
from chipwise.runtimes.probe_graph import Probe
from chipwise.runtimes.probes import PROBES
from chipwise.runtimes.products import native

BATCHES = (1, 8)
# How often each network is run whole, and kernel by kernel: fewer times where that takes long.
_WHOLE_S, _REPEATS = 0.4, 3
_ROUNDS_S, _ROUNDS = 0.3, (2, 12)
_ROW = re.compile(r"L\d{3}")
# Of a whole's overheads, how strongly "none" is believed, as a relative error.
_PRIOR = 0.02
_LEAST_NETWORKS = 4


@dataclass(frozen=True, slots=True)
class Whole:
    """The time of a probe, and those of its kernels."""

    probe: str
    time_s: float
    kernels: tuple[KernelTime, ...]


def measure_layers(
    jobs: Sequence[tuple[str, EngineOptions]],
    machine: Machine,
    *,
    deadline_s: float,
    watch: Watch,
    report: Callable[[float], None],
) -> tuple[tuple[LayerTimes, ...], tuple[str, ...]]:
    """Measure all probes on runtimes, until the time is over.

    Args:
        jobs: names of adapters that can time kernels, with precision and threads.
        machine: decides which precisions are native.
        deadline_s: on the clock of `watch`.
        watch: where time comes from.
        report: told the share that is done.

    Returns:
        what was measured of each job that enough was measured of; and sentences on what went wrong.
    """
    wholes: list[list[Whole]] = [[] for _ in jobs]
    wanted = _order()
    problems: dict[str, None] = {}
    for number, (batch, name) in enumerate(wanted):
        if watch.timer.now() > deadline_s:
            problems[f"time was over after {number} of the {len(wanted)} networks that layers are measured in"] = None
            break
        probe = PROBES[name](batch)
        for (runtime, options), found in zip(jobs, wholes, strict=True):
            if number >= len(PROBES) and not native(options.precision, machine):
                continue  # slow, and of little use: one batch of each network will do
            try:
                found.append(_measured(runtime, probe, replace(options, batch=batch), watch))
            except RuntimeUnavailableError as error:
                problems[error.message] = None
        report((number + 1) / len(wanted))
    done = [
        fitted(runtime, options, found, native=native(options.precision, machine))
        for (runtime, options), found in zip(jobs, wholes, strict=True)
        if len(found) >= _LEAST_NETWORKS
    ]
    return tuple(done), tuple(problems)


def _order() -> list[tuple[int, str]]:
    """Every network once, in either batch in turn; then in the other: when time is over, something of all is there."""
    names, count = list(PROBES), len(BATCHES)
    return [(BATCHES[(index + turn) % count], name) for turn in range(count) for index, name in enumerate(names)]


def fitted(runtime: str, options: EngineOptions, wholes: Sequence[Whole], *, native: bool) -> LayerTimes:
    """Fit the kernels, and find what networks take beside them and how far predictions of networks left out are off."""
    factor, each_s, start_s = _overheads(wholes)

    def without(probe: str) -> LayerTimes:
        seen = [each for whole in wholes if whole.probe != probe for each in whole.kernels]
        times = kernel_fit.fitted(seen, runtime, options.precision, options.threads)
        return replace(times, factor=factor, each_s=each_s, start_s=start_s, native=native)

    # Both batches of a network are left out together: they would tell too much of each other.
    errors = [
        _error(without(probe), whole)
        for probe in dict.fromkeys(whole.probe for whole in wholes)
        for whole in wholes
        if whole.probe == probe
    ]
    return replace(without(""), errors=tuple(errors))


def _error(times: LayerTimes, whole: Whole) -> float:
    model = KernelModel(times)
    expected = [model.time_s(each.kind, each.flops, each.values, each.sizes) for each in whole.kernels]
    return math.log(whole_s(times, expected) / whole.time_s)


def _overheads(wholes: Sequence[Whole]) -> tuple[float, float, float]:
    """Least squares of relative errors, drawn towards "a network takes what its kernels take"."""
    sums = np.array([sum(each.time_s for each in whole.kernels) for whole in wholes])
    counts = np.array([len(whole.kernels) for whole in wholes])
    times = np.array([whole.time_s for whole in wholes])
    table = np.stack([sums, counts * 1e-6, np.full(len(wholes), 1e-6)], axis=1) / times[:, None]
    prior = np.array([1.0, 0.0, 0.0])
    weights = np.ones(len(wholes))
    found = prior
    for _ in range(10):  # one network that was disturbed must not count for much
        scaled = table * weights[:, None]
        pull = np.diag([1.0, 0.05, 0.05]) * _PRIOR
        matrix = np.concatenate([scaled, pull])
        wanted = np.concatenate([weights, pull @ prior])
        found = np.linalg.lstsq(matrix, wanted, rcond=None)[0]
        off = np.abs(table @ found - 1)
        weights = 1 / np.sqrt(1 + (off / 0.05) ** 2)
    return float(max(found[0], 0.1)), float(1e-6 * found[1]), float(1e-6 * max(found[2], 0.0))


def _measured(runtime: str, probe: Probe, options: EngineOptions, watch: Watch) -> Whole:
    adapter = runtimes.load(runtime)
    assert adapter.node_times is not None, "only runtimes that time their kernels are asked"
    array = np.random.default_rng(0).standard_normal(probe.input_shape, dtype=np.float32)
    engine = adapter.build(probe.model, options)
    whole = sustained(lambda: engine.run([array]), 1.0, deadline_s=_WHOLE_S, watch=watch, repeats=_REPEATS)
    engine.close()
    count = min(max(int(_ROUNDS_S * whole.rate), _ROUNDS[0]), _ROUNDS[1])
    return Whole(
        probe.name, 1 / whole.rate, kernel_times(probe, adapter.node_times(probe.model, options, [array], count))
    )


def kernel_times(probe: Probe, rounds: Sequence[dict[str, float]]) -> tuple[KernelTime, ...]:
    """Times of the probe's kernels, the mean of the faster half of the rounds.

    A runtime's kernel belongs to the first row that its name holds. What belongs to none is of the rows that no kernel
    is named after (fused under another name), in proportion to their traffic; where there are none of these it is a
    change of layout, and spread over all in proportion. Arithmetic that was merged into a named kernel is left out.
    """
    rows: dict[str, NDArray[np.float64]] = {}
    rest = np.zeros(len(rounds))
    for index, times in enumerate(rounds):
        for name, time in times.items():
            row = _ROW.search(name)
            if row is None:
                rest[index] += time
            else:
                rows.setdefault(row[0], np.zeros(len(rounds)))[index] += time
    half = max(1, len(rounds) // 2)

    def usual(samples: NDArray[np.float64]) -> float:
        return float(np.sort(samples)[:half].mean())

    found = kernels(probe.layers)
    nothing = np.zeros(len(rounds))
    seconds = [usual(sum((rows.get(name, nothing) for name in kernel.names), nothing)) for kernel in found]
    unnamed = sum(kernel.values for kernel, time in zip(found, seconds, strict=True) if not time)
    if unnamed:
        seconds = [time or usual(rest) * kernel.values / unnamed for kernel, time in zip(found, seconds, strict=True)]
    more = 1.0 if unnamed else 1 + usual(rest) / sum(seconds)
    return tuple(
        KernelTime(kernel.kind, kernel.flops, kernel.values, kernel.sizes, more * time)
        for kernel, time in zip(found, seconds, strict=True)
        if time or not kernel.flops  # arithmetic that takes no time was merged into another's; a copy may be left out
    )
