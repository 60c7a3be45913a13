"""What timings are worth: quantiles, ratios with an interval, and the noise.

>>> import numpy as np
>>> fast = np.array([1.0, 1.1, 0.9, 1.0, 1.05, 0.95])
>>> speedup(of=fast, over=2 * fast).mid
2.0
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from chipwise.core.errors import InputError
from chipwise.core.measure import Ratio, Timing

QUANTILES = 21
_RESAMPLES = 2000


def summarize(samples: ArrayLike) -> Timing:
    """Reduce seconds per call to 21 quantiles, the minimum first and the maximum last.

    Raises:
        InputError: no samples.
    """
    values = _samples(samples)
    quantiles = np.quantile(values, np.linspace(0.0, 1.0, QUANTILES))
    return Timing(count=len(values), quantiles_s=tuple(float(value) for value in quantiles))


def speedup(of: ArrayLike, over: ArrayLike, seed: int = 0) -> Ratio:
    """How much faster `of` is than `over`: the median over rounds of over/of, with its 95% bootstrap interval.

    The ratio is taken round by round, so that what slowed the whole machine for a while cancels (Kalibera and Jones,
    "Rigorous benchmarking in reasonable time", ISMM 2013, on why repetition and an interval are needed; the interval
    is Efron's percentile bootstrap). With five rounds it is the whole range of the ratios.

    Args:
        of: seconds per call, one number a round.
        over: the same rounds of what it is compared with.
        seed: of the resampling.

    Raises:
        InputError: no samples, or not the same number of rounds.
    """
    fast, slow = _samples(of), _samples(over)
    if len(fast) != len(slow):
        raise InputError(f"a ratio needs the same rounds on both sides; received {len(fast)} and {len(slow)}")
    ratios = slow / fast
    picks = np.random.default_rng(seed).integers(0, len(ratios), size=(_RESAMPLES, len(ratios)))
    low, high = np.quantile(np.median(ratios[picks], axis=1), (0.025, 0.975))
    return Ratio(mid=float(np.median(ratios)), low=float(low), high=float(high), rounds=len(ratios))


def noise(samples: ArrayLike) -> float:
    """Relative spread of the samples: interquartile range over median.

    Raises:
        InputError: no samples.
    """
    low, mid, high = np.quantile(_samples(samples), (0.25, 0.5, 0.75))
    return float((high - low) / mid)


def _samples(samples: ArrayLike) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    values = np.asarray(samples, dtype=np.float64).reshape(-1)
    if not len(values) or not np.all(values > 0):
        raise InputError(
            f"timings are positive seconds; received {len(values)} of them, smallest {values.min(initial=0)}"
        )
    return values
