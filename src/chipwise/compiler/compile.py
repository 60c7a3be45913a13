"""From a network to a plan: candidates are built, guarded, timed side by side, and the best one is written down.

The whole search is `compile_plan`, step after named step: contenders that differ in runtime and number format race;
what lies one step from the best of them (another graph, other threads, streams, batches) joins; the last few are timed
at length. A usable plan is on disk as soon as the first engine runs, and a better one replaces it when a race ends; a
search that was killed finds its quantized graphs and accuracies again.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from chipwise.clock.energy import energy_counter
from chipwise.codec.files import check_writable
from chipwise.codec.hashes import sha256_bytes
from chipwise.codec.plan_file import read_plan, write_plan
from chipwise.compiler.candidates import first_choices, neighbours, usable_runtimes
from chipwise.compiler.choose import Outcome, Samples, baseline_record, decide, measure, measure_energy
from chipwise.compiler.graphs import variants
from chipwise.compiler.mixing import kept_layers, mixes
from chipwise.compiler.partition import partitions
from chipwise.compiler.parts import build_default, needs
from chipwise.compiler.predict import Predictions, predictions
from chipwise.compiler.race import Raced, affordable, race, settle, timeable
from chipwise.compiler.search import STAGE, Search
from chipwise.compiler.sources import keep_source
from chipwise.compiler.subject import Subject, make_subject
from chipwise.compiler.trials import Trial, build, quantizers_for
from chipwise.compiler.workspace import Workspace
from chipwise.core.custom_layers import registered
from chipwise.core.errors import ChipwiseError, PlanError, RuntimeUnavailableError
from chipwise.core.events import Part, Progress, silent
from chipwise.core.layer import Layer, totals
from chipwise.core.plan import PLAN_SCHEMA, Candidate, Manifest, Plan, SourceFacts
from chipwise.devices.detect import versions

if TYPE_CHECKING:
    from pathlib import Path

    from chipwise.clock.energy import EnergyCounter
    from chipwise.compiler.options import CompileOptions
    from chipwise.core.device import Machine
    from chipwise.core.network import Network
    from chipwise.datasets.dataset import Dataset
    from chipwise.runtimes.engine import Engine

# Of what is left of the budget: building the first contenders, their race, building what joins, the race with it.
_BUILD_SHARE, _RACE_SHARE, _JOIN_SHARE, _SECOND_SHARE = 0.5, 0.3, 0.4, 0.4
_VARIANT_SHARE = 0.15  # to find out which variants there are
_MIX_SHARE = 0.3  # to look for layers that stay in float
_CUT_SHARE = 0.1  # to time the kernels of parts
_LEADERS = 2  # whose neighbours join, and those of the fastest of each other runtime that is left
_WIDTH_STEPS = (1, 8)
_PREPARED = ", which was given its pictures as floats, prepared beforehand"


def compile_plan(
    network: Network,
    source: bytes,
    layers: tuple[Layer, ...],
    options: CompileOptions,
    machine: Machine,
    *,
    data: Dataset | None = None,
    output: Path | None = None,
    progress: Progress = silent,
) -> Plan:
    """Find the best plan for a network on this machine, and write it.

    Args:
        network: with its graph.
        source: the same graph serialized.
        layers: rows for one item.
        options: goal and limits.
        machine: this machine.
        data: labelled samples for calibration (training split) and guard (validation split).
        output: the plan file; None returns the plan without writing it.
        progress: told what is being tried.

    Raises:
        StorageError: `output` cannot be written (found out first).
        DataError: the data does not fit the network.
        RuntimeUnavailableError: no runtime here can run the network.
    """
    started = time.monotonic()
    if output is not None:
        check_writable(output)
    names = usable_runtimes(options, machine)
    counter = energy_counter() if options.goal == "energy" else None
    progress.update(STAGE, 0.02, "asking the oracle")
    subject = make_subject(network, source, layers, data, seed=options.seed, machine=machine, uint8=options.uint8)
    workspace = Workspace(_key(subject, options, machine))
    search = Search(subject, options, machine, workspace, output, progress, started + options.budget_s)
    expected = predictions(layers, machine)
    trials = _first(search, names, expected)
    outcome = _searched(search, trials, counter) if trials else _as_it_is(search)
    plan = _assemble(search, outcome, expected)
    if output is not None:
        write_plan(output, plan)
    keep_source(source)
    if workspace.reused:
        progress.note(f"{workspace.reused} results of an earlier search of the same network were used again")
    progress.update(STAGE, 1.0, plan.manifest.why)
    return plan


def _searched(search: Search, trials: list[Trial], counter: EnergyCounter | None) -> Outcome:
    """Race the first contenders, and with the leaders what lies one step from them; time the last few at length."""
    baseline = build_default("onnxruntime", search.subject.source)
    raced = _race(search, trials, baseline, _RACE_SHARE, (0.45, 0.6))
    trials = _with_neighbours(search, raced) if time.monotonic() < search.deadline_s else raced.kept
    if len(trials) > len(raced.kept):
        raced = _race(search, trials, baseline, _SECOND_SHARE, (0.7, 0.8))
    return _final(search, raced, baseline, counter)


def _as_it_is(search: Search) -> Outcome:
    """The source graph as the user had it, where nothing else that runs answers closely enough.

    A graph that magnifies rounding does so in the user's runtime, too; there is always a plan that is no worse.

    Raises:
        RuntimeUnavailableError: it does not run, or takes another input than was asked for.
    """
    subject = search.subject
    reasons = "; ".join(dict.fromkeys(record.reason for record in search.records))
    refusal = RuntimeUnavailableError(f"no runtime here can run {subject.network.name}: {reasons}")
    if subject.source_preprocess is not None:
        raise refusal
    try:
        build_default("onnxruntime", subject.source).run(subject.source_sample)
    except ChipwiseError as error:
        raise refusal from error
    source = baseline_record(None, len(subject.source), chosen=True)
    why = f"ONNX Runtime's default on the source graph, because nothing else was close enough to it: {reasons}"
    return Outcome(None, source, None, (source, *search.records), why)


def _first(search: Search, names: tuple[str, ...], expected: Predictions) -> list[Trial]:
    """Build the contenders of every runtime and number format; the first usable one is written at once.

    There is none where no runtime can run the network, or none closely enough.
    """
    goal, dynamic = search.options.goal, search.subject.dynamic_batch
    kept = kept_layers(search.subject.graphs.model(), search.options.keep)
    wanted = first_choices(names, search.machine, goal, _quantizers(search), dynamic_batch=dynamic, kept=kept)
    wanted.sort(key=lambda choice: (bool(choice.quantizer), expected.rank(choice)))
    trials: list[Trial] = []
    while wanted and not trials:
        search.admit([wanted.pop(0)], trials, search.left_s(), (0.05, 0.08))
    if not trials:
        return trials
    candidate = replace(trials[0].candidate, status="chosen", reason="the first that ran; the search did not finish")
    source = baseline_record(None, len(search.subject.source), chosen=False)
    _keep(search, Outcome(trials[0], source, None, (candidate,), candidate.reason))
    search.pace(trials[0])
    search.admit(wanted, trials, search.left_s() * _BUILD_SHARE, (0.08, 0.45))
    return trials


def _quantizers(search: Search) -> tuple[str, ...]:
    """Those that may be tried: none where no accuracy may be lost."""
    return quantizers_for(search.subject, search.machine) if search.options.max_drop > 0 else ()


def _race(search: Search, trials: list[Trial], baseline: Engine, share: float, bar: tuple[float, float]) -> Raced:
    """Race what is there, and put the best so far on disk."""
    part = Part(search.progress, STAGE, *bar)
    raced = race(trials, baseline, search.subject, search.options.goal, budget_s=search.left_s() * share, progress=part)
    search.records += raced.dropped
    _keep(search, _decided(search, raced.kept, raced.samples))
    return raced


def _decided(search: Search, trials: list[Trial], samples: Samples, energy: Samples | None = None) -> Outcome:
    subject = search.subject
    return decide(
        trials,
        samples,
        search.records,
        search.options.goal,
        len(subject.source),
        energy=energy,
        may_ship_source=subject.source_preprocess is None,
    )


def _with_neighbours(search: Search, raced: Raced) -> list[Trial]:
    """The best so far, what lies one step from the leaders, and mixes of int8 and float where int8 lost too much."""
    kept, trials = raced.kept, list(raced.kept)
    in_flight = timeable(raced, search.left_s() * (1 - _JOIN_SHARE) * _SECOND_SHARE)
    rejected = [each.choice for each in search.records if each.status == "rejected" and each.accuracy is not None]
    lossy = [choice for choice in rejected if choice.quantizer]
    if lossy:
        search.progress.update(STAGE, 0.6, "looking for layers to keep in float")
        mixed = mixes(search, lossy, search.left_s() * _MIX_SHARE)
        search.admit(mixed, trials, search.left_s() * _JOIN_SHARE, (0.62, 0.65))
    known = {record.choice for record in search.records} | {trial.candidate.choice for trial in kept}
    graphs = search.subject.graphs
    among = variants(_WIDTH_STEPS, lossy=search.subject.guard is not None and search.options.max_drop > 0)
    until = time.monotonic() + search.left_s() * _VARIANT_SHARE
    wanted = [
        each
        for leader in _leaders(kept)
        for each in neighbours(
            leader.candidate.choice,
            search.machine,
            search.options.goal,
            graphs=graphs.differing(among, leader.candidate.choice.graph, until),
            quantizers=_quantizers(search),
            dynamic_batch=search.subject.dynamic_batch,
            in_flight=in_flight,
        )
        if each not in known
    ]
    if kept:
        wanted += partitions(search, kept[0], search.left_s() * _CUT_SHARE)
    search.admit(dict.fromkeys(wanted), trials, search.left_s() * _JOIN_SHARE, (0.65, 0.7))
    return trials


def _leaders(kept: list[Trial]) -> list[Trial]:
    first_of = {trial.candidate.choice.runtime: trial for trial in reversed(kept)}
    return list(dict.fromkeys((*kept[:_LEADERS], *sorted(first_of.values(), key=kept.index))))


def _final(search: Search, raced: Raced, baseline: Engine, counter: EnergyCounter | None) -> Outcome:
    """Time the last few at length, count their joules where these decide, and choose."""
    subject, goal, energy = search.subject, search.options.goal, None
    kept, dropped = affordable(raced, goal, search.left_s())
    search.records += dropped
    timing, counting = (
        Part(search.progress, STAGE, 0.8, 0.9 if counter else 0.99),
        Part(search.progress, STAGE, 0.9, 0.99),
    )
    if counter is not None:
        samples = measure(kept, baseline, subject, budget_s=search.left_s() * 0.5, progress=timing)
        energy = measure_energy(kept, baseline, subject, counter, budget_s=search.left_s(), progress=counting)
    else:
        settled = settle(kept, baseline, subject, goal, budget_s=search.left_s(), progress=timing)
        search.records += settled.dropped
        kept, samples = settled.kept, settled.samples
    return _decided(search, kept, samples, energy)


def _keep(search: Search, outcome: Outcome) -> None:
    """Put the best so far on disk, unless a finished plan of the same network lies there already."""
    if search.output is not None and not _finished(search.output, _facts(search.subject)):
        write_plan(search.output, _assemble(search, outcome))


def _finished(path: Path, source: SourceFacts) -> bool:
    if not path.exists():
        return False
    try:
        facts = read_plan(path).manifest
    except PlanError:
        return False
    same = (facts.source.digest, facts.source.preprocess) == (source.digest, source.preprocess)
    return facts.complete and same


def _assemble(search: Search, outcome: Outcome, expected: Predictions | None = None) -> Plan:
    """Write down what was decided; without a winner the source graph ships as it is.

    A plan is complete when it comes with predictions.
    """
    subject = search.subject
    if outcome.best is not None:
        choice, model = outcome.best.candidate.choice, outcome.best.model
        label = outcome.best.candidate.label or "lossy"
        engine = outcome.best.engine
    else:
        choice, model, label = outcome.baseline.choice, subject.source, outcome.baseline.label or "close"
        engine = build(choice, model)
    manifest = Manifest(
        schema=PLAN_SCHEMA,
        source=_facts(subject),
        task=subject.network.task,
        inputs=engine.inputs,
        outputs=engine.outputs,
        goal=search.options.goal,
        max_drop=search.options.max_drop if subject.guard is not None else None,
        seed=search.options.seed,
        choice=choice,
        why=outcome.why + (_PREPARED if subject.source_preprocess is not None and outcome.speedup else ""),
        speedup=outcome.speedup,
        label=label,
        candidates=_predicted(outcome.candidates, expected),
        passes=subject.graphs.passes(choice.graph) if model != subject.source else (),
        machine=search.machine,
        versions=versions(),
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        needs=needs(choice, model),
        complete=expected is not None,
        limit_s=search.options.limit_s,
        noise=outcome.noise,
        unmet=_unmet(search.options.limit_s, outcome),
    )
    return Plan(manifest, model, subject.sample, tuple(engine.run(subject.sample)))


def _unmet(limit_s: float | None, outcome: Outcome) -> str:
    """Why the latency that was asked for is missed: by the median of what was chosen."""
    timing = next((each.timing for each in outcome.candidates if each.status == "chosen"), None)
    if limit_s is None or timing is None or timing.median_s <= limit_s:
        return ""
    return f"{limit_s * 1e3:.3g} ms were asked for, and the best that was found takes {timing.median_s * 1e3:.3g} ms"


def _facts(subject: Subject) -> SourceFacts:
    network = subject.network
    return SourceFacts(
        name=network.name,
        origin=network.origin,
        digest=sha256_bytes(subject.source),
        parameters=totals(subject.layers).parameters,
        flops=subject.flops,
        size_bytes=len(subject.source),
        preprocess=subject.source_preprocess,
    )


def _predicted(candidates: tuple[Candidate, ...], expected: Predictions | None) -> tuple[Candidate, ...]:
    """Add what each was expected to take, seconds per item."""
    if expected is None:
        return candidates
    return tuple(replace(each, predicted_s=expected.of(each.choice)) for each in candidates)


def _key(subject: Subject, options: CompileOptions, machine: Machine) -> str:
    """Everything that quantized graphs and accuracies depend on."""
    guard = subject.guard.digest if subject.guard is not None else "none"
    prepared = f"{guard}|{subject.network.task.preprocess}|{options.seed}|{options.max_drop}"
    if registered():  # another function under the same name gives other outputs
        prepared += sha256_bytes(b"".join(array.tobytes() for array in subject.expected))
    libraries = ",".join(f"{name}={version}" for name, version in sorted(versions().items()))
    return f"{sha256_bytes(subject.graphs.model())}|{prepared}|{machine.fingerprint}|{libraries}"
