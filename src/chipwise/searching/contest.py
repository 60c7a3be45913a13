"""Hold a contest: data in, the best models out, every trial on the board.

wanted = Wanted(for_s=60, jobs=2)
held = hold(load("digits"), wanted, Path("board.jsonl"), silent)
held.winner.model, held.winner.test
"""

from __future__ import annotations

import tempfile
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from chipwise.core.contest import Contest, Finalist
from chipwise.core.errors import InputError, unknown_name
from chipwise.devices.detect import detect, versions
from chipwise.searching import arrays
from chipwise.searching.driver import Driver
from chipwise.searching.finals import finals, verdict_of
from chipwise.searching.kinds import Facts, kind_names, kinds_for
from chipwise.searching.metrics import METRICS
from chipwise.searching.model_string import form_of, parse
from chipwise.searching.processes import Executor, Processes
from chipwise.searching.rows import rows_of
from chipwise.searching.standing import Forecast, ladder
from chipwise.searching.study import SAMPLERS, Study

if TYPE_CHECKING:
    from collections.abc import Callable

    from chipwise.core.events import Progress
    from chipwise.datasets.dataset import Dataset, Splits
    from chipwise.searching.wanted import Wanted

LEAST_S = 5.0


def state_folder(ledger: Path) -> Path:
    """Where a search keeps what it needs to go on: beside its ledger.

    >>> state_folder(Path("board.jsonl"))
    PosixPath('board.search')
    """
    return ledger.with_suffix(".search")


def model_folder(ledger: Path, trial: str) -> Path:
    """Where the model of a finalist is kept, by the id of its row."""
    return state_folder(ledger) / "models" / trial


def check_wanted(wanted: Wanted) -> None:
    """Refuse what cannot be asked for, before any work.

    Raises:
        InputError: naming what was received.
    """
    if not wanted.for_s >= LEAST_S:
        raise InputError(f"{wanted.for_s:g} s is too short for a search", hint="60s is a look, 20min is usual")
    if wanted.jobs < 1 or wanted.seed < 0:
        raise InputError(f"jobs={wanted.jobs}, seed={wanted.seed}", hint="jobs from 1, seed from 0")
    for what, given, known in (
        ("metric", wanted.metric, METRICS),
        ("sampler", wanted.sampler, SAMPLERS),
        *(("kind of contestant", name, kind_names()) for name in wanted.kinds),
    ):
        if given not in known:
            raise unknown_name(what, given, known)


def hold(
    data: Dataset, wanted: Wanted, ledger: Path, progress: Progress, place: Callable[[Path], Executor] | None = None
) -> Contest:
    """Search, and test the best.

    Args:
        data: that all learn.
        wanted: time, limits, seed.
        ledger: where rows go; what it has already is not run again.
        progress: told how far it is.
        place: from the folder with the arrays to where trials run; None for processes of this machine.

    Raises:
        InputError: as `check_wanted`; the same search runs already. StorageError: the ledger cannot be written.
    """
    begun = time.monotonic()
    check_wanted(wanted)
    rows = rows_of(ledger, data, wanted, detect().cpu, versions())
    splits = rows.splits
    facts = facts_of(data, splits)
    kinds = kinds_for(facts, wanted.kinds)
    if not kinds and not wanted.own:
        raise InputError("no contestant can learn these data here", hint="pip install 'chipwise[search,torch]'")
    shares = ladder(facts.samples, facts.classes)
    state = state_folder(ledger)
    state.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        arrays.written(folder, splits, shares, wanted.seed)
        study = Study(state / "optuna.jsonl", kinds, wanted.seed, wanted.sampler, f"{data.digest} {wanted.metric}")
        made: Callable[[Path], Executor] = partial(Processes, count=wanted.jobs) if place is None else place
        with closing(study), closing(made(folder)) as executor:
            driver = Driver(
                wanted, rows, study, executor, Forecast(shares), shares, folder, data.class_names, begun, progress,
                forms=frozenset(form_of(parse(kind.usual_model())) for kind in kinds),
            )  # fmt: skip
            driver.enter_own()
            return _held(driver, ledger, state)


def _held(driver: Driver, ledger: Path, state: Path) -> Contest:
    """Run to the end, or as far as nobody interrupts."""
    finalists: tuple[Finalist, ...] = ()
    paired, complete = None, True
    try:
        driver.run()
        driver.progress.update("search", 1.0, f"{sum(driver.rows.counts.values())} trials")
        finalists, paired = finals(driver, state / "models")
    except (KeyboardInterrupt, RuntimeError, OSError) as error:
        if not _interrupted(error):
            raise
        complete = False
    data, wanted = driver.rows.data, driver.wanted
    return Contest(
        data=data.name,
        data_digest=data.digest,
        metric=wanted.metric,
        seconds=time.monotonic() - driver.begun,
        seed=wanted.seed,
        jobs=wanted.jobs,
        ledger=str(ledger),
        finalists=finalists,
        trials=tuple(driver.board()),
        paired=paired,
        verdict=verdict_of(finalists, paired),
        counts=dict(driver.rows.counts),
        promoted=driver.promoted,
        over_limits=driver.over_limits,
        notes=_notes(driver),
        complete=complete,
        rate=wanted.rate,
    )


def _interrupted(error: BaseException | None) -> bool:
    """Whether it began with Ctrl-C.

    The lock of Optuna's journal makes other errors of that while it is let go: RuntimeError, or FileNotFoundError of
    the file that it has not renamed yet (`optuna.storages.journal`, 5.0).
    """
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _notes(driver: Driver) -> tuple[str, ...]:
    notes = [*driver.notes]
    if not driver.top:
        notes.append("no contestant had all samples within the time and the limits: give more time")
    if driver.exhausted:
        notes.append("everything that the sampler could think of was tried")
    return tuple(notes)


def facts_of(data: Dataset, splits: Splits) -> Facts:
    """What the search needs to know of data that is split so."""
    channels = int(data.inputs.shape[3]) if data.pictures else None
    return Facts(len(splits.train), int(data.arrays[0].size), data.classes, channels)
