"""Memory of each of several copies that share out what they keep: ZeRO, in its three stages.

Stage 1 shares out the optimizer's state, stage 2 gradients too, stage 3 weights too (FSDP); what is saved for the
backward pass, and what a layer needs while it runs, each keeps for itself. Rajbhandari, Rasley, Ruwase and He, "ZeRO:
memory optimizations toward training trillion parameter models", SC 2020, section 5.

>>> use = MemoryUse(weights=4000, activations=100, saved=500, gradients=4000, optimizer=8000)
>>> shared, held = sharded(use, Interval(12_500, 16_000, 16_600), stage=2, count=4, largest=400)
>>> shared.weights, shared.gradients, shared.optimizer, held.mid, held.high
(4000, 1000, 2000, 7600, 7600)
"""

from __future__ import annotations

import math
from dataclasses import replace

from chipwise.core.errors import InputError
from chipwise.core.estimate import Interval, MemoryUse

STAGES = (0, 1, 2, 3)
# Layers whose weights are there as a whole at once in stage 3: the one that runs, and the next that is fetched.
_GATHERED = 2


def sharded(
    use: MemoryUse, held: Interval | None, *, stage: int, count: int, largest: int
) -> tuple[MemoryUse, Interval | None]:
    """What one of the copies keeps.

    Args:
        use: of a copy by itself.
        held: its total as an interval, as of `memory_interval`; None where that is not known.
        stage: 0 to 3; 0 shares out nothing.
        count: of copies.
        largest: bytes of the weights of the largest layer.

    Raises:
        InputError: no such stage, or no copy.
    """
    if stage not in STAGES or count < 1:
        raise InputError(f"stage {stage} of ZeRO among {count} copies", hint="stages are 0 to 3, among 1 copy or more")
    if stage == 0 or count == 1:
        return use, held
    whole = stage == max(STAGES)
    made = replace(
        use,
        optimizer=_share(use.optimizer, count),
        gradients=_share(use.gradients, count) if stage > 1 else use.gradients,
        weights=_share(use.weights, count) if whole else use.weights,
        copies=_share(use.copies, count) if whole else use.copies,
        workspace=use.workspace + (min(_GATHERED * largest, use.weights) if whole else 0),
    )
    if held is None:
        return made, None
    kept = made.weights + made.optimizer + made.copies
    gone = use.weights + use.optimizer + use.copies - kept
    gathered = made.workspace - use.workspace
    mid = None if held.mid is None else min(held.mid - gone + gathered, made.device_bytes)
    return made, Interval(kept + max(made.saved, made.gradients), mid, made.device_bytes, held.coverage)


def _share(size: int, count: int) -> int:
    return math.ceil(size / count)
