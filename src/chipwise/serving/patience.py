"""How long a call may take before its worker is taken for hung: many times what the plan was measured to take.

A machine that is busy, swaps or was slower than the one that measured makes a call some times longer, not a hundred
times. A runtime may prepare itself anew for shapes that it has not seen of late, which the plan's time knows nothing
of: such a call may take a minute at least. Pure arithmetic.

>>> patience_s(0.2, 1.0), patience_s(0.2, 3.0), patience_s(0.0, 1.0), patience_s(0.0, 1.0, prepared=False)
(20.0, 60.0, 10.0, 60.0)
"""

from __future__ import annotations

_TIMES = 100.0  # as long as was measured
_LEAST_S, _PREPARING_S = 10.0, 60.0


def patience_s(item_s: float, items: float, *, prepared: bool = True) -> float:
    """Seconds after which a call is given up.

    Args:
        item_s: that an item took when the plan was made; 0 where that is not known.
        items: in the call; of larger items than those that were measured, as many as have as many values.
        prepared: the worker has lately answered a call of these shapes.
    """
    return max(_TIMES * item_s * items, _LEAST_S if prepared else _PREPARING_S)
