"""Systems of several devices: what copies lose, what a slow link costs, and what is not known is not told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chipwise.core.device import Device, Link, System
from chipwise.core.estimate import Interval, Workload
from chipwise.core.layer import Layer
from chipwise.cost.together import Sharing, copies_of, side_by_side

BOX = System("Box", Device("Chip", "gpu"), 8, Link("wire", 300e9))
LAYERS = [Layer(str(number), "Gemm", (), (), flops=10**9, parameters=10**6) for number in range(4)]
TRAINING = Workload(phase="training", batch=32)
STEP = Interval(0.09, 0.1, 0.12, 0.8)


def test_copies_lose_what_published_ones_do() -> None:
    """Nothing shows of 16 MB over such a link; three doublings lose 3 x 3.4% of a step."""
    found = copies_of(TRAINING, STEP, LAYERS, BOX)
    assert found.efficiency.mid == pytest.approx(1 / (1 + 3 * 0.034), rel=1e-3)
    assert found.step_s.mid == pytest.approx(0.1 / found.efficiency.mid)
    assert found.step_s.low >= STEP.low
    assert found.step_s.high > STEP.high
    assert found.efficiency.low < found.efficiency.mid < found.efficiency.high < 1
    assert (found.batch, found.link, found.items_s.mid) == (256, "wire", pytest.approx(256 / found.step_s.mid))


@given(st.floats(1e8, 1e12), st.integers(2, 256))
def test_slower_links_and_more_copies_are_no_faster(bytes_s: float, count: int) -> None:
    box = replace(BOX, link=Link("wire", bytes_s), count=count)
    found = copies_of(TRAINING, STEP, LAYERS, box)
    slower = copies_of(TRAINING, STEP, LAYERS, replace(box, link=Link("wire", bytes_s / 2)))
    more = copies_of(TRAINING, STEP, LAYERS, replace(box, count=2 * count))
    assert slower.step_s.mid >= found.step_s.mid
    assert more.efficiency.mid < found.efficiency.mid


def test_what_is_not_known_is_not_told() -> None:
    assert copies_of(TRAINING, STEP, LAYERS, replace(BOX, link=None)) is None
    assert copies_of(TRAINING, Interval(0.1, None, None), LAYERS, BOX) is None
    assert copies_of(TRAINING, STEP, LAYERS, replace(BOX, count=1)) is None
    assert side_by_side(Workload(), STEP, replace(BOX, count=1)) is None


def test_answers_side_by_side_share_nothing() -> None:
    found = side_by_side(Workload(batch=4), STEP, BOX)
    assert (found.batch, found.step_s, found.link) == (32, STEP, "")
    assert found.items_s.mid == pytest.approx(320)


SLOW = replace(BOX, link=Link("wire", 1e9))


def test_communication_is_what_the_rest_of_a_step_is_not() -> None:
    found = copies_of(TRAINING, STEP, LAYERS, SLOW)
    assert found.communication.mid == pytest.approx(1 - found.efficiency.mid * (1 + 3 * 0.034), rel=1e-6)
    assert 0 < found.communication.low < found.communication.mid < found.communication.high < 1
    assert copies_of(TRAINING, STEP, LAYERS, BOX).communication.low < 1e-3
    assert side_by_side(Workload(batch=4), STEP, BOX).communication is None


def test_micro_batches_exchange_once() -> None:
    """Four of them take four times as long, and what is exchanged is the same; ZeRO-1 sends no more than that."""
    once, four = (copies_of(TRAINING, STEP, LAYERS, SLOW, Sharing(times)) for times in (1, 4))
    exposed = [found.step_s.mid * found.communication.mid for found in (once, four)]
    assert exposed[0] == pytest.approx(exposed[1])
    assert four.batch == 4 * once.batch
    assert four.efficiency.mid > once.efficiency.mid
    assert copies_of(TRAINING, STEP, LAYERS, SLOW, Sharing(4, zero=1)) == four


@given(st.integers(1, 8))
def test_what_is_shared_out_is_sent_more_often(times: int) -> None:
    stages = [copies_of(TRAINING, STEP, LAYERS, SLOW, Sharing(times, zero)).step_s.mid for zero in range(4)]
    assert stages == sorted(stages)
    assert stages[3] > stages[0]
    assert (stages[2] > stages[1]) == (times > 1)
