"""Rows of the board, as a search writes them.

Every row is on disk before anything is made of it; the same trial is the same row, whoever runs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chipwise.core.trial import Rung, Score, State, Trial, identity
from chipwise.searching.energy import energy_j
from chipwise.searching.ledger import append, read
from chipwise.searching.metrics import with_interval

if TYPE_CHECKING:
    from chipwise.datasets.dataset import Dataset, Splits
    from chipwise.searching.job import Outcome
    from chipwise.searching.wanted import Wanted


@dataclass(slots=True)
class Rows:
    """The rows of one search, and those that its ledger has already.

    Attributes:
        ledger: the file; data: what is learned; splits: of it; wanted: what was asked for.
        host: the processor; versions: of libraries.
        known: finished rows by id.
        counts: rows that were added, by state.
    """

    ledger: Path
    data: Dataset
    splits: Splits
    wanted: Wanted
    host: str
    versions: dict[str, str]
    known: dict[str, Trial]
    counts: dict[str, int]

    def id_of(self, model: str, rung: Rung) -> str:
        """The id of a trial."""
        return identity(self.data.digest, model, self.wanted.seed, rung, self.wanted.metric)

    def finished(self, model: str, rung: Rung, outcome: Outcome, test: Score | None = None) -> Trial:
        """Write the row of a trial that ended well."""
        score = None if outcome.value is None else with_interval(self.wanted.metric, outcome.value, outcome.items)
        row = Trial(
            **self._about(model, rung, "finished"),
            score=score,
            test=test,
            fit_s=outcome.fit_s,
            predict_s_per_item=outcome.predict_s / max(outcome.items, 1),
            size_bytes=outcome.size_bytes,
            energy_j=energy_j(outcome.fit_s),
            price_usd=self.wanted.price_usd(outcome.fit_s),
        )
        return self._write(row)

    def ended(self, model: str, rung: Rung, state: State, reason: str) -> Trial:
        """Write the row of a trial that failed or was refused."""
        return self._write(Trial(**self._about(model, rung, state), reason=reason))

    def whole(self) -> list[Trial]:
        """Finished rows of this data, seed, metric and group that had all samples of the training split."""
        mine = self.data.digest, self.wanted.seed, self.wanted.metric, self.wanted.group
        return [
            row
            for row in self.known.values()
            if (row.data_digest, row.seed, row.metric, row.group) == mine and row.rung.share == 1 and row.score
        ]

    def _write(self, row: Trial) -> Trial:
        if append(self.ledger, row):
            self.counts[row.state] = self.counts.get(row.state, 0) + 1
        if row.state == "finished":
            self.known.setdefault(row.id, row)
        return row

    def _about(self, model: str, rung: Rung, state: State) -> dict[str, Any]:
        return {
            "id": self.id_of(model, rung),
            "state": state,
            "data": self.data.name,
            "data_digest": self.data.digest,
            "model": model,
            "group": self.wanted.group,
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "seed": self.wanted.seed,
            "rung": rung,
            "metric": self.wanted.metric,
            "host": self.host,
            "cores": 1,
            "versions": self.versions,
        }


def rows_of(ledger: Path, data: Dataset, wanted: Wanted, host: str, versions: dict[str, str]) -> Rows:
    """Begin with what a ledger has.

    Raises:
        InputError: it cannot be read.
    """
    return Rows(ledger, data, data.split(), wanted, host, versions, dict(read(ledger).finished()), {})
