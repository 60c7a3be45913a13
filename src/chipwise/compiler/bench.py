"""Time a plan against what every installed runtime does by default with the source network, interleaved.

Peers are built and called the way their documentation shows; the plan runs at its own batch, and so do they.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from chipwise import runtimes
from chipwise.clock.interleave import interleave
from chipwise.clock.statistics import noise, speedup, summarize
from chipwise.compiler.load import open_plan
from chipwise.core.errors import InputError, MachineError, unknown_name
from chipwise.core.events import Progress, silent
from chipwise.core.report import BenchResult, BenchRow
from chipwise.devices.detect import versions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from chipwise.core.device import Machine
    from chipwise.core.plan import Plan
    from chipwise.runtimes.engine import Engine

PLAN = "plan"
_ROUNDS = 60


@dataclass(frozen=True, slots=True)
class Baseline:
    """An earlier `bench` of the same plan to compare with, and how much slower this one may be (0.05 = 5%)."""

    result: BenchResult
    allowed: float


def bench_plan(
    plan: Plan,
    name: str,
    source: bytes,
    machine: Machine,
    *,
    peers: Sequence[str] = ("all",),
    budget_s: float = 20.0,
    baseline: Baseline | None = None,
    progress: Progress = silent,
) -> BenchResult:
    """Time a plan and its peers.

    Args:
        plan: an opened plan file.
        name: what to call it in the answer.
        source: serialized source graph, for the peers.
        machine: this machine.
        peers: runtime names, or "all" for every one that is usable here; empty for the plan alone.
        budget_s: wall time for timing (building engines comes on top).
        baseline: an earlier result to compare with.
        progress: told what is being built and timed.

    Raises:
        UnknownNameError: a peer that does not exist. RuntimeUnavailableError: the plan cannot run here.
        InputError: a baseline of another network or batch, or without the plan's time.
    """
    before_s = _median_before(baseline.result, plan) if baseline else None
    engine = open_plan(plan, machine)
    batch = plan.manifest.choice.batch
    progress.update("bench", 0.05, "plan")
    engines = {PLAN: engine}
    failed: list[BenchRow] = []
    names = _peer_names(peers, machine)
    for number, peer in enumerate(names):
        progress.update("bench", 0.05 + 0.35 * number / len(names), f"building {peer}")
        try:
            engines[f"{peer} default"] = _default_engine(peer, source, plan, batch)
        except MachineError as error:
            failed.append(BenchRow(f"{peer} default", "", None, note=error.message))
    arrays = [np.ascontiguousarray(np.repeat(array, batch, axis=0)) for array in plan.sample_inputs]
    progress.update("bench", 0.4, f"timing {len(engines)} contenders")
    samples = interleave(
        {each: _call(built, arrays) for each, built in engines.items()},
        budget_s=budget_s,
        min_rounds=10,
        max_rounds=_ROUNDS,
        progress=progress,
    )
    progress.update("bench", 1.0)
    rows = [_row(each, built, samples) for each, built in engines.items()]
    regression = summarize(samples[PLAN]).median_s / before_s if before_s else None
    slower = regression is not None and baseline is not None and regression > 1 + baseline.allowed
    return BenchResult(
        plan=name,
        network=plan.manifest.source.name,
        batch=batch,
        rows=(*rows, *failed),
        noise=float(np.median([noise(each) for each in samples.values()])),
        machine=machine,
        versions=versions(),
        regression=regression,
        ok=not slower,
        reason=_regression_text(regression, baseline),
    )


def _peer_names(peers: Sequence[str], machine: Machine) -> list[str]:
    for peer in peers:
        if peer != "all" and (peer not in runtimes.RUNTIMES or peer == "reference"):
            raise unknown_name("runtime", peer, {*runtimes.RUNTIMES, "all"} - {"reference"})
    if "all" in peers:
        usable = [status.name for status in runtimes.status(machine) if status.usable]
        return [each for each in usable if each != "reference"]
    return list(dict.fromkeys(peers))


def _default_engine(peer: str, source: bytes, plan: Plan, batch: int) -> Engine:
    """Build a peer's default and run it once, so that what compiles late has compiled."""
    engine = runtimes.load(peer).build_default(source)
    engine.run([np.ascontiguousarray(np.repeat(array, batch, axis=0)) for array in plan.sample_inputs])
    return engine


def _call(engine: Engine, arrays: list[NDArray[np.generic]]) -> Callable[[], object]:
    return lambda: engine.run(arrays)


def _row(name: str, engine: Engine, samples: dict[str, NDArray[np.float64]]) -> BenchRow:
    over = None if name == PLAN else speedup(of=samples[PLAN], over=samples[name])
    return BenchRow(name, engine.precision, summarize(samples[name]), over)


def _median_before(result: BenchResult, plan: Plan) -> float:
    """The plan's median in an earlier result, once it is known to be of the same network and batch."""
    name, batch = plan.manifest.source.name, plan.manifest.choice.batch
    if (result.network, result.batch) != (name, batch):
        received = f"{result.network} with batch {result.batch}"
        raise InputError(f"the baseline is of {received}, the plan of {name} with batch {batch}")
    timing = next((row.timing for row in result.rows if row.name == PLAN), None)
    if timing is None or not timing.quantiles_s or timing.median_s <= 0:
        raise InputError("the baseline holds no time of the plan", hint="chipwise bench PLAN --json > FILE")
    return timing.median_s


def _regression_text(regression: float | None, baseline: Baseline | None) -> str:
    if regression is None or baseline is None:
        return ""
    word = "slower" if regression > 1 + baseline.allowed else "within the limit"
    return f"{regression:.2f}x the baseline's time, {word} (allowed {1 + baseline.allowed:.2f}x)"
