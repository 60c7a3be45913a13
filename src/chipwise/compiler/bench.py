"""Time a plan against what every installed runtime does by default with the source network, interleaved.

Peers are built and called the way their documentation shows; the plan runs at its own batch, and so do they. A plan
with streams gets some requests for each, and its peers get the same ones, one after another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from chipwise import runtimes
from chipwise.clock.interleave import interleave
from chipwise.clock.statistics import noise, speedup, summarize
from chipwise.compiler.choose import PER_STREAM
from chipwise.compiler.load import open_plan
from chipwise.compiler.parts import build_default
from chipwise.compiler.regression import PLAN, Baseline, check_comparable, compare
from chipwise.core.errors import MachineError, unknown_name
from chipwise.core.events import Part, Progress, silent
from chipwise.core.report import BenchResult, BenchRow
from chipwise.devices.detect import versions
from chipwise.runtimes.engine import run_many

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from chipwise.core.device import Machine
    from chipwise.core.plan import Plan
    from chipwise.runtimes.engine import Engine

_ROUNDS = 60


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
    if baseline is not None:
        check_comparable(baseline, plan.manifest.source.name, plan.manifest.choice.batch)
    engine = open_plan(plan, machine)
    batch, streams = plan.manifest.choice.batch, plan.manifest.choice.streams
    requests = PER_STREAM * streams if streams > 1 else 1
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
    calls = interleave(
        {each: _call(built, arrays, requests) for each, built in engines.items()},
        budget_s=budget_s,
        min_rounds=10,
        max_rounds=_ROUNDS,
        progress=Part(progress, "bench", 0.4, 1.0),
    )
    samples = {each: seconds / requests for each, seconds in calls.items()}
    rows = [_row(each, built, samples) for each, built in engines.items()]
    regression = None if baseline is None else compare(baseline, rows)
    return BenchResult(
        plan=name,
        network=plan.manifest.source.name,
        batch=batch,
        requests=requests,
        rows=(*rows, *failed),
        noise=float(np.median([noise(each) for each in samples.values()])),
        machine=machine,
        versions=versions(),
        regression=None if regression is None else regression.factor,
        ok=regression is None or regression.ok,
        reason="" if regression is None else regression.reason,
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
    engine = build_default(peer, source)
    engine.run([np.ascontiguousarray(np.repeat(array, batch, axis=0)) for array in plan.sample_inputs])
    return engine


def _call(engine: Engine, arrays: list[NDArray[np.generic]], requests: int) -> Callable[[], object]:
    return (lambda: engine.run(arrays)) if requests == 1 else lambda: run_many(engine, [arrays] * requests)


def _row(name: str, engine: Engine, samples: dict[str, NDArray[np.float64]]) -> BenchRow:
    over = None if name == PLAN else speedup(of=samples[PLAN], over=samples[name])
    return BenchRow(name, engine.precision, summarize(samples[name]), over)
