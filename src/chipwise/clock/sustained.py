"""A rate that is held, measured on a machine that others may be using.

A call is repeated in blocks long enough for the system's own accounting. Blocks during which other processes, or other
guests of the same host ("steal"), had the processor are thrown away and taken again, as long as there is time.

>>> reached = sustained(lambda: sum(range(2000)), work=2000, deadline_s=0.3)
>>> reached.rate > 0 and reached.repeats >= 1
True
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from chipwise.clock.interleave import Timer
from chipwise.core.measured import Sustained

# The system counts in hundredths of a second: a block must be many of them.
_BLOCK_S = 0.08
_PIECE_S = 0.001  # long enough for the clock
_REPEATS = 5
# Others had this share of one processor.
_DISTURBED_SHARE = 0.15
_STAT = Path("/proc/stat")
_BUSY = (0, 1, 2, 5, 6, 7)  # user, nice, system, irq, softirq, steal: man 5 proc_stat


def busy_s() -> float | None:
    """Seconds that all processors were busy or taken away since the machine started; None where it does not say."""
    try:
        fields = _STAT.read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
        return sum(int(fields[index]) for index in _BUSY if index < len(fields)) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, AttributeError):
        return None


@dataclass(frozen=True, slots=True)
class Watch:
    """Where a measurement looks: the clock, and how busy the whole machine was."""

    timer: Timer = field(default_factory=Timer)
    busy: Callable[[], float | None] = busy_s

    def block(self, call: Callable[[], object], pieces: int, count: int) -> tuple[float, float, bool]:
        """Repeat `count` calls in each of some pieces.

        Returns:
            seconds a call, the median of the pieces, so that a piece in which the call had to wait does not count; the
            seconds that all took; and whether others were at work meanwhile.
        """
        timer = self.timer
        own, busy = timer.cpu(), self.busy()
        marks = [timer.now()]
        for _ in range(pieces):
            for _ in range(count):
                call()
            marks.append(timer.now())
        usual, elapsed = float(np.median(np.diff(marks))) / count, marks[-1] - marks[0]
        after = self.busy()
        others = 0.0 if busy is None or after is None else (after - busy) - (timer.cpu() - own)
        return max(usual, 1e-9), elapsed, others > _DISTURBED_SHARE * elapsed + 2 / 100


def sustained(
    call: Callable[[], object], work: float, *, deadline_s: float, watch: Watch | None = None, repeats: int = _REPEATS
) -> Sustained:
    """Measure how much work a second is done.

    Args:
        call: what is repeated; warmed up first.
        work: of one call, in whatever unit the rate shall have.
        deadline_s: no further block starts after so many seconds.
        watch: where time comes from.
        repeats: undisturbed blocks wanted.

    Returns:
        the median rate of the undisturbed blocks; where all were disturbed, that of the faster half of all.
    """
    watch = watch or Watch()
    start = watch.timer.now()
    call()
    once, _, _ = watch.block(call, 1, 1)
    count = max(1, math.ceil(_PIECE_S / once))
    pieces = max(1, math.ceil(_BLOCK_S / (count * once)))
    clean: list[float] = []
    dirty: list[float] = []
    while len(clean) < repeats:
        usual, elapsed, disturbed = watch.block(call, pieces, count)
        (dirty if disturbed else clean).append(work / usual)
        spent = watch.timer.now() - start
        if spent + elapsed > deadline_s:
            break
    kept = clean if len(clean) > 1 or not dirty else sorted(clean + dirty)[-max(1, (len(clean) + len(dirty)) // 2) :]
    low, mid, high = np.quantile(kept, (0.25, 0.5, 0.75))
    return Sustained(float(mid), float((high - low) / mid), len(clean) + len(dirty), len(dirty))
