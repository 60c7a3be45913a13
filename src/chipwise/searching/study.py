"""Which contestants to try: Optuna asks for a kind first, then for its knobs, and is told what came out.

Trials are kept in a journal beside the ledger, so that a search that was killed goes on with what its sampler knows;
what it was in the middle of is asked for again.
"""

from __future__ import annotations

import hashlib
import random
import warnings
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import optuna
from optuna.pruners import SuccessiveHalvingPruner
from optuna.samplers import RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from chipwise.codec.files import storage_error
from chipwise.core.errors import InputError, unknown_name
from chipwise.searching.contestant import epochs_of
from chipwise.searching.knobs import grid_of, suggested
from chipwise.searching.model_string import written
from chipwise.searching.standing import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from optuna.samplers import BaseSampler

    from chipwise.searching.kinds import Kind
    from chipwise.searching.knobs import Setting

try:
    import fcntl
except ImportError:  # Windows, where nobody sees that the same search runs twice
    fcntl = None  # type: ignore[assignment]

SAMPLERS = ("tpe", "random", "grid")
REDUCTION = 4  # of a rung's contestants one in so many goes on
_USUAL, _KIND = "usual", "kind"
_TRIES = 30  # until a model comes that was not tried yet


class Study:
    """Optuna's side of a search.

    Args:
        file: of the journal.
        kinds: that compete, in the order in which their usual values are tried.
        seed: of the sampler.
        sampler: "tpe", "random" or "grid".
        about: what makes it another study: data, metric.

    Raises:
        UnknownNameError: no such sampler. InputError: another process runs this very search.
        StorageError: the folder cannot be written.
    """

    def __init__(self, file: Path, kinds: Sequence[Kind], seed: int, sampler: str, about: str) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._kinds = {kind.name: kind for kind in kinds}
        self._grid = iter(_grid(kinds, seed)) if sampler == "grid" else None
        said = "\n".join((about, sampler, str(seed), *self._kinds))
        name = hashlib.sha256(said.encode()).hexdigest()[:16]
        self._lock = _locked(file.with_name(f"{name}.lock"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._study = optuna.create_study(
                storage=JournalStorage(JournalFileBackend(str(file))),
                study_name=name,
                sampler=_sampler(sampler, seed),
                pruner=SuccessiveHalvingPruner(min_resource=1, reduction_factor=REDUCTION),
                direction="maximize",
                load_if_exists=True,
            )
        self._trials: dict[int, optuna.Trial] = {}
        self._asked: set[str] = set()
        self._begin()

    def close(self) -> None:
        """Let another process go on with it."""
        self._lock.close()

    def ask(self) -> Entry | None:
        """A contestant that was not asked for yet; None where there seems to be none any more."""
        for _ in range(_TRIES):
            if self._grid is not None and not self._from_grid(self._grid):
                return None
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                trial = self._study.ask()
                kind = self._kinds[str(trial.suggest_categorical(_KIND, list(self._kinds)))]
                values = {knob: suggested(trial, f"{kind.name}.{knob}", kind.knobs[knob]) for knob in kind.knobs}
            model = written(kind.model(values))
            if model in self._asked:
                self._study.tell(trial, state=TrialState.FAIL)
                continue
            self._asked.add(model)
            self._trials[trial.number] = trial
            usual = bool(trial.user_attrs.get(_USUAL))
            return Entry(trial.number, kind, model, epochs_of(model), usual)
        return None

    def goes_on(self, entry: Entry, score: float) -> bool:
        """Say what a contestant is expected to reach from its rung; whether it is among the best there.

        Args:
            entry: whose `next` is the rung that it has just run.
            score: that is expected at the top.
        """
        trial = self._trials[entry.number]
        trial.report(score, step=REDUCTION**entry.next)
        return trial.should_prune() is False

    def stop(self, entry: Entry) -> None:
        """A contestant goes no further; what was reported of it counts."""
        self._study.tell(self._trials.pop(entry.number), state=TrialState.PRUNED)

    def tell(self, entry: Entry, score: float) -> None:
        """A contestant reached the top."""
        self._study.tell(self._trials.pop(entry.number), score)

    def drop(self, entry: Entry) -> None:
        """A contestant crashed or costs too much: nothing is learned from it."""
        self._study.tell(self._trials.pop(entry.number), state=TrialState.FAIL)

    def _begin(self) -> None:
        """Queue the portfolio, or what an earlier process was in the middle of."""
        trials = self._study.get_trials(deepcopy=False)
        running = [trial for trial in trials if trial.state == TrialState.RUNNING]
        for trial in running:
            self._study.tell(trial.number, state=TrialState.FAIL)
            if _KIND in trial.params:
                self._study.enqueue_trial(trial.params, user_attrs=trial.user_attrs)
        if not trials:
            begin = [(kind, kind.usual) for kind in self._kinds.values()]
            begin += [(kind, values) for kind in self._kinds.values() for values in kind.portfolio()[1:]]
            for kind, values in begin:
                named = {f"{kind.name}.{knob}": value for knob, value in values.items()}
                self._study.enqueue_trial({_KIND: kind.name, **named}, user_attrs={_USUAL: True})

    def _from_grid(self, grid: Iterator[dict[str, Setting]]) -> bool:
        """Queue the next point of the grid, unless something waits already; whether there was one."""
        if self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            return True
        point = next(grid, None)
        if point is not None:
            self._study.enqueue_trial(point)
        return point is not None


def _locked(file: Path) -> BinaryIO:
    """A file that this process alone has until it is closed, or the process ends.

    Raises:
        InputError: another one has it. StorageError: it cannot be written.
    """
    try:
        lock = file.open("ab")
    except OSError as error:
        raise storage_error(file, error) from error
    try:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise InputError("this search is running already", hint="another --seed or --ledger") from error
    return lock


def _grid(kinds: Sequence[Kind], seed: int) -> list[dict[str, Setting]]:
    """All points of the grids of all kinds, in an order that the seed makes."""
    points: list[dict[str, Setting]] = []
    for kind in kinds:
        names = [f"{kind.name}.{knob}" for knob in kind.knobs]
        points += [
            {_KIND: kind.name, **dict(zip(names, values, strict=True))}
            for values in product(*(grid_of(knob) for knob in kind.knobs.values()))
        ]
    random.Random(seed).shuffle(points)  # noqa: S311  no secret
    return points


def _sampler(name: str, seed: int) -> BaseSampler:
    if name == "tpe":
        return TPESampler(multivariate=True, group=True, seed=seed)
    if name in ("random", "grid"):
        return RandomSampler(seed=seed)
    raise unknown_name("sampler", name, SAMPLERS)
