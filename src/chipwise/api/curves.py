"""Curves that teach: error on what a network learned and on what it did not, by data, by capacity, by epoch.

chipwise.learning_curve("lenet-300-100", "digits", kind="capacity", folder="runs/widths", variants=("plain", "l2"))
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chipwise.api.given import data_from, need
from chipwise.api.notebook import drawn
from chipwise.api.pictures import check_picture
from chipwise.core.errors import InputError, unknown_name
from chipwise.core.events import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chipwise.api.given import DataLike, NetworkLike
    from chipwise.core.curve import Curve, CurveKind, CurveLine
    from chipwise.core.network import Network
    from chipwise.datasets.dataset import Dataset
    from chipwise.training.curves.points import Measured
    from chipwise.training.curves.runs import CurveRun
    from chipwise.training.settings import Settings

KINDS = ("data", "capacity", "epochs")
_POINTS: dict[str, tuple[float, ...]] = {
    "data": (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0),
    "capacity": (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0),
    "epochs": (1.0,),
}
_MOST_SEEDS = 100


@dataclass(frozen=True, slots=True)
class _Plan:
    """What all runs of a curve share: the network's name, how it is built, the data, and where the journal is."""

    kind: CurveKind
    given: NetworkLike
    built: dict[str, Any]
    dataset: Dataset
    train: Dataset
    validation: Dataset
    folder: Path
    seeds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Job:
    """One run: at which point of which line, with which seed."""

    variant: str
    at: float
    settings: Settings
    train: Dataset
    loaded: Network


@drawn
def learning_curve(
    network: NetworkLike,
    data: DataLike = "digits",
    *,
    kind: CurveKind,
    folder: str | Path,
    variants: Sequence[str] = ("plain",),
    seeds: int = 1,
    points: Sequence[float] | None = None,
    fresh: bool = False,
    pictures: str | Path | None = None,
    weights: str | Path | None = None,
    input_shape: tuple[int, ...] | None = None,
    preprocess: str | None = None,
    skip_bad: bool = False,
    progress: Progress = silent,
    **settings: Any,
) -> Curve:
    """Train a network again and again, and show where it underfits and overfits, and what to do.

    Errors are those of the weights at the end of a run, on the samples it learned and on the validation split; the test
    split is not looked at. Runs that ended are kept in `curve.jsonl` of the folder: the same call goes on.

    Args:
        network: as `train` takes it; with a torch source, and for "capacity" a name of the zoo with a `width`.
        data: likewise.
        kind: "data" (parts of the training split, each within the next; as many samples are shown of each), "capacity"
            (widths), or "epochs" (one run, after each).
        folder: where the journal is.
        variants: ways to train: "plain", "l1", "l2", "dropout", "augment", "usual".
        seeds: runs at each point, from the seed in `settings` on.
        points: shares of the training split, or widths, instead of the usual ones.
        fresh: forget the journal.
        pictures: an .svg or .html file for the curves.
        weights: as `train` takes it, and so are input_shape, preprocess and skip_bad.
        input_shape: likewise.
        preprocess: likewise.
        skip_bad: likewise.
        progress: told about runs; the stage is "curve".
        settings: as of `train`; l1, weight_decay, dropout and augment are the strengths of their variants.

    Raises:
        InputError: a kind, variant, point or setting that there is not. NetworkError, DataError: as `train`.
        GoalMissedError: the loss of a run diverges.
    """
    if kind not in KINDS:
        raise unknown_name("kind of curve", kind, KINDS)
    path = None if pictures is None else check_picture(Path(pictures), "curves")
    if not 1 <= seeds <= _MOST_SEEDS:
        raise InputError(f"seeds is {seeds}", hint=f"from 1 to {_MOST_SEEDS}")
    need("torch", "safetensors", extra="torch")
    from chipwise.api.settings import known_settings
    from chipwise.codec.files import check_writable
    from chipwise.training.curves.runs import JOURNAL
    from chipwise.training.curves.variants import check_variants
    from chipwise.training.settings import OF_PLACE, OF_READING

    check_variants(variants, known_settings(settings))
    for name in (OF_READING.keys() | {"swapped", "state_on_disk", "weights_on_disk"}) & settings.keys():
        raise InputError(f"{name}={settings[name]}: curves have all in memory", hint="leave it out")
    for name in OF_PLACE.keys() & settings.keys():
        raise InputError(f"{name}={settings[name]}: curves are trained on the processor", hint="leave it out")
    dataset = data_from(data, progress, skip_bad=skip_bad)
    splits = dataset.split()
    home = Path(folder)
    check_writable(home / JOURNAL)
    if fresh:
        (home / JOURNAL).unlink(missing_ok=True)
    first = int(settings.get("seed", 0))
    built = {"weights": weights, "input_shape": input_shape, "preprocess": preprocess}
    plan = _Plan(
        kind, network, built, dataset, splits.train, splits.validation, home, tuple(range(first, first + seeds))
    )
    jobs = _jobs(plan, variants, _points(kind, points, plan), settings)
    record = _curve(plan, jobs, _runs(plan, jobs, progress))
    return record if path is None else _with_picture(record, path)


def _points(kind: CurveKind, given: Sequence[float] | None, plan: _Plan) -> tuple[float, ...]:
    """Where the curve is measured.

    Raises:
        InputError: a point that cannot be, or points where there are none.
    """
    if given is None:
        fewest = plan.dataset.classes / max(len(plan.train), 1)
        return tuple(at for at in _POINTS[kind] if kind != "data" or at >= fewest)
    if kind == "epochs":
        raise InputError("a curve over epochs has a point at each", hint="--epochs says how many; leave points out")
    most = 1.0 if kind == "data" else 64.0
    wrong = [at for at in given if not 0 < at <= most]
    if wrong or not given or len(set(given)) < len(given):
        what = "shares of the training split" if kind == "data" else "widths"
        raise InputError(
            f"points {','.join(f'{at:g}' for at in given)}", hint=f"{what}, above 0 to {most:g}, each once"
        )
    return tuple(sorted(given))


def _jobs(plan: _Plan, variants: Sequence[str], points: Sequence[float], given: dict[str, Any]) -> list[_Job]:
    """All runs, the quickest of each line first."""
    from chipwise.api.settings import usual_settings
    from chipwise.api.transfer import network_to_train
    from chipwise.datasets.nested import nested
    from chipwise.devices.detect import detect
    from chipwise.training.curves.variants import variant_settings
    from chipwise.training.settings import resolve

    cores, jobs = detect().cores, []
    base = network_to_train(plan.given, **plan.built)
    loaded = dict.fromkeys(points, base)
    if plan.kind == "capacity":
        loaded = {at: network_to_train(_wider(base, at), **plan.built) for at in points}
    droppable = _droppable(base)
    usual = usual_settings(base, {})
    for variant in variants:
        chosen = variant_settings(variant, usual, given, droppable=droppable)
        chosen = replace(chosen, threads=chosen.threads or cores)
        whole = resolve(chosen, samples=len(plan.train), pictures=plan.train.pictures)
        for seed in plan.seeds:
            shares = points if plan.kind == "data" else (1.0,) * len(points)
            for at, rows in zip(points, nested(plan.train, shares, seed), strict=True):
                train = plan.train.take(rows)
                epochs = max(1, round((whole.epochs or 1) * len(plan.train) / len(train)))
                jobs.append(_Job(variant, at, replace(whole, epochs=epochs, seed=seed), train, loaded[at]))
    return jobs


def _wider(network: Network, width: float) -> str:
    """The name of a network of the zoo at so many times its width.

    Raises:
        InputError: it has none.
    """
    from chipwise.networks.zoo import ZOO

    entry = ZOO.get(network.name)
    if entry is None or "width" not in entry.options or network.source is None:
        known = ", ".join(sorted(name for name, each in ZOO.items() if "width" in each.options))
        raise InputError(f"{network.name} has no width, and so no curve over capacity", hint=f"these have: {known}")
    arguments = {**network.source.arguments, "width": width * float(network.source.arguments.get("width", 1.0))}
    return f"{network.name}:" + ",".join(f"{key}={value:.12g}" for key, value in arguments.items())


def _droppable(network: Network) -> bool:
    """Whether the network has dropout layers.

    Raises:
        NetworkError: it has no torch source: a graph keeps no dropout, and its weights are its only beginning.
    """
    from chipwise.core.errors import NetworkError
    from chipwise.networks import torch_source
    from chipwise.training.dropout import has_dropout

    if network.source is None:
        raise NetworkError(
            f"{network.name} is a graph, which has one beginning only", hint="give a zoo name or module:callable"
        )
    return has_dropout(torch_source.build_module(replace(network.source, weights=None)))


def _runs(plan: _Plan, jobs: Sequence[_Job], progress: Progress) -> list[CurveRun]:
    """Do what is not in the journal."""
    from chipwise.api.transfer import begun
    from chipwise.training.curves.curve import learned
    from chipwise.training.curves.runs import JOURNAL, CurveRun, identity_of, keep, kept

    journal = plan.folder / JOURNAL
    known, every = kept(journal), plan.kind == "epochs"
    runs = []
    for place, job in enumerate(jobs):
        start = begun(job.loaded, plan.dataset, job.settings.seed, silent)
        identity = identity_of(start.network, job.train, plan.validation, job.settings, every=every)
        if identity not in known:

            def tell(share: float, place: int = place, job: _Job = job) -> None:
                told = f"run {place + 1} of {len(jobs)}: {job.variant}, {job.at:.3g}, seed {job.settings.seed}"
                progress.update("curve", (place + min(share, 0.999)) / len(jobs), told)

            rows = learned(
                start.module, start.network, job.train, plan.validation, job.settings, every=every, tell=tell
            )
            parameters = sum(value.numel() for value in start.module.parameters())
            known[identity] = CurveRun(identity, len(job.train), parameters, rows)
            keep(journal, known[identity])
        runs.append(known[identity])
    progress.update("curve", 1.0, f"{len(jobs)} runs")
    return runs


def _curve(plan: _Plan, jobs: Sequence[_Job], runs: Sequence[CurveRun]) -> Curve:
    """Put the lines together."""
    from chipwise.core.curve import Curve
    from chipwise.training.curves.curve import MOST_JUDGED
    from chipwise.training.settings import as_json

    lines: list[CurveLine] = []
    ends: list[Measured] = []
    for variant in dict.fromkeys(job.variant for job in jobs):
        own = [(job, run) for job, run in zip(jobs, runs, strict=True) if job.variant == variant]
        measured = _measured(plan.kind, own)
        ends.append(measured[-1])
        lines.append(_line(plan, own[0][0].settings, variant, measured, ends))
    settings = as_json(min((job.settings for job in jobs), key=lambda each: each.epochs or 0))
    name = str(plan.given) if isinstance(plan.given, (str, Path)) else jobs[0].loaded.name
    differing = {name for line in lines for name in line.settings}
    shared = {name: value for name, value in settings.items() if name not in differing | {"seed"}}
    return Curve(
        plan.kind, name, plan.dataset.name, str(plan.folder), plan.seeds, len(plan.validation),
        MOST_JUDGED, shared, tuple(lines),
    )  # fmt: skip


def _measured(kind: CurveKind, own: Sequence[tuple[_Job, CurveRun]]) -> list[Measured]:
    """The points of one line: every epoch of the runs, or the end of each."""
    from chipwise.training.curves.points import Measured

    if kind == "epochs":
        seeds = [run for _, run in own]
        rows = zip(*(run.rows for run in seeds), strict=True)
        return [Measured(float(each[0].epoch), seeds[0].samples, seeds[0].parameters, each) for each in rows]
    made = []
    for at in sorted({job.at for job, _ in own}):
        here = [run for job, run in own if job.at == at]
        made.append(Measured(at, here[0].samples, here[0].parameters, tuple(run.rows[-1] for run in here)))
    return made


def _line(
    plan: _Plan, settings: Settings, variant: str, measured: Sequence[Measured], ends: Sequence[Measured]
) -> CurveLine:
    from chipwise.core.curve import CurveLine
    from chipwise.training.curves.advice import advice
    from chipwise.training.curves.points import paired_rise, points_of
    from chipwise.training.curves.variants import regularisation

    count = len(plan.validation)
    points = points_of(plan.kind, measured, count)
    change = None if len(ends) == 1 else paired_rise(ends[-1].wrong(count), ends[0].wrong(count))
    return CurveLine(variant, regularisation(settings), points, advice(plan.kind, points), change)


def _with_picture(record: Curve, path: Path) -> Curve:
    from chipwise.codec.files import atomic_write

    if path.suffix.lower() == ".html":
        from chipwise.views.curve_page import curve_html

        text = curve_html(record)
    else:
        from chipwise.views.curve_charts import error_curves

        text = error_curves(record, ".svg")
    atomic_write(path, text.encode())
    return replace(record, pictures=str(path))
