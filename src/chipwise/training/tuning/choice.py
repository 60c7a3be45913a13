"""Which of several ways is kept: the simplest that none of the others beats beyond the noise.

So a change stays only where it is a gain, alone or together with others, and what only helps in pairs is found where
pairs were timed.

>>> import numpy as np
>>> rounds = np.array([1.0, 1.1, 1.05, 0.95, 1.02])
>>> simplest({"plain": 2 * rounds, "both": rounds, "one": 2.1 * rounds}, {"plain": 0, "one": 1, "both": 2})
'both'
>>> simplest({"plain": 1.01 * rounds, "both": rounds}, {"plain": 0, "both": 2})
'plain'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from chipwise.clock.statistics import speedup

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from chipwise.core.measure import PairedDrop, Ratio

LEAST = 0.02  # a gain that is less is not worth a change
MAX_DROP = 0.01  # of accuracy, one-sided 95% upper bound: as of `compile --max-drop`
_SIGNIFICANT = 0.05


def wins(ratio: Ratio) -> bool:
    """Whether it is faster: 1 lies below its 95% interval, and the middle is more than a trifle above it."""
    return ratio.low > 1 and ratio.mid >= 1 + LEAST


def simplest(samples: Mapping[str, NDArray[np.float64]], cost: Mapping[str, int]) -> str:
    """The way with the fewest changes that the fastest one does not beat.

    Args:
        samples: seconds a step (or a sample) of each way, one number a round, the same rounds for all.
        cost: changes of each; of several with as many the fastest is taken.
    """
    middle = {name: float(np.median(values)) for name, values in samples.items()}
    fastest = min(middle, key=lambda name: middle[name])
    for name in sorted(samples, key=lambda name: (cost[name], middle[name])):
        if name == fastest or not wins(speedup(samples[fastest], samples[name])):
            return name
    return fastest


def why_not(ratio: Ratio) -> str:
    """Why a way is not kept, from its speed-up over what it was to replace."""
    if wins(ratio):
        return "faster, but another is faster or simpler"
    return "slower" if ratio.high < 1 else "not faster beyond the noise"


def worse(drop: PairedDrop) -> bool:
    """Whether accuracy fell, and not by chance (McNemar's test at 5%)."""
    return drop.drop > 0 and drop.p_value < _SIGNIFICANT


def unsafe(drop: PairedDrop) -> str:
    """Why learning so is not taken for as good; empty where it is."""
    if worse(drop):
        return f"accuracy falls by {100 * drop.drop:.1f} points"
    if drop.upper > MAX_DROP:
        return f"a fall of up to {100 * drop.upper:.1f} points is not excluded"
    return ""
