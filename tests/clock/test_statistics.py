"""What timings are worth, on made-up samples whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from chipwise.clock.statistics import noise, speedup, summarize
from chipwise.core.errors import InputError


def timings(generator: np.random.Generator, scale: float, count: int = 40) -> np.ndarray:
    """Skewed like real ones: a floor, and now and then something slow."""
    return scale * (1 + generator.exponential(0.05, count) + (generator.random(count) < 0.05) * 0.5)


def test_quantiles_run_from_fastest_to_slowest() -> None:
    timing = summarize(np.arange(1.0, 102.0))
    assert timing.count == 101
    assert len(timing.quantiles_s) == 21
    assert (timing.quantiles_s[0], timing.median_s, timing.quantiles_s[-1]) == (1.0, 51.0, 101.0)


def test_recovers_a_known_ratio() -> None:
    generator = np.random.default_rng(0)
    ratio = speedup(of=timings(generator, 1e-3), over=timings(generator, 1.5e-3))
    assert ratio.low < 1.5 < ratio.high
    assert ratio.verdict == "faster"
    assert ratio.rounds == 40


def test_the_other_way_round_is_slower() -> None:
    generator = np.random.default_rng(0)
    assert speedup(of=timings(generator, 1.5), over=timings(generator, 1.0)).verdict == "slower"


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    verdicts = []
    for seed in range(300):
        generator = np.random.default_rng(seed)
        verdicts.append(speedup(timings(generator, 1.0), timings(generator, 1.0), seed=seed).verdict)
    same = verdicts.count("same") / len(verdicts)
    assert 0.91 <= same <= 0.99


def test_what_slows_a_whole_round_cancels() -> None:
    generator = np.random.default_rng(0)
    weather = 1 + 3 * generator.random(20)
    ratio = speedup(of=weather, over=1.02 * weather)
    assert (ratio.low, ratio.high) == pytest.approx((1.02, 1.02))
    assert ratio.verdict == "faster"


def test_the_same_seed_gives_the_same_interval() -> None:
    generator = np.random.default_rng(0)
    first, second = timings(generator, 1.0), timings(generator, 1.0)
    assert speedup(first, second, seed=1) == speedup(first, second, seed=1)


def test_noise_is_the_middle_half_over_the_median() -> None:
    assert noise([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(2 / 3)
    assert noise([2.0, 2.0, 2.0]) == 0.0


def test_what_cannot_be_timings() -> None:
    with pytest.raises(InputError):
        summarize([])
    with pytest.raises(InputError):
        summarize([1.0, 0.0])
    with pytest.raises(InputError, match="3 and 2"):
        speedup([1.0, 1.0, 1.0], [1.0, 1.0])
