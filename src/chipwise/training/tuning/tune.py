"""Find the fastest way to compute training steps on this machine, on the user's own network and data.

Stages, each of which keeps only what is faster beyond the noise: number format x layout x torch.compile, every pair
timed together; the form of the optimizer; threads; workers, where pictures stay in their files; the size of the batch.
What is kept is then compared with the plain fp32 loop, on the clock once more and by what both learn of as many
samples.

    found = tune(Stand(module, network, data.split()), Settings(), Limits(formats=("bf16",), cores=2), rows, machine)
    found.changes, found.speedup
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from chipwise.core.events import silent
from chipwise.core.tuning import PLAIN_LOOP, TuneRow
from chipwise.training.compiled import many_compiled, no_compiling
from chipwise.training.feed import check_fits, feed_of
from chipwise.training.place import CPU, check_format, current
from chipwise.training.process import memory_kept, memory_returned, threads
from chipwise.training.settings import FEEDINGS, FORMS, resolve
from chipwise.training.stream import with_loading
from chipwise.training.tuning.batch import batches, learned
from chipwise.training.tuning.bound import confirmed
from chipwise.training.tuning.reading import keep_workers, worker_count
from chipwise.training.tuning.search import STAGE, Limits, Search, keep, note_rows, prepared, race, winner
from chipwise.training.tuning.steps import changes, step_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

    from chipwise.core.device import Machine
    from chipwise.core.events import Progress
    from chipwise.core.layer import Layer
    from chipwise.core.measure import PairedDrop, Ratio, Timing
    from chipwise.core.tuning import BatchRow, Changes, TrainingBound
    from chipwise.training.settings import Settings
    from chipwise.training.tuning.steps import Stand

PRODUCT = "precision, layout, compile"
_OPTIMIZER, _FEED, _THREADS = "optimizer", "feed", "threads"
# Shares of the time that are used up after each stage.
_UNTIL = {"eager": 0.20, "compiled": 0.45, _OPTIMIZER: 0.52, _FEED: 0.58, _THREADS: 0.58}
_NO_GPU = "training runs on the processor: tf32 and pinned memory are of graphics processors, and were not tried"


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a tuning found; attributes as of `core.tuning.Tuning`."""

    plain: Settings
    changes: Changes
    rows: tuple[TuneRow, ...]
    batches: tuple[BatchRow, ...]
    shown: int
    seeds: int
    guard: PairedDrop | None
    timings: tuple[Timing, Timing] | None
    speedup: Ratio | None
    bound: TrainingBound | None
    notes: tuple[str, ...]
    complete: bool
    seconds: float


def tune(  # noqa: PLR0917 (nouns in the order of the line)
    stand: Stand,
    settings: Settings,
    limits: Limits,
    rows_at: Callable[[int], Sequence[Layer]],
    machine: Machine,
    progress: Progress = silent,
) -> Tuned:
    """Search until the time is used up; an interruption ends it with the best so far.

    Args:
        stand: the network with its initial weights, and the data.
        settings: as they would be used; what is fixed of them stays.
        limits: what may be tried.
        rows_at: layer rows for so many items.
        machine: that it runs on.
        progress: told how far it is.

    Raises:
        DataError, NetworkError: data and network do not fit together.
        GoalMissedError, MachineError, RuntimeError: the plain loop itself does not run.
    """
    splits = stand.splits
    resolved = resolve(settings, samples=stand.samples, pictures=splits.train.pictures)
    if stand.files is not None:
        resolved = with_loading(resolved, stand.files)
    sized = replace(resolved, batch_size=min(resolved.batch_size, len(splits.train)))
    plain = _plain(sized, limits, stand.device)
    check_format(plain.precision, stand.device)
    check_fits(stand.module, stand.feed(channels_last=False), splits.train.classes)
    feed_of(splits.validation, stand.network, what="validation")  # what cannot be judged is said before all the work
    search = Search(stand, limits, progress, plain, plain, plain, notes=[_NO_GPU] if stand.device == CPU else [])
    memory = memory_returned if settings.return_memory else memory_kept
    complete = True
    with threads(plain.threads), memory(), many_compiled(), current(stand.device):
        try:
            _staged(search, rows_at, machine)
            progress.update(STAGE, 1.0, search.named(search.kept))
        except KeyboardInterrupt:
            complete = False
            search.notes.append("interrupted: this is the best so far, and it was not measured again")
    return Tuned(
        plain, changes(search.kept, plain), tuple(search.rows), tuple(search.batches), search.shown, search.seeds,
        search.guard, search.timings, search.speedup, search.bound, tuple(search.notes), complete, search.spent_s,
    )  # fmt: skip


def _staged(search: Search, rows_at: Callable[[int], Sequence[Layer]], machine: Machine) -> None:
    """All stages, in their order."""
    _product(search)
    search.calls = {way: call for way, call in search.calls.items() if way in (search.plain, search.kept)}
    _forms(search)
    _feeds(search)
    _thread_counts(search)
    workers = worker_count(search)
    batches(search)
    learned(search)
    confirmed(search, rows_at, machine)
    keep_workers(search, workers)


def _plain(settings: Settings, limits: Limits, device: torch.device) -> Settings:
    """The plain fp32 loop: everything that is tuned and was not asked for as most people write it."""
    written = dict(PLAIN_LOOP) | ({} if device == CPU else {"feeding": "copied"})
    usual: dict[str, Any] = {name: value for name, value in written.items() if name not in limits.fixed}
    return replace(settings, **usual)


def _product(search: Search) -> None:
    """Number formats and layouts, all pairs in one race; then the same compiled."""
    limits, plain = search.limits, search.plain
    formats = [plain.precision, *(each for each in limits.formats if "precision" not in limits.fixed)]
    layouts = [plain.channels_last]
    if "channels_last" not in limits.fixed and search.stand.pictured:
        layouts.append(not plain.channels_last)
    eager = [replace(plain, precision=one, channels_last=two) for one, two in product(dict.fromkeys(formats), layouts)]
    search.calls[plain] = step_of(search.stand.timed(plain))
    search.calls[plain]()  # where the plain loop does not run, its error is the answer
    ways = {search.named(way): way for way in prepared(search, eager, PRODUCT)}
    samples = race(search, {each: search.calls[way] for each, way in ways.items()}, _UNTIL["eager"], "formats, layouts")
    note_rows(search, PRODUCT, samples, ways, search.named(plain))
    best = winner(samples, ways, search.named(plain))
    keep(search, PRODUCT, best)
    alike = {each: way for each, way in ways.items() if way.precision == plain.precision}
    search.fallback = winner(samples, alike, search.named(plain))
    _compiled(search, sorted(ways.values(), key=lambda way: float(np.median(samples[search.named(way)]))), best)


def _compiled(search: Search, order: Sequence[Settings], best: Settings) -> None:
    """The same ways compiled, the fastest first, as far as the time goes; kept where that pays in the end."""
    plain, until = search.plain, _UNTIL["compiled"]
    why = _no_compiling(search)
    if why:
        search.rows.append(TuneRow(PRODUCT, {"compiled": True}, reason=f"not tried: {why}"))
        return
    ran: list[Settings] = []
    for way in (replace(each, compiled=True) for each in order):
        if search.compile_s > search.left_s(until) or search.left_s(until) <= 0:
            search.rows.append(TuneRow(PRODUCT, changes(way, plain), reason="not tried: no time left, --for more"))
            continue
        ran += prepared(search, [way], PRODUCT)
    search.overrun_s += max(0.0, -search.left_s(until))
    if not ran:
        return
    ways = {search.named(way): way for way in dict.fromkeys([plain, best, *ran])}
    samples = race(search, {each: search.calls[way] for each, way in ways.items()}, until + 0.05, "compiled")
    note_rows(search, PRODUCT, samples, ways, search.named(plain))
    rivals = {search.named(way): way for way in dict.fromkeys([best, *ran])}
    found = winner(samples, rivals, search.named(best))
    keep(search, PRODUCT, found)
    if found.compiled:
        saved_s = float(np.median(samples[search.named(best)]) - np.median(samples[search.named(found)]))
        steps = _steps(search)
        if saved_s * steps <= search.compile_s:
            keep(search, PRODUCT, best)
            search.notes.append(
                f"compiling takes {search.compile_s:.0f} s and saves {saved_s * steps:.0f} s over {steps} steps: "
                "not kept"
            )


def _no_compiling(search: Search) -> str:
    """Why nothing is compiled; empty where it is tried."""
    if "compiled" in search.limits.fixed or search.plain.compiled:
        return "it was asked for otherwise"
    if search.plain.recompute is not None:
        return "segments are computed again"
    if search.plain.swapped is not None:
        return "activations lie on disk"
    return no_compiling(search.stand.device)


def _forms(search: Search) -> None:
    """The ways in which the optimizer goes through the weights."""
    if "optimizer_form" not in search.limits.fixed and search.time_for(_OPTIMIZER, _UNTIL[_OPTIMIZER]):
        forms = [replace(search.kept, optimizer_form=form) for form in FORMS]
        _among(search, _OPTIMIZER, forms)


def _feeds(search: Search) -> None:
    """How samples reach a graphics processor; a processor has them already."""
    alone = search.stand.device == CPU or "feeding" in search.limits.fixed
    if alone or not search.time_for(_FEED, _UNTIL[_FEED]):
        return
    ways = [replace(search.kept, feeding=each) for each in FEEDINGS if each != "auto"]
    _among(search, _FEED, ways)  # where samples do not fit, the row says so


def _thread_counts(search: Search) -> None:
    """Fewer threads than cores: small steps lose more to starting threads than these gain.

    On a graphics processor one thread starts everything.
    """
    most = search.limits.cores if search.stand.device == CPU else 0
    counts = sorted({count for count in (1, most // 2) if 0 < count < most})
    if "threads" in search.limits.fixed or not counts or not search.time_for(_THREADS, _UNTIL[_THREADS]):
        return
    if search.kept.compiled and len(counts) * search.compile_s > search.left_s(_UNTIL[_THREADS]):
        search.notes.append("threads were not tried: each number of them is compiled anew, and there was no time left")
        return
    _among(search, _THREADS, [replace(search.kept, threads=count) for count in counts])


def _among(search: Search, stage: str, others: Sequence[Settings]) -> None:
    """Keep one of these in the place of what is kept, where it is faster."""
    current = search.kept
    ran = prepared(search, list(dict.fromkeys([current, *others])), stage)
    if current not in ran or len(ran) == 1:
        return
    ways = {search.named(way): way for way in ran}
    samples = race(search, {each: search.calls[way] for each, way in ways.items()}, _UNTIL[stage], stage)
    note_rows(search, stage, samples, ways, search.named(current))
    keep(search, stage, winner(samples, ways, search.named(current)))


def _steps(search: Search) -> int:
    """Training steps of the whole run."""
    samples = search.stand.samples
    return max(1, samples // min(search.plain.batch_size, samples)) * (search.plain.epochs or 1)
