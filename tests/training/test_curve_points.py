"""Where a curve underfits and overfits, on curves that are made up."""

from __future__ import annotations

import math

import numpy as np
import pytest

from chipwise.core.curve import CurvePoint
from chipwise.core.estimate import Interval
from chipwise.tasks.metrics import wilson
from chipwise.training.curves.advice import advice
from chipwise.training.curves.points import Measured, mark_of, paired_rise, points_of
from chipwise.training.curves.runs import Errors

COUNT = 1000


def measured(at: float, train: float, validation: float, *, seeds: int = 1, samples: int = 5000) -> Measured:
    """The first so many validation samples are wrong, so that errors of two points are paired as closely as can be."""
    bits = np.packbits(np.arange(COUNT) < round(validation * COUNT)).tobytes()
    rows = (Errors(int(max(at, 1)), round(train * samples), samples, 0.1, 0.2, bits),)
    return Measured(at, samples, 100, rows * seeds)


def marks(*errors: tuple[float, float], kind: str = "epochs") -> list[str]:
    points = points_of(kind, [measured(place + 1.0, *each) for place, each in enumerate(errors)], COUNT)
    return [point.mark for point in points]


def test_a_run_that_underfits_then_fits_then_overfits() -> None:
    assert marks((0.5, 0.5), (0.1, 0.11), (0.04, 0.045), (0.01, 0.05), (0.0, 0.09)) == [
        "underfits", "underfits", "", "gap", "overfits",
    ]  # fmt: skip


def test_a_rise_within_the_noise_is_no_overfitting() -> None:
    assert marks((0.04, 0.05), (0.0, 0.051)) == ["", "gap"]


def test_a_rise_of_both_errors_is_no_overfitting() -> None:
    assert marks((0.01, 0.05), (0.05, 0.2)) == ["gap", "gap"]


def test_little_data_overfits_before_the_best_point() -> None:
    errors = ((0.0, 0.3), (0.0, 0.2), (0.01, 0.012))
    assert marks(*errors, kind="data") == ["overfits", "overfits", ""]
    assert marks(*errors, kind="capacity") == ["gap", "gap", ""]  # wider is better


def test_points_are_means_over_seeds() -> None:
    (point,) = points_of(
        "epochs", [Measured(1.0, 9, 7, measured(1, 0.1, 0.2).rows + measured(1, 0.3, 0.4).rows)], COUNT
    )
    assert (point.train.mid, point.validation.mid) == pytest.approx((0.2, 0.3))
    assert (point.train_seeds, point.validation_seeds) == ((0.1, 0.3), (0.2, 0.4))
    # As wide as for one seed: more seeds see no more samples.
    assert (point.validation.low, point.validation.high) == pytest.approx(wilson(0.3, COUNT))
    assert point.rise is None


def test_a_rise_is_paired_sample_by_sample() -> None:
    wrong = np.zeros(400)
    wrong[:8] = 1
    rise = paired_rise(wrong, np.zeros(400))
    spread = 1.959964 * math.sqrt(0.02 * 0.98 / 400)
    assert (rise.low, rise.mid, rise.high) == pytest.approx((0.02 - spread, 0.02, 0.02 + spread), abs=1e-6)
    assert paired_rise(wrong, wrong) == Interval(0.0, 0.0, 0.0, 0.95)
    wider = paired_rise(wrong, np.zeros(400), pairs=10)
    assert (wider.low or 0) < (rise.low or 0)


def test_what_is_certainly_above_five_per_cent_underfits() -> None:
    def point(share: float) -> CurvePoint:
        low, high = wilson(share, COUNT)
        return CurvePoint(1, 9, 9, 9, Interval(low, share, high), Interval(low, share, high))

    assert mark_of(point(0.06), worse=True) == ""
    assert mark_of(point(0.07), worse=True) == "underfits"


@pytest.mark.parametrize(
    ("kind", "errors", "told"),
    [
        ("data", [(0.3, 0.31), (0.3, 0.3)], "Not more data: it learns only 70.0% of what it is shown."),
        ("data", [(0.0, 0.3), (0.0, 0.2)], "More data: from 5,000 to 5,000 samples the validation error fell"),
        ("data", [(0.0, 0.2), (0.0, 0.199)], "Regularise or vary the samples: the validation error, 19.9%,"),
        ("data", [(0.0, 0.2), (0.02, 0.021)], "Enough data: the errors on what it learned and on what it did not meet"),
        ("capacity", [(0.3, 0.3), (0.2, 0.2)], "The widest still learns only 80.0% of what it is shown."),
        ("capacity", [(0.3, 0.3), (0.03, 0.03)], "Try wider ones: the widest is certainly the best, at 3.0%."),
        ("capacity", [(0.3, 0.3), (0.03, 0.03), (0.0, 0.1)], "Width 2 does it, with 100 parameters: 3.0%."),
        ("epochs", [(0.3, 0.3), (0.2, 0.2)], "At the end it has learned only 80.0% of what it is shown."),
        ("epochs", [(0.3, 0.3), (0.04, 0.05), (0.0, 0.2)], "Stop at epoch 2 (--epochs 2), or regularise: after it the"),
        ("epochs", [(0.3, 0.3), (0.04, 0.04)], "Train longer: every epoch before the last tenth is certainly worse"),
        ("epochs", [(0.0, 0.1), (0.0, 0.1)], "Epoch 1 does it: 10.0%. The gap that is left asks"),
    ],
)  # fmt: skip
def test_advice(kind: str, errors: list[tuple[float, float]], told: str) -> None:
    points = points_of(kind, [measured(place + 1.0, *each) for place, each in enumerate(errors)], COUNT)
    assert advice(kind, points).startswith(told)


def test_where_wider_networks_overfit_is_told() -> None:
    points = points_of("capacity", [measured(at, *each) for at, each in ((1, (0.04, 0.04)), (2, (0.0, 0.1)))], COUNT)
    assert "From width 2 on it overfits" in advice("capacity", points)


def test_what_is_not_certainly_better_is_told_beside_what_does_it() -> None:
    errors = ((1, (0.3, 0.3)), (2, (0.0, 0.03)), (9, (0.0, 0.029)))
    points = points_of("epochs", [measured(at, *each) for at, each in errors], COUNT)
    told = "Epoch 2 does it: 3.0%; the best, epoch 9 with 2.9%, is not certainly better. The gap"
    assert advice("epochs", points).startswith(told)


def test_many_points_need_more_to_overfit() -> None:
    """Of many epochs the best is the best by chance, too."""
    few = [(0.0, 0.05), (0.0, 0.06)]
    assert marks(*few) == ["gap", "overfits"]
    assert marks(*few, *[(0.0, 0.055)] * 30)[1] == "gap"
