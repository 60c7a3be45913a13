"""What a small trial says about a large one: errors fall and seconds rise as powers of the share of the work.

>>> law = PowerLaw(slope=1.0)
>>> law.see(0.25, 1.0, 1.0, 2.0)           # four times the work took twice as long: the exponent was 0.5
>>> law.at(1.0, share=0.25, wanted=1.0) < 4.0
True
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import NormalDist

_NORMAL = NormalDist()
_PRIOR_PAIRS = 0.5  # what the first guess weighs against pairs that were measured
_LEAST = 1e-4  # below, errors and seconds are all the same


@dataclass(slots=True)
class PowerLaw:
    """value(wanted) = value(share) * (wanted / share) ** slope, the slope being learned from pairs.

    Attributes:
        slope: what is assumed before anything is measured.
        pairs: slopes that were measured.
    """

    slope: float
    pairs: list[float] = field(default_factory=list)

    def see(self, share: float, wanted: float, small: float, large: float) -> None:
        """Learn from one contestant that was measured at two shares."""
        if wanted > share:
            self.pairs.append(math.log(max(large, _LEAST) / max(small, _LEAST)) / math.log(wanted / share))

    def exponent(self) -> float:
        """The slope, of what was assumed and what was measured."""
        return (self.slope * _PRIOR_PAIRS + sum(self.pairs)) / (_PRIOR_PAIRS + len(self.pairs))

    def at(self, value: float, *, share: float, wanted: float) -> float:
        """The value at another share."""
        return max(value, _LEAST) * math.exp(self.exponent() * math.log(wanted / share))


def expected_gain(best: float, error: float, spread: float) -> float:
    """By how much an error is expected to fall below the best, where its logarithm is normal.

    >>> round(expected_gain(0.1, 0.05, 1e-9), 6)
    0.05

    Args:
        best: the lowest so far.
        error: the median that is expected.
        spread: standard deviation of its logarithm.
    """
    best, error, spread = max(best, _LEAST), max(error, _LEAST), max(spread, 1e-6)
    place = math.log(best / error) / spread
    return max(0.0, best * _NORMAL.cdf(place) - error * math.exp(spread**2 / 2) * _NORMAL.cdf(place - spread))
