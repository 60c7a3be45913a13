"""The order of trials on a board, which of them cannot be told from the first, and which nothing dominates.

>>> from chipwise.core.trial import Score
>>> told_apart(Score(0.97, 0.96, 0.98, 1000), Score(0.90, 0.88, 0.92, 1000))
True
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from chipwise.core.board import HIGHER, BoardRow, judged, value_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from chipwise.core.board import Field
    from chipwise.core.trial import Score, Trial


def ranked(trials: Iterable[Trial], by: Field, pareto: tuple[Field, Field]) -> tuple[BoardRow, ...]:
    """Put finished trials in their order; those without a number in `by` come last.

    Args:
        trials: of one data set and metric.
        by: the field that counts; quicker fitting breaks ties.
        pareto: the fields of the front.
    """
    ordered = sorted(trials, key=lambda trial: (_cost(trial, by), _cost(trial, "fit_s"), trial.model, trial.seed))
    best = judged(ordered[0], by) if ordered else None
    ahead = {trial.id for trial in front(ordered, pareto)}
    return tuple(
        BoardRow(place, trial, place > 1 and by in HIGHER and _tied(best, judged(trial, by)), trial.id in ahead)
        for place, trial in enumerate(ordered, 1)
    )


def one_each(trials: Iterable[Trial]) -> tuple[Trial, ...]:
    """Of each model and seed one row: that on the highest rung, with the test score of a second fit."""
    scored: dict[tuple[str, int], Trial] = {}
    tested: dict[tuple[str, int], Trial] = {}
    for trial in trials:
        kept, key = tested if trial.score is None else scored, (trial.model, trial.seed)
        if key not in kept or _height(trial) > _height(kept[key]):
            kept[key] = trial
    both = {key: replace(scored[key], test=tested[key].test) for key in scored.keys() & tested.keys()
            if scored[key].rung.share >= 1}  # fmt: skip
    return tuple((scored | tested | both).values())


def front(trials: Sequence[Trial], pareto: tuple[Field, Field]) -> list[Trial]:
    """Trials that none beats in one field while it is as good in the other; those that lack a number are left out."""
    known = [trial for trial in trials if all(value_of(trial, field) is not None for field in pareto)]
    first, second = pareto
    kept: list[Trial] = []
    least = math.inf
    for trial in sorted(known, key=lambda each: (_cost(each, first), _cost(each, second))):
        if _cost(trial, second) < least:
            least = _cost(trial, second)
            kept.append(trial)
    return kept


def told_apart(one: Score, other: Score) -> bool:
    """Whether the 95% interval of the difference of two shares leaves out 0.

    Newcombe's method 10 (1998, doi 10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I), which takes the
    samples for independent: on the same samples it is careful. False where a score has no interval.
    """
    high, low = (one, other) if one.value >= other.value else (other, one)
    if high.low is None or low.high is None:
        return False
    return high.value - low.value > math.hypot(high.value - high.low, low.high - low.value)


def _tied(best: Score | None, score: Score | None) -> bool:
    return best is not None and score is not None and not told_apart(best, score)


def _cost(trial: Trial, field: Field) -> float:
    """A number of which less is better; infinite where it is not known."""
    value = value_of(trial, field)
    return math.inf if value is None else -value if field in HIGHER else value


def _height(trial: Trial) -> tuple[float, int, int]:
    """How much a trial was given: data, then epochs, then samples that it was tested on."""
    samples = 0 if trial.test is None else trial.test.samples or 0
    return (trial.rung.share, trial.rung.epochs or 0, samples)
