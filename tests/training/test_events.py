"""Event files of runs that go on are read in the order in which they were written."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("tensorboard")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from chipwise.core.epoch import Epoch
from chipwise.training.events import event_log

RUNS = 12  # TensorBoard's names end in a number: the tenth of a second would come before the ninth


def test_runs_that_go_on_within_a_second_are_read_in_their_order(tmp_path: Path) -> None:
    for first in range(1, RUNS + 1):
        with event_log(tmp_path, first) as log:
            log(Epoch(first, train_loss=1 / first, val_loss=0.4, val_accuracy=0.9, learning_rate=0.01, seconds=1.0))
    read = EventAccumulator(str(tmp_path)).Reload().Scalars("loss/train")
    assert [each.step for each in read] == list(range(1, RUNS + 1))
    assert [each.value for each in read] == pytest.approx([1 / step for step in range(1, RUNS + 1)])
