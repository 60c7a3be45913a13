"""Time a plan against what every installed runtime does by default with the source network, interleaved.

Peers are built and called the way their documentation shows; the plan runs at its own batch, and so do they. A plan
with streams gets some requests for each, and its peers get the same ones, one after another.

Besides its default a runtime may have other ways that people call it: OpenVINO told to stay in float32 where its
default is bfloat16, PyTorch without its compiler. A peer in a coarser format than the plan may take, or whose answer to
the plan's sample is another one, is timed and not counted as beaten or unbeaten.

Where the plan takes pictures as uint8, peers get them as the floats that the source takes, prepared before the clock
runs: work that the plan does itself is done for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chipwise import runtimes
from chipwise.clock.interleave import interleave
from chipwise.clock.statistics import noise, speedup, summarize
from chipwise.compiler.choose import PER_STREAM
from chipwise.compiler.load import open_plan
from chipwise.compiler.oracle import relative_error
from chipwise.compiler.parts import build_default
from chipwise.compiler.pixels import for_source
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
    from chipwise.core.plan import Manifest, Plan
    from chipwise.runtimes.engine import Engine

_ROUNDS = 40
_COARSE = ("bf16", "fp16")  # formats that a runtime chooses of its own accord
_APART = 1e-3  # of the largest value: from here on answers to the same sample are others
_PREPARED = "its floats prepared beforehand"


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
        peers: runtime names, "openvino:fp32" and "inductor:eager" for the other ways; or "all" for everything that is
            usable here; empty for the plan alone.
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
    engines, apart = {PLAN: engine}, {PLAN: 0.0}
    failed: list[BenchRow] = []
    names = _peer_names(peers, machine)
    for number, peer in enumerate(names):
        progress.update("bench", 0.05 + 0.35 * number / len(names), f"building {peer}")
        title = _title(peer)
        try:
            engines[title], apart[title] = _default_engine(peer, source, plan)
        except MachineError as error:
            failed.append(BenchRow(title, "", None, note=error.message))
    progress.update("bench", 0.4, f"timing {len(engines)} contenders")
    calls = interleave(
        {each: _call(built, _given(each, built, plan), requests) for each, built in engines.items()},
        budget_s=budget_s,
        min_rounds=10,
        max_rounds=_ROUNDS,
        progress=Part(progress, "bench", 0.4, 1.0),
        one_thread={PLAN} if plan.manifest.choice.one_thread else (),
    )
    samples = {each: seconds / requests for each, seconds in calls.items()}
    rows = [_row(each, built, samples, plan.manifest, apart[each]) for each, built in engines.items()]
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
    known = [name for name in runtimes.RUNTIMES if name != "reference"]
    asked = [peer for peer in peers if peer != "all"]
    for peer in asked:
        runtime, _, way = peer.partition(":")
        if runtime not in known:
            raise unknown_name("runtime", peer, {*known, "all"})
        if way and way not in (ways := runtimes.load(runtime).WAYS):
            raise unknown_name("way to run", peer, {runtime, *(f"{runtime}:{each}" for each in ways)})
    if "all" in peers:
        usable = [status.name for status in runtimes.status(machine, known) if status.usable]
        asked += [name for runtime in usable for name in (runtime, *_other_ways(runtime, machine))]
    return list(dict.fromkeys(asked))


def _other_ways(runtime: str, machine: Machine) -> list[str]:
    """Names of the ways that differ from a runtime's default here: telling it to take float32 does not everywhere."""
    adapter = runtimes.load(runtime)
    only = adapter.precisions(machine) == ("fp32",)
    return [f"{runtime}:{way}" for way in adapter.WAYS if not (only and way == "fp32")]


def _title(peer: str) -> str:
    runtime, _, way = peer.partition(":")
    return f"{runtime} {way or 'default'}"


def _default_engine(peer: str, source: bytes, plan: Plan) -> tuple[Engine, float]:
    """Build a peer and run it once, so that what compiles late has compiled; how far its answer is from the plan's."""
    runtime, _, way = peer.partition(":")
    engine = build_default(runtime, source, way)
    return engine, _apart(engine.run(_given(peer, engine, plan)), plan.expected_outputs)


def _apart(answers: Sequence[NDArray[Any]], expected: Sequence[NDArray[Any]]) -> float:
    """How far the answers to the first items are from those of the plan's sample, where items are on the first axis."""
    first = [answer[: len(want)] if want.ndim else answer for answer, want in zip(answers, expected, strict=True)]
    pairs = [(got, want) for got, want in zip(first, expected, strict=True) if got.shape == want.shape]
    return relative_error([got for got, _ in pairs], [want for _, want in pairs])


def _given(name: str, engine: Engine, plan: Plan) -> list[NDArray[Any]]:
    """The plan's sample at its batch; to a peer as the source takes it."""
    facts, sample = plan.manifest, plan.sample_inputs
    if name != PLAN and engine.inputs:
        sample = for_source(sample, facts.task.preprocess, facts.source.preprocess, engine.inputs[0].dtype)
    return [np.ascontiguousarray(np.repeat(array, facts.choice.batch, axis=0)) for array in sample]


def _call(engine: Engine, arrays: list[NDArray[np.generic]], requests: int) -> Callable[[], object]:
    return (lambda: engine.run(arrays)) if requests == 1 else lambda: run_many(engine, [arrays] * requests)


def _row(
    name: str, engine: Engine, samples: dict[str, NDArray[np.float64]], facts: Manifest, apart: float = 0.0
) -> BenchRow:
    timing = summarize(samples[name])
    if name == PLAN:
        return BenchRow(name, engine.precision, timing)
    coarse, other = engine.precision in _COARSE, apart > _APART
    alike = facts.label == "lossy" or not (coarse or other)
    notes = [] if facts.source.preprocess is None else [_PREPARED]
    if not alike:
        notes.append(
            f"{engine.precision} changes answers, which this plan may not"
            if coarse
            else f"its answers differ by {apart:.1e} of the largest value"
        )
    over = speedup(of=samples[PLAN], over=samples[name])
    return BenchRow(name, engine.precision, timing, over, "; ".join(notes), alike)
