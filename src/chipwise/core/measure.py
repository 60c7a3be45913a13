"""What was measured: times with their spread, and accuracies compared pair by pair.

>>> Timing(count=3, quantiles_s=(1.0, 2.0, 3.0)).median_s
2.0
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Timing:
    """The distribution of a call's wall time.

    Attributes:
        count: number of timed calls (or blocks of calls).
        quantiles_s: an odd number of evenly spaced quantiles from the minimum to the maximum, seconds per call.
    """

    count: int
    quantiles_s: tuple[float, ...]

    def quantile_s(self, fraction: float) -> float:
        """The quantile at `fraction` (0 = fastest, 1 = slowest), linear between the stored ones."""
        position = fraction * (len(self.quantiles_s) - 1)
        below = int(position)
        above = min(below + 1, len(self.quantiles_s) - 1)
        return self.quantiles_s[below] + (self.quantiles_s[above] - self.quantiles_s[below]) * (position - below)

    @property
    def median_s(self) -> float:
        """The middle of the distribution."""
        return self.quantile_s(0.5)


@dataclass(frozen=True, slots=True)
class Ratio:
    """How much faster A is than B (time of B over time of A), from interleaved rounds.

    Attributes:
        mid: median of the per-round ratios.
        low, high: 95% bootstrap interval of that median.
        rounds: number of rounds.
    """

    mid: float
    low: float
    high: float
    rounds: int

    @property
    def verdict(self) -> Literal["faster", "slower", "same"]:
        """What follows for A against B: nothing is concluded when 1 lies inside the interval."""
        return "faster" if self.low > 1 else "slower" if self.high < 1 else "same"


@dataclass(frozen=True, slots=True)
class Accuracy:
    """A share of right answers with its 95% Wilson interval.

    Attributes:
        correct: right answers; count: all answers.
        low, high: 95% interval of the share.
    """

    correct: int
    count: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """Share of right answers, 0..1."""
        return self.correct / self.count


@dataclass(frozen=True, slots=True)
class PairedDrop:
    """Accuracy lost against the source network, on the same samples.

    Attributes:
        source: accuracy of the source network; candidate: of what is compared with it.
        lost: samples only the source got right; won: samples only the candidate got right.
        drop: (lost - won) / count.
        upper: one-sided 95% upper bound of the drop.
        needed: samples needed to show the wanted limit if none were lost; 0 when there were enough.
        p_value: how often equally good networks would differ at least so unevenly; two-sided exact McNemar test.
    """

    source: Accuracy
    candidate: Accuracy
    lost: int
    won: int
    drop: float
    upper: float
    needed: int = 0
    p_value: float = 1.0
