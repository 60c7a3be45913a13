"""Pipelines: the bubble of equal stages, what borders cost, and what the fullest stage keeps."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chipwise.core.device import Device, Link, System
from chipwise.core.errors import InputError
from chipwise.core.estimate import EstimateRow, Interval, Workload
from chipwise.core.layer import Layer
from chipwise.cost.memory import memory_of
from chipwise.cost.staged import stage_memory, stages_of

CHIP = Device("Chip", "gpu", memory_bytes=10**10)
QUICK = System("Box", CHIP, 4, Link("wire", 1e15))
WORKLOAD = Workload("training", 8, techniques=("adam",))
LAYERS = [
    Layer(f"l{place}", "Gemm", ((8, 1000),), ((8, 1000),), 10**6, 10**9, write_bytes=32_000, saved_bytes=32_000)
    for place in range(16)
]
ROWS = [EstimateRow(layer.name, 0.01, "compute") for layer in LAYERS]
ALONE = Interval(0.15, 0.16, 0.2)


@given(st.sampled_from([2, 4, 8]), st.integers(1, 64))
def test_the_bubble_of_equal_stages(count: int, micro_batches: int) -> None:
    """Huang et al., NeurIPS 2019, section 2.3: of p stages and m micro-batches, (p-1) / (m+p-1) is waiting."""
    system = replace(QUICK, count=count)
    found = stages_of(WORKLOAD, ALONE, ROWS, LAYERS, system, micro_batches=micro_batches)
    assert found.together.efficiency.mid == pytest.approx(micro_batches / (micro_batches + count - 1), rel=0.01)
    assert [last - first for first, last in found.bounds] == [16 // count] * count
    assert found.together.batch == 8 * micro_batches
    assert found.together.step_s.low < found.together.step_s.mid < found.together.step_s.high


def test_slow_links_cost_and_are_told() -> None:
    slow = replace(QUICK, link=Link("wire", 1e8))
    quick, slower = (stages_of(WORKLOAD, ALONE, ROWS, LAYERS, each, micro_batches=8).together for each in (QUICK, slow))
    assert slower.step_s.mid > quick.step_s.mid
    assert slower.communication.low < slower.communication.mid < slower.communication.high
    assert slower.communication.mid > quick.communication.mid


def test_layers_that_take_long_stand_alone() -> None:
    rows = [replace(row, time_s=0.15 if row.name == "l3" else 0.01) for row in ROWS]
    found = stages_of(WORKLOAD, ALONE, rows, LAYERS, replace(QUICK, count=3), micro_batches=8)
    assert (3, 4) in found.bounds
    assert [first for first, _ in found.bounds[1:]] == [last for _, last in found.bounds[:-1]]


def test_what_is_not_known_is_not_told() -> None:
    assert stages_of(WORKLOAD, ALONE, ROWS, LAYERS, replace(QUICK, link=None), micro_batches=8) is None
    assert stages_of(WORKLOAD, Interval(0.1, None, None), ROWS, LAYERS, QUICK, micro_batches=8) is None
    with pytest.raises(InputError, match="16 parts"):
        stages_of(WORKLOAD, ALONE, ROWS, LAYERS, replace(QUICK, count=17), micro_batches=8)


@pytest.mark.parametrize("micro_batches", [1, 2, 8])
def test_the_first_stage_keeps_what_is_on_its_way(micro_batches: int) -> None:
    bounds = ((0, 4), (4, 8), (8, 12), (12, 16))
    use, held = stage_memory(LAYERS, CHIP, WORKLOAD, bounds, micro_batches)
    whole = memory_of(LAYERS, CHIP, WORKLOAD)
    assert use.weights == whole.weights / 4
    assert use.optimizer == whole.optimizer / 4
    assert use.saved == min(4, micro_batches) * whole.saved / 4
    assert held.low <= held.mid <= held.high == use.device_bytes
