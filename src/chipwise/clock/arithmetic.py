"""The size at which arithmetic is fastest, and the rate that is held there.

>>> size, best = fastest(lambda size: lambda: sum(range(size)), float, "product", deadline_s=0.5)
>>> size in SIZES["product"] and best.rate > 0
True
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from chipwise.clock.sustained import Watch, sustained
from chipwise.core.errors import MachineError
from chipwise.core.measured import Sustained

# Sides of matrices; values in one transform. Ascending, so that a slow machine stops early.
SIZES = {"product": (256, 512, 1024, 2048), "fft": (256, 1024, 4096, 16384)}
# A first look at a size takes this share of the time, and the best one gets the rest.
_LOOK = 0.12
# The next size takes eight times as long: not worth it where a call takes this share of the time.
_SLOW = 0.1


def fastest(
    make: Callable[[int], Callable[[], object]],
    operations: Callable[[int], float],
    work: Literal["product", "fft"],
    *,
    deadline_s: float,
    watch: Watch | None = None,
) -> tuple[int, Sustained] | None:
    """Find the best size by a short look at each, then measure it properly.

    Args:
        make: prepares a size and gives the call.
        operations: of one call at a size.
        work: which sizes are tried.
        deadline_s: for all of it, making included.
        watch: where time comes from.

    Returns:
        the best size and its rate; None where the library refuses the arithmetic.
    """
    watch = watch or Watch()
    end = watch.timer.now() + deadline_s
    best: tuple[float, int, Callable[[], object]] | None = None
    for size in SIZES[work]:
        try:
            call = make(size)
            look = sustained(call, operations(size), deadline_s=_LOOK * deadline_s, watch=watch, repeats=1)
        except (MachineError, RuntimeError, NotImplementedError):  # the last two: what PyTorch raises without a kernel
            break
        best = max(best or (0.0, size, call), (look.rate, size, call), key=lambda seen: seen[0])
        if operations(size) / look.rate > _SLOW * deadline_s or watch.timer.now() > end - deadline_s / 2:
            break
    if best is None:
        return None
    left = max(0.01, end - watch.timer.now())
    return best[1], sustained(best[2], operations(best[1]), deadline_s=left, watch=watch)
