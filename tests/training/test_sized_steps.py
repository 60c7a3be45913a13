"""Steps that are timed are steps of training: weights move, in the precision asked for, with the threads that were."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from chipwise.training import sized_steps
from chipwise.training.sized_steps import step_settings, step_times


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_weights_move(precision: str) -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(18, 3))
    before = [value.detach().clone() for value in module.parameters()]
    threads = torch.get_num_threads()
    times = step_times(module, (1, 5, 5), 3, step_settings(4, precision, cores=1), budget_s=0.0)
    assert len(times) == 5
    assert (times > 0).all()
    assert all(not torch.equal(one, other) for one, other in zip(before, module.parameters(), strict=True))
    assert torch.get_num_threads() == threads


def test_the_same_seed_gives_the_same_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(sized_steps, "step_of", lambda lesson: seen.append(lesson.feed.inputs) or (lambda: None))
    for seed in (1, 1, 2):
        step_times(nn.Linear(4, 2), (4,), 2, step_settings(8, seed=seed), budget_s=0.0)
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2])
