"""ZeRO: what is shared out, against the formulas of the paper, and what a stage that there is not says."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chipwise.core.errors import InputError
from chipwise.core.estimate import Interval, MemoryUse
from chipwise.cost.sharding import sharded

# Rajbhandari et al., SC 2020, figure 1: 7.5e9 parameters in 16 bits, Adam's state in 12 bytes a parameter, 64 copies.
PARAMETERS = 7.5e9
PUBLISHED_GB = {0: 120.0, 1: 31.4, 2: 16.6, 3: 1.9}


@pytest.mark.parametrize(("stage", "published"), PUBLISHED_GB.items())
def test_published_sizes(stage: int, published: float) -> None:
    use = MemoryUse(int(2 * PARAMETERS), activations=0, gradients=int(2 * PARAMETERS), optimizer=int(12 * PARAMETERS))
    made, held = sharded(use, None, stage=stage, count=64, largest=0)
    assert made.device_bytes / 1e9 == pytest.approx(published, abs=0.06)
    assert held is None


sizes = st.integers(0, 10**12)


@given(sizes, sizes, sizes, sizes, sizes, st.integers(1, 512))
def test_each_stage_takes_no_more_than_the_one_before(
    weights: int, saved: int, gradients: int, optimizer: int, largest: int, count: int
) -> None:
    use = MemoryUse(weights, activations=7, saved=saved, gradients=gradients, optimizer=optimizer)
    fixed = weights + optimizer
    held = Interval(fixed + max(saved, gradients), fixed + saved + gradients, use.device_bytes)
    found = [sharded(use, held, stage=stage, count=count, largest=0) for stage in range(4)]
    assert found[0] == (use, held)
    for (before, held_before), (after, held_after) in pairwise(found):
        assert after.device_bytes <= before.device_bytes
        assert held_before is not None
        assert held_after is not None
        assert held_after.mid <= held_before.mid
        assert held_after.low <= held_after.mid <= held_after.high


def test_the_layer_that_runs_is_whole_in_stage_3() -> None:
    use = MemoryUse(weights=8000, activations=0, gradients=8000, optimizer=0)
    made, _ = sharded(use, None, stage=3, count=8, largest=1500)
    assert (made.weights, made.gradients, made.workspace) == (1000, 1000, 3000)


@pytest.mark.parametrize(("stage", "count"), [(4, 2), (-1, 2), (1, 0)])
def test_there_are_no_others(stage: int, count: int) -> None:
    with pytest.raises(InputError, match="stages"):
        sharded(MemoryUse(1, 1), None, stage=stage, count=count, largest=0)
