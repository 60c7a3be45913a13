"""The driver of a search: one loop that asks, starts, hears and writes.

What runs next is the contestant with the largest expected improvement per second. Of every three starts one is for the
cheapest of the portfolio that has not had all samples yet, so that the board compares kinds, and one for the largest
expected improvement, however long that takes: many cheap contestants, each with a little to gain, would otherwise keep
the best one waiting until there is no time for it. What cannot end in the time that is left, and be fitted once more
for the test, is refused.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from chipwise.core.errors import InputError
from chipwise.core.events import Progress, silent
from chipwise.searching.arrays import rows_file
from chipwise.searching.contestant import NETWORKS
from chipwise.searching.estimators import ESTIMATORS
from chipwise.searching.execute import own_model
from chipwise.searching.job import Job, Outcome
from chipwise.searching.kinds import own_kind
from chipwise.searching.model_string import Form, form_of, parse, written
from chipwise.searching.standing import Entry, Forecast, Seen, rung_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chipwise.core.trial import Rung, Trial
    from chipwise.searching.processes import Executor
    from chipwise.searching.rows import Rows
    from chipwise.searching.study import Study
    from chipwise.searching.wanted import Wanted

_AHEAD = 3  # contestants that were asked for and wait, beside those that were promoted
_TURNS = 3  # of so many starts the first is for a kind that has not been seen at the top
_FOR_KINDS, _FOR_BEST = 0, 2  # and the last for the largest improvement
_DEAR_SHARE = 0.15  # of the time, which such a start may take
_MARGIN = 1.25  # what is expected to take so long may take so much longer
# After the largest of these a trial is ended, whatever it does: seconds, of the whole time, times what is expected.
_LEAST_LIMIT_S, _LIMIT_SHARE, _LIMIT_TIMES = 20.0, 1 / 6, 8.0
_LOOK_S = 0.2
_FINALISTS = 3


@dataclass(slots=True)
class Driver:
    """A search in progress.

    Attributes:
        wanted: what was asked for; rows: the board; study: Optuna; executor: where trials run.
        forecast: expectations; shares: of the ladder; folder: with the arrays.
        class_names: of the data; begun: when it was, on the clock of `time.monotonic`.
        progress: told how far it is.
        waiting: contestants that could run; running: those that do, by the id of their trial.
        top: rows that had all samples and break no limit, by model.
        owned: where models of the user's own come from, by their string; forms: of models of kinds that compete.
        notes: what else is to be known, a sentence each.
        starts, promoted, over_limits: how many there were; exhausted: nothing new can be asked for.
    """

    wanted: Wanted
    rows: Rows
    study: Study
    executor: Executor
    forecast: Forecast
    shares: Sequence[float]
    folder: Path
    class_names: tuple[str, ...]
    begun: float
    progress: Progress = silent
    waiting: list[Entry] = field(default_factory=list)
    running: dict[str, Entry] = field(default_factory=dict)
    top: dict[str, Trial] = field(default_factory=dict)
    owned: dict[str, str] = field(default_factory=dict)
    forms: frozenset[Form] = frozenset()
    notes: list[str] = field(default_factory=list)
    starts: int = 0
    promoted: int = 0
    over_limits: int = 0
    exhausted: bool = False

    @property
    def ends(self) -> float:
        """When the whole search has to be done."""
        return self.begun + self.wanted.for_s

    def run(self) -> None:
        """Search until the time is up, but for what the tests at the end take."""
        for row in self.rows.whole():
            if self._competes(row.model):
                self._rank(row)
        while True:
            self._fill()
            if not self.running and not self._next_up():
                break
            for outcome in self.executor.wait(_LOOK_S):
                self._heard(outcome)
            self._tell()
        for entry in self.waiting:
            self._refuse(entry)
        self.waiting.clear()

    def leaders(self) -> list[Trial]:
        """Contestants with the best validation scores, which will be tested: at least two, where there are."""
        return self.board()[: max(_FINALISTS, min(self.wanted.jobs, 5))]

    def board(self) -> list[Trial]:
        """Contestants that had all samples and keep the limits, the best first."""
        return sorted(self.top.values(), key=_rank_of)

    def broken(self, row: Trial) -> str:
        """Which limit a row breaks, in words; empty for none."""
        return self.wanted.limits.broken(
            predict_s=row.predict_s_per_item or 0.0, size_bytes=row.size_bytes or 0, price_usd=row.price_usd or 0.0
        )

    def left_s(self) -> float:
        """Time until the tests have to begin."""
        return self.ends - time.monotonic() - _MARGIN * self._reserve_s() - 1.0

    def _reserve_s(self) -> float:
        """What the tests of the first two are expected to take."""
        asked = len(self.rows.splits.test)
        costs = [self._more * (row.fit_s or 0.0) + asked * (row.predict_s_per_item or 0.0)
                 for row in self.leaders()[:2]]  # fmt: skip
        return (max(costs) if self.wanted.jobs > 1 else sum(costs)) if costs else 0.0

    @property
    def _more(self) -> float:
        """Samples of the last fit over those of the training split."""
        return 1 + len(self.rows.splits.validation) / len(self.rows.splits.train)

    def _test_s(self, entry: Entry) -> float:
        """What the test takes if it comes out best, beyond what is kept free for that already."""
        return max(self._more * self.forecast.seconds(entry, len(self.shares) - 1) - self._reserve_s(), 0.0)

    def _needs_s(self, entry: Entry) -> float:
        """Time to the top and through the test."""
        return _MARGIN * (self.forecast.path_s(entry) + self._test_s(entry))

    def enter_own(self) -> None:
        """Let models of the user's own take part, before all others.

        Raises:
            InputError: one is none, or calls itself like another contestant.
        """
        for place, spec in enumerate(self.wanted.own, 1):
            described = parse(own_model(spec).describe())
            model = written(described)
            if model in self.owned or described.name in ESTIMATORS or described.name in NETWORKS:
                raise InputError(f"{spec} calls itself {model}, a name that is taken", hint="describe() says its name")
            self.owned[model] = spec
            self.waiting.append(Entry(-place, own_kind(self.wanted.for_s), model, None, usual=True))

    def _competes(self, model: str) -> bool:
        """Whether a row's model takes part in this search, which may be another one than that of the row."""
        try:
            return model in self.owned or form_of(parse(model)) in self.forms
        except InputError:
            return False

    def _fill(self) -> None:
        """Start as many trials as there are places."""
        while self.executor.free() > 0:
            entry = self._next_up()
            if entry is None:
                return
            self.waiting.remove(entry)
            self._start(entry)

    def _next_up(self) -> Entry | None:
        """The contestant to run next; None where none can end its next rung in time."""
        fresh = sum(not entry.seen for entry in self.waiting)
        while fresh < _AHEAD + self._untried() and not self.exhausted:
            asked = self.study.ask()
            self.exhausted = asked is None
            if asked is not None:
                self.waiting.append(asked)
                fresh += 1
        left = self.left_s()
        able = [entry for entry in self.waiting if self._needs_s(entry) < left]
        if not able:
            return self._look(left)
        own = [entry for entry in able if entry.number < 0 and not entry.seen]
        if own:
            return own[0]
        for_kinds = [entry for entry in able if entry.usual
                     and self.forecast.path_s(entry) < _DEAR_SHARE * self.wanted.for_s]  # fmt: skip
        turn = self.starts % _TURNS
        if for_kinds and turn == _FOR_KINDS:
            return min(for_kinds, key=self.forecast.path_s)
        best = min((1 - row.score.value for row in self.top.values() if row.score), default=1.0)
        gain = self.forecast.improvement if turn == _FOR_BEST else self.forecast.gain
        # Against nothing everything gains, and cheap variants most for their time: the portfolio goes first.
        pool = able if self.top else [entry for entry in able if entry.usual] or able
        return max(pool, key=lambda entry: gain(entry, best))

    def _look(self, left: float) -> Entry | None:
        """Where nothing is expected to get to the top in time, who is nearest to it: expectations may be wrong."""
        looks = [(-entry.next, self._look_s(entry), entry) for entry in self.waiting]
        able = [look for look in looks if look[1] * _MARGIN < left]
        return min(able, default=(0, 0.0, None), key=lambda look: look[:2])[2]

    def _look_s(self, entry: Entry) -> float:
        """Seconds of the next rung; with those of the test where that is the top, and there is a winner without it."""
        at_top = entry.next == len(self.shares) - 1
        return self.forecast.seconds(entry, entry.next) + (self._test_s(entry) if self.top and at_top else 0.0)

    def _untried(self) -> int:
        """Contestants of the portfolio that wait for their first trial: they leave room for the sampler's own."""
        return sum(entry.usual and not entry.seen for entry in self.waiting)

    def _start(self, entry: Entry) -> None:
        """Start a contestant's next rung, or take its row where the ledger has it."""
        self.starts += 1
        rung = self._rung(entry)
        identity = self.rows.id_of(entry.model, rung)
        known = self.rows.known.get(identity)
        if known is not None and known.score is not None:
            self._measured(entry, known)
            return
        expected = self.forecast.seconds(entry, entry.next)
        price = self.wanted.price_usd(self.forecast.path_s(entry))
        if self.wanted.limits.cost_usd is not None and price > 2 * self.wanted.limits.cost_usd:
            self._out(entry, rung, "refused", f"fitting it is expected to cost about {price:.2g} USD")
            return
        self.running[identity] = entry
        least = max(_LEAST_LIMIT_S, _LIMIT_SHARE * self.wanted.for_s)
        limit_s = max(1.0, min(self.left_s(), max(least, _LIMIT_TIMES * expected)))
        self.executor.start(self.job(entry.model, rung, identity, rows_file(rung.share)), limit_s)

    def job(self, model: str, rung: Rung, identity: str, rows: str, keep: str = "") -> Job:
        """What a trial's process is told; without rows it learns all that there is, and predicts the test split."""
        return Job(
            id=identity,
            model=model,
            seed=self.wanted.seed,
            epochs=rung.epochs,
            folder=str(self.folder),
            rows=rows,
            asks="validation" if rows else "test",
            class_names=self.class_names,
            memory_bytes=self.wanted.memory_bytes,
            metric=self.wanted.metric,
            own=self.owned.get(model, ""),
            keep=keep,
            graph=bool(keep) and self.wanted.graph,
        )

    def _heard(self, outcome: Outcome) -> None:
        entry = self.running.pop(outcome.id)
        rung = self._rung(entry)
        if outcome.error:
            self._out(entry, rung, "failed", outcome.error)
            return
        self._measured(entry, self.rows.finished(entry.model, rung, outcome))

    def _measured(self, entry: Entry, row: Trial) -> None:
        """Promote a contestant, let it stop, or rank it where it is at the top."""
        assert row.score is not None, "of the validation split"
        items = row.score.samples or 0
        seconds = (row.fit_s or 0.0) + items * (row.predict_s_per_item or 0.0)
        self.forecast.see(entry, Seen(entry.work(row.rung.share), 1 - row.score.value, max(seconds, 1e-3)))
        broken = self.broken(row)
        at_top = entry.next == len(self.shares) - 1
        if at_top:
            self._rank(row)
        elif not broken:
            expected = 1 - self.forecast.error(entry)[0]
            on = entry.number < 0 or self.study.goes_on(entry, expected)
            entry.next += 1
            if on or entry.usual:  # the portfolio goes to the top as time allows: the board compares kinds
                self.promoted += 1
                self.waiting.append(entry)
                return
        else:
            self.over_limits += 1
        if entry.number < 0:
            return
        if at_top or broken:
            self.study.tell(entry, 0.0 if broken else row.score.value)
        else:
            self.study.stop(entry)

    def _rank(self, row: Trial) -> None:
        """Take a row that had all samples into account."""
        if self.broken(row):
            self.over_limits += 1
        else:
            self.top[row.model] = row

    def _out(self, entry: Entry, rung: Rung, state: str, reason: str) -> None:
        self.rows.ended(entry.model, rung, "refused" if state == "refused" else "failed", reason)
        if entry.number >= 0:
            self.study.drop(entry)

    def _refuse(self, entry: Entry) -> None:
        needs, left = self._needs_s(entry), max(self.left_s(), 0.0)
        reason = f"it would take about {needs:.3g} s, and {left:.3g} s are left"
        self.rows.ended(entry.model, self._rung(entry), "refused", reason)  # the study has it when there is more time

    def _rung(self, entry: Entry) -> Rung:
        return rung_of(self.shares[entry.next], entry.epochs)

    def _tell(self) -> None:
        spent = time.monotonic() - self.begun
        best = min(self.top.values(), key=_rank_of, default=None)
        done = self.rows.counts.get("finished", 0)
        said = f"{done} trials" if best is None or best.score is None else (
            f"{done} trials, best {best.score.value:.2%}: {best.model}")  # fmt: skip
        self.progress.update("search", min(spent / self.wanted.for_s, 0.999), said)


def _rank_of(row: Trial) -> tuple[float, float]:
    """The best score first; of equal ones the one that is fitted sooner."""
    assert row.score is not None, "of the validation split"
    return -row.score.value, row.fit_s or 0.0
