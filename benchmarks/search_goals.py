"""What `chipwise search` reaches in a given time, how many models are worth looking at, and which claims hold.

    python benchmarks/search_goals.py mnist-60s --shared ../shared/data
    python benchmarks/search_goals.py mnist-60s mnist-3min mnist-20min cifar-20min --shared ../shared/data
    python benchmarks/search_goals.py mnist-20min --shared ../shared/data --claims messages.txt --samples 1000

The command is what a user types, with everything else left as it is. Of each: the test accuracy of the winner with its
95% interval beside what is aimed at; the distinct contestants on the board's front of score against time to fit; and,
where `--claims` names a file of score messages, each claim after `leaderboard --verify`, with the best contestant that
scores higher in less time, where there is one: in test score where it was tested, else in validation score. The time is
that of fitting and of predicting 10,000 samples, as nearest neighbours are fitted in no time and then answer slowly.

The last line on stdout is one JSON document. Exit code 1: an accuracy is below its aim.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from chipwise.codec.records import decode
from chipwise.core.board import Leaderboard, judged
from chipwise.core.contest import Contest
from document import command_line, give, here
from searched import begun, ended, search_words, spec_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chipwise.core.trial import Trial

ASKED = 10_000  # samples: MNIST's test split
# Data, seconds, the test accuracy that is aimed at on two cores.
GOALS = {
    "digits-20s": ("digits", 20.0, 0.97),
    "mnist-60s": ("mnist", 60.0, 0.977),
    "mnist-3min": ("mnist", 180.0, 0.985),
    "mnist-20min": ("mnist", 1200.0, 0.992),
    "cifar-20min": ("cifar", 1200.0, 0.65),
}


def main() -> int:
    """Search; 0 where all aims were met."""
    parser = command_line(__doc__)
    parser.add_argument("goals", nargs="+", choices=GOALS)
    parser.add_argument("--shared", type=Path, help="folder of the reference data")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--claims", type=Path, help="file of score messages on these data")
    parser.add_argument("--samples", type=int, default=1000, help="of the test split, that a claim is asked")
    parser.add_argument("--each", default="10min", help="time for the model of a claim")
    options = parser.parse_args()
    rows = {}
    for name in options.goals:
        rows[name] = reached(options, name)
        print(name, rows[name], file=sys.stderr, flush=True)
    found = {"seed": options.seed, "goals": rows, "ok": all(row["met"] for row in rows.values())}
    give("search_goals", {**here(), **found}, options.output)
    return 0 if found["ok"] else 1


def reached(options: Namespace, name: str) -> dict[str, Any]:
    """One search, and its board."""
    data, for_s, aim = GOALS[name]
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        spec, ledger = spec_of(data, options.shared, folder), folder / "board.jsonl"
        words = search_words(spec, ledger, for_s, "--seed", str(options.seed), "--json")
        held = decode(said(words, folder / "search.json", (0, 1)), Contest, "contest")
        board = ["-m", "chipwise", "leaderboard", str(ledger), "--json"]
        ranked = decode(said(board, folder / "board.json"), Leaderboard, "board")
        claims: tuple[Trial, ...] = ()
        if options.claims:
            board += ["--import", str(options.claims.resolve()), "--verify", "--data", spec, "--each", options.each]
            board += ["--samples", str(options.samples)]
            claims = decode(said(board, folder / "claims.json"), Leaderboard, "board").claims
    winner = held.winner
    test = winner.test if winner is not None else None
    front = [row.trial for row in ranked.rows if row.front]
    return {
        "for_s": for_s,
        "seconds": held.seconds,
        "aim": aim,
        "met": test is not None and test.value >= aim,
        "model": winner.model if winner is not None else None,
        "test": None if test is None else {"value": test.value, "low": test.low, "high": test.high,
                                           "samples": test.samples},
        "counts": held.counts,
        "on_the_front": len({trial.model for trial in front}),
        "of_these_with_all_samples": len({trial.model for trial in front if trial.rung.share >= 1}),
        "front": [about(trial) for trial in front],
        "claims": [claimed(claim, [row.trial for row in ranked.rows]) for claim in claims],
    }  # fmt: skip


def said(words: Sequence[str], output: Path, right: Sequence[int] = (0,)) -> bytes:
    """What a command says."""
    return ended(begun(words, output), output, right)


def claimed(claim: Trial, trials: Sequence[Trial]) -> dict[str, Any]:
    """A claim, what became of it, and the best contestant that beats it in score and in time."""
    assert claim.claim is not None, "claims say what was said"
    assert claim.score is not None, "and a score"
    measured = claim.claim.measured
    found: dict[str, Any] = {
        "model": claim.model,
        "claimed": claim.score.value,
        "verdict": claim.claim.verdict,
        **times(claim),
    }
    found |= {"measured": None if measured is None else [measured.low, measured.value, measured.high]}
    return found | {"beaten_by": None if (better := beating(claim, trials)) is None else about(better)}


def beating(claim: Trial, trials: Sequence[Trial]) -> Trial | None:
    """The best of those that score higher than is claimed, and took less time in all than the claim; None for none."""
    took = times(claim)["all_s"]
    if claim.score is None or took is None:
        return None
    able = [trial for trial in trials if (own := times(trial)["all_s"]) is not None and own < took
            and _score(trial) > claim.score.value]  # fmt: skip
    return max(able, key=_score, default=None)


def times(trial: Trial) -> dict[str, float | None]:
    """Seconds of fitting, of predicting `ASKED` samples, and of both; None where they were not measured."""
    fit_s, item_s = trial.fit_s, trial.predict_s_per_item
    predict_s = None if item_s is None else ASKED * item_s
    return {"fit_s": fit_s, "predict_s": predict_s,
            "all_s": None if fit_s is None or predict_s is None else fit_s + predict_s}  # fmt: skip


def about(trial: Trial) -> dict[str, Any]:
    """What is told of a contestant."""
    return {"model": trial.model, "score": _score(trial), **times(trial), "share": trial.rung.share}


def _score(trial: Trial) -> float:
    score = judged(trial, "test" if trial.test is not None else "score")
    return 0.0 if score is None else score.value


if __name__ == "__main__":
    sys.exit(main())
