"""The whole line in one call, and the page that proves it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chipwise.api.doctoring import doctor
from chipwise.api.given import data_from, network_from, plan_from, trainable_from, with_graph
from chipwise.api.notebook import drawn
from chipwise.api.outlook import outlook_of
from chipwise.api.verbs import bench, check, compile, inspect, train
from chipwise.core.errors import InputError, PlanError
from chipwise.core.events import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chipwise.api.given import DataLike, NetworkLike
    from chipwise.core.plan import Plan
    from chipwise.core.report import Fit, Page, Report


@drawn
def fit(
    network: NetworkLike,
    data: DataLike = "digits",
    *,
    folder: str | Path,
    goal: str = "latency",
    max_drop: float = 0.01,
    budget_s: float = 60.0,
    vs: Sequence[str] = ("all",),
    input_shape: tuple[int, ...] | None = None,
    progress: Progress = silent,
    **settings: Any,
) -> Fit:
    """Do all of it: train, compile, check, bench, report. What an interrupted call finished is not done again.

    Args:
        network: a zoo name, "package.module:callable", a trained folder, or a graph without a torch
            source (then nothing is trained).
        data: a data set or its name.
        folder: where everything goes.
        goal: as for `compile`.
        max_drop: as for `compile`.
        budget_s: as for `compile`.
        vs: peers to compare with, as for `bench`.
        input_shape: for a factory that does not say its own, without the batch dimension.
        progress: told about every stage.
        settings: fields of `Settings`, as for `train`.

    Raises:
        what `train`, `compile`, `check` and `bench` raise.
    """
    from chipwise.codec.files import atomic_write
    from chipwise.codec.records import encode
    from chipwise.core.report import Fit, Report
    from chipwise.tasks.pictures import png_bytes

    started, home = time.monotonic(), Path(folder)
    dataset = data_from(data)
    trained = None
    if trainable_from(network, input_shape).source is not None:
        trained = train(network, dataset, folder=home / "train", input_shape=input_shape, progress=progress, **settings)
    subject = network if trained is None else home / "train"
    plan_path = home / f"{network_from(subject).name}.plan"
    plan = _finished_plan(plan_path, subject, goal, max_drop) or compile(
        subject, output=plan_path, data=dataset, goal=goal, max_drop=max_drop, budget_s=budget_s, progress=progress
    )
    source = with_graph(network_from(subject))  # its copy in the cache may be gone
    checked = check(plan_path, dataset, source=source)
    benched = bench(plan_path, vs=vs, source=source, progress=progress)
    test = dataset.split().test
    record = Report(
        title=f"{plan.manifest.source.name} on {dataset.name}",
        doctor=doctor(),
        inspection=inspect(subject),
        training=trained,
        plan=plan.manifest,
        check=checked,
        bench=benched,
        pictures=tuple(png_bytes(test.arrays[each.index]) for each in checked.mistakes) if test.pictures else (),
        outlook=outlook_of(plan_path, plan.manifest.choice.batch),
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    atomic_write(home / "report.json", encode(record))
    page = report(home)
    return Fit(
        training=trained,
        check=checked,
        bench=benched,
        plan=str(plan_path),
        plan_bytes=plan_path.stat().st_size,
        source_bytes=plan.manifest.source.size_bytes,
        report=page.page,
        seconds=time.monotonic() - started,
    )


def report(target: str | Path, *, output: str | Path | None = None, data: DataLike | None = None) -> Page:
    """Write one self-contained HTML page about a `fit` folder or a plan.

    Args:
        target: a folder that `fit` made, or a plan file.
        output: the page to write; by default beside the target.
        data: for a plan: labelled samples, to check it for the page.

    Raises:
        InputError: `target` is neither. StorageError: the page cannot be written.
    """
    from chipwise.codec.files import atomic_write
    from chipwise.core.report import Page
    from chipwise.views.report import report_html

    path = Path(target)
    record = _stored_report(path) if path.is_dir() else _plan_report(path, data)
    page = Path(output) if output is not None else path / "report.html" if path.is_dir() else path.with_suffix(".html")
    html = report_html(record).encode()
    atomic_write(page, html)
    return Page(str(page), len(html))


def _finished_plan(path: Path, subject: NetworkLike, goal: str, max_drop: float) -> Plan | None:
    """Return the plan of an earlier call when it is complete and was made from the same network for the same goal."""
    from chipwise.codec.hashes import sha256_bytes
    from chipwise.compiler.options import parse_goal
    from chipwise.networks.onnx_file import serialize

    if not path.exists():
        return None
    try:
        plan, _ = plan_from(path)
    except PlanError:
        return None
    facts = plan.manifest
    same = facts.complete and (facts.goal, facts.limit_s) == parse_goal(goal) and facts.max_drop == max_drop
    return plan if same and facts.source.digest == sha256_bytes(serialize(with_graph(network_from(subject)))) else None


def _stored_report(folder: Path) -> Report:
    from chipwise.codec.records import decode
    from chipwise.core.report import Report

    path = folder / "report.json"
    if not path.is_file():
        raise InputError(f"{folder} holds no report.json", hint="chipwise fit NET --data D -o DIR makes one")
    return decode(path.read_bytes(), Report, str(path))


def _plan_report(path: Path, data: DataLike | None) -> Report:
    from chipwise.core.report import Report

    plan, name = plan_from(path)
    return Report(
        title=f"{plan.manifest.source.name}: {name}",
        doctor=doctor(),
        plan=plan.manifest,
        check=None if data is None else check(path, data),
        outlook=outlook_of(path, plan.manifest.choice.batch),
        created=plan.manifest.created,
    )
