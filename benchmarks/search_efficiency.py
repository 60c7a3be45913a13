"""How many trials a minute `chipwise search` runs with one worker and with two, of the very same trials.

    python benchmarks/search_efficiency.py                                   # digits, 40 contestants, 5 rounds
    python benchmarks/search_efficiency.py --data mnist --shared ../shared/data --kinds pca-knn,naive-bayes

A whole search each time (`contest.hold`: data, start of the workers, Optuna's journal, rows on disk, the tests at the
end), but of a fixed list: the portfolio, and what a random sampler asks with one seed. Every contestant goes through
all rungs, and the search ends when the list does: so the work is the same, though not its order. That the rows are the
same is checked. One worker and two take turns, each round in the other order; the ratio is of the same round.

The last line on stdout is one JSON document. Exit code 1: the trials were not the same.
"""

from __future__ import annotations

import statistics
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from chipwise.api.searching import memory_of_each
from chipwise.core.events import silent
from chipwise.datasets import load
from chipwise.datasets.dataset import Dataset
from chipwise.searching import study
from chipwise.searching.contest import hold
from chipwise.searching.ledger import read
from chipwise.searching.standing import Entry
from chipwise.searching.wanted import Wanted
from document import command_line, give, here
from searched import DATA, spec_of

LONG_S = 1e5  # nothing is left out for want of time


def main() -> int:
    """Measure; 0 where both did the same."""
    parser = command_line(__doc__)
    parser.add_argument("--data", choices=DATA, default="digits")
    parser.add_argument("--shared", type=Path, help="folder of the reference data")
    parser.add_argument("--contestants", type=int, default=40, help="with the portfolio")
    parser.add_argument("--kinds", default="", help="only these, with commas between them")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        data = load(spec_of(options.data, options.shared, Path(folder)))
    rows: list[dict[str, Any]] = []
    same: set[frozenset[str]] = set()
    for number in range(options.rounds):
        for jobs in (1, 2) if number % 2 == 0 else (2, 1):
            row, trials = searched(data, options, jobs)
            rows.append({"round": number, "jobs": jobs, **row})
            same.add(trials)
            print(rows[-1], file=sys.stderr, flush=True)
    found = {"data": options.data, "kinds": options.kinds, **summary(rows), "same_trials": len(same) == 1, "runs": rows}
    give("search_efficiency", {**here(), **found}, options.output)
    return 0 if found["same_trials"] else 1


def searched(data: Dataset, options: Namespace, jobs: int) -> tuple[dict[str, Any], frozenset[str]]:
    """One search: how fast it was, and the ids of the trials that finished before the tests."""
    kinds = tuple(options.kinds.split(",")) if options.kinds else ()
    wanted = Wanted(for_s=LONG_S, jobs=jobs, sampler="random", kinds=kinds, memory_bytes=memory_of_each(2))
    with TemporaryDirectory() as folder, fixed(options.contestants):
        ledger = Path(folder) / "board.jsonl"
        start = time.perf_counter()
        hold(data, wanted, ledger, silent)
        seconds = time.perf_counter() - start
        finished = read(ledger).finished()
    trials = frozenset(name for name, row in finished.items() if row.test is None)
    return {"trials": len(finished), "seconds": seconds, "a_minute": 60 * len(finished) / seconds}, trials


@contextmanager
def fixed(count: int) -> Iterator[None]:
    """Let a study ask for so many contestants and no more, and each go on to the end."""
    first = study.Study.ask
    asked = 0

    def ask(self: study.Study) -> Entry | None:
        nonlocal asked
        asked += 1
        return first(self) if asked <= count else None

    def goes_on(self: study.Study, entry: Entry, score: float) -> bool:  # noqa: ARG001  as the method has them
        return True

    with patch.object(study.Study, "ask", ask), patch.object(study.Study, "goes_on", goes_on):
        yield


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Trials a minute of both, and the ratio of the same rounds."""
    by_jobs = {jobs: [row["a_minute"] for row in sorted(rows, key=lambda row: int(row["round"])) if row["jobs"] == jobs]
               for jobs in (1, 2)}  # fmt: skip
    ratios = [two / one for one, two in zip(by_jobs[1], by_jobs[2], strict=True)]
    return {
        "one_worker_a_minute": spread(by_jobs[1]),
        "two_workers_a_minute": spread(by_jobs[2]),
        "two_over_one": spread(ratios),
    }


def spread(values: list[float]) -> dict[str, float]:
    """The least, the median and the most."""
    return {"low": min(values), "mid": statistics.median(values), "high": max(values)}


if __name__ == "__main__":
    sys.exit(main())
