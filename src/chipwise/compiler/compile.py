"""From a network to a plan: candidates are built, guarded, timed side by side, and the best one is written down.

The whole search is `compile_plan`, step after named step. A usable plan is on disk as soon as the first engine runs,
and a better one replaces it when the search ends; a search that was killed finds its quantized graphs and accuracies
again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from chipwise import runtimes
from chipwise.clock.peaks import measure_peaks
from chipwise.codec.files import check_writable
from chipwise.codec.hashes import sha256_bytes
from chipwise.codec.plan_file import read_plan, write_plan
from chipwise.compiler.candidates import choices, usable_runtimes
from chipwise.compiler.choose import Outcome, baseline_record, decide, measure, screen
from chipwise.compiler.sources import keep_source
from chipwise.compiler.subject import Subject, make_subject
from chipwise.compiler.trials import Kind, Trial, build, examine, installed_quantizers, make_trial
from chipwise.compiler.workspace import Workspace
from chipwise.core.errors import PlanError, RuntimeUnavailableError
from chipwise.core.estimate import Workload
from chipwise.core.events import Part, Progress, silent
from chipwise.core.layer import Layer, totals
from chipwise.core.plan import PLAN_SCHEMA, Candidate, Manifest, Plan, SourceFacts
from chipwise.cost.roofline import floor
from chipwise.devices.detect import versions

if TYPE_CHECKING:
    from pathlib import Path

    from chipwise.compiler.options import CompileOptions
    from chipwise.core.device import Machine
    from chipwise.core.network import Network
    from chipwise.datasets.dataset import Dataset

_STAGE = "compile"
_BUILD_SHARE, _SCREEN_SHARE = 0.6, 0.3  # of the budget, and of what building left
_MEMORY_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Search:
    """One search: what is compiled, under which limits, where.

    Attributes:
        deadline_s: monotonic time at which the budget ends.
        output: file that holds the best plan so far; None keeps it in memory only.
    """

    subject: Subject
    options: CompileOptions
    machine: Machine
    workspace: Workspace
    output: Path | None
    progress: Progress
    deadline_s: float

    def left_s(self) -> float:
        """Seconds left in the budget, at least a tenth of a second so that something is always measured."""
        return max(self.deadline_s - time.monotonic(), 0.1)


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
    progress.update(_STAGE, 0.02, "asking the oracle")
    subject = make_subject(network, source, layers, data, options.seed)
    workspace = Workspace(_key(subject, options, machine))
    search = Search(subject, options, machine, workspace, output, progress, started + options.budget_s)
    trials, records = _admit(search, names)
    baseline = runtimes.load("onnxruntime").build_default(source)
    screening = Part(progress, _STAGE, 0.65, 0.8)
    kept, dropped, samples = screen(
        trials, baseline, subject, options.goal, budget_s=search.left_s() * _SCREEN_SHARE, progress=screening
    )
    rest = [*dropped, *records]
    _keep(search, decide(kept, samples, rest, options.goal, len(source)))
    timing = Part(progress, _STAGE, 0.8, 0.99)
    samples = measure(kept, baseline, subject, budget_s=search.left_s(), progress=timing)
    plan = _assemble(search, decide(kept, samples, rest, options.goal, len(source)))
    if output is not None:
        write_plan(output, plan)
    keep_source(source)
    if workspace.reused:
        progress.note(f"{workspace.reused} results of an earlier search of the same network were used again")
    progress.update(_STAGE, 1.0, plan.manifest.why)
    return plan


def _admit(search: Search, names: tuple[str, ...]) -> tuple[list[Trial], list[Candidate]]:
    """Examine each kind of candidate once and build those that may ship; the first usable one is written at once."""
    quantizers = installed_quantizers(search.subject) if search.options.max_drop > 0 else ()
    wanted = choices(names, search.machine, search.options.goal, quantizers, search.subject.dynamic_batch)
    build_until = time.monotonic() + search.left_s() * _BUILD_SHARE
    kinds: dict[tuple[str, str, str], Kind] = {}
    trials: list[Trial] = []
    records: list[Candidate] = []
    for number, choice in enumerate(wanted):
        search.progress.update(_STAGE, 0.05 + 0.6 * number / len(wanted), choice.title)
        key = (choice.runtime, choice.precision, choice.quantizer)
        short = _short_of(search, trials, build_until)
        if short:
            records.append(Candidate(choice, "skipped", short))
            continue
        if key not in kinds:
            kinds[key] = examine(choice, search.subject, search.options.max_drop, search.machine, search.workspace)
        elif kinds[key].refusal:
            continue  # one record says it for every number of threads
        made = make_trial(choice, kinds[key])
        if isinstance(made, Candidate):
            records.append(replace(made, choice=replace(choice, threads=0, batch=1)) if kinds[key].refusal else made)
            continue
        trials.append(made)
        if len(trials) == 1:
            candidate = replace(made.candidate, status="chosen", reason="the first that ran; the search did not finish")
            source = baseline_record(None, len(search.subject.source), chosen=False)
            _keep(search, Outcome(made, source, None, (candidate,), candidate.reason))
    if not trials:
        reasons = "; ".join(dict.fromkeys(record.reason for record in records))
        raise RuntimeUnavailableError(f"no runtime here can run {search.subject.network.name}: {reasons}")
    return trials, records


def _short_of(search: Search, trials: list[Trial], build_until: float) -> str:
    """Why no further candidate is built: time, or memory for engines, which hold about three times their graph."""
    if trials and time.monotonic() > build_until:
        return "the time budget was used up; give more with --budget"
    held = 3 * sum(len(trial.model) for trial in trials)
    if search.machine.memory_bytes is not None and held > search.machine.memory_bytes * _MEMORY_SHARE:
        return "the engines to compare would take more than half of the memory"
    return ""


def _keep(search: Search, outcome: Outcome) -> None:
    """Put the best so far on disk, unless a finished plan of the same network lies there already."""
    if search.output is not None and not _finished(search.output, sha256_bytes(search.subject.source)):
        write_plan(search.output, _assemble(search, outcome, complete=False))


def _finished(path: Path, digest: str) -> bool:
    if not path.exists():
        return False
    try:
        facts = read_plan(path).manifest
    except PlanError:
        return False
    return facts.complete and facts.source.digest == digest


def _assemble(search: Search, outcome: Outcome, *, complete: bool = True) -> Plan:
    """Write down what was decided; without a winner the source graph ships as it is."""
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
        why=outcome.why,
        speedup=outcome.speedup,
        label=label,
        candidates=_predicted(search, outcome.candidates) if complete else outcome.candidates,
        passes=subject.passes if model != subject.source else (),
        machine=search.machine,
        versions=versions(),
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        needs=runtimes.load(choice.runtime).NEEDS,
        complete=complete,
    )
    return Plan(manifest, model, subject.sample, tuple(engine.run(subject.sample)))


def _facts(subject: Subject) -> SourceFacts:
    network = subject.network
    return SourceFacts(
        name=network.name,
        origin=network.origin,
        digest=sha256_bytes(subject.source),
        parameters=totals(subject.layers).parameters,
        flops=subject.flops,
        size_bytes=len(subject.source),
    )


def _predicted(search: Search, candidates: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    """Add the roofline floor, seconds per item, where the machine's peak for the format is known."""
    device = measure_peaks(search.machine)
    floors = {
        precision: floor(search.subject.layers, device, Workload(precision=precision))[1]
        for precision in device.peak_flops
    }
    return tuple(replace(each, predicted_s=floors.get(each.choice.precision)) for each in candidates)


def _key(subject: Subject, options: CompileOptions, machine: Machine) -> str:
    """Everything that quantized graphs and accuracies depend on."""
    guard = subject.guard.digest if subject.guard is not None else "none"
    prepared = f"{guard}|{subject.network.task.preprocess}|{options.seed}|{options.max_drop}"
    libraries = ",".join(f"{name}={version}" for name, version in sorted(versions().items()))
    return f"{sha256_bytes(subject.optimized)}|{prepared}|{machine.fingerprint}|{libraries}"
