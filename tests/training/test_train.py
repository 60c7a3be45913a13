"""What a training run keeps, reports, and refuses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: E402

from chipwise.core.errors import DataError, GoalMissedError, InputError, NetworkError  # noqa: E402
from chipwise.datasets.dataset import make  # noqa: E402
from chipwise.training import train as trainer  # noqa: E402
from chipwise.training.evaluate import Score, evaluate  # noqa: E402
from chipwise.training.feed import Feed, feed_of  # noqa: E402

from . import tiny  # noqa: E402

pytestmark = pytest.mark.runtime


class Recorder:
    """A `Progress` that remembers."""

    def __init__(self) -> None:
        self.shares: list[float] = []
        self.messages: list[str] = []
        self.notes: list[str] = []

    def update(self, stage: str, fraction: float, message: str = "") -> None:
        assert stage == "training"
        self.shares.append(fraction)
        self.messages.append(message)

    def note(self, message: str) -> None:
        self.notes.append(message)


def test_learns_and_keeps_what_it_says(tmp_path: Path) -> None:
    progress = Recorder()
    module = tiny.tiny()
    result = trainer.train(module, tiny.NETWORK, tiny.pictures(), tiny.SETTINGS, tmp_path, progress)
    assert result.test is not None
    assert result.test.value > 0.9
    assert result.test.count == 48
    assert np.trace(result.confusion) == result.test.correct
    assert np.sum(result.confusion) == 48
    assert result.class_names == ("row", "column", "corner")
    assert (result.stopped, len(result.history), result.seed) == ("epochs done", 6, 5)
    assert result.history[-1].train_loss < result.history[0].train_loss
    assert result.parameters == sum(value.numel() for value in module.parameters())
    best = max(result.history, key=lambda epoch: (epoch.val_accuracy, -epoch.val_loss))
    assert result.best_epoch == best.number
    split = feed_of(tiny.pictures().split().validation, tiny.NETWORK, what="validation")
    assert evaluate(module, split.inputs, split.labels).loss == best.val_loss
    assert set(load_file(tmp_path / "weights.safetensors")) == set(module.state_dict())
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["number"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert progress.shares == sorted(progress.shares)
    assert progress.shares[-1] == 1.0
    assert "epoch 6/6, loss" in progress.messages[-1]
    assert "accuracy" in progress.messages[-1]


def test_events_can_be_read_by_tensorboard_and_hold_each_epoch_once(tmp_path: Path) -> None:
    def interrupt(step: int) -> None:
        if step == 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tiny.run(tmp_path, tiny.tiny(interrupt))
    result = tiny.run(tmp_path)
    events = EventAccumulator(str(tmp_path / "events"))
    events.Reload()
    assert {"loss/train", "loss/validation", "accuracy/validation", "learning_rate"} <= set(events.Tags()["scalars"])
    rows = events.Scalars("loss/validation")
    assert [row.step for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row.value for row in rows] == pytest.approx([epoch.val_loss for epoch in result.history])


def scores(monkeypatch: pytest.MonkeyPatch, *values: tuple[float, float]) -> None:
    """Let validation say these accuracies and losses, epoch by epoch."""
    left = list(values)

    def fake(module: torch.nn.Module, feed: Feed, kind: str, *, batch: int) -> Score:
        accuracy, loss = left.pop(0)
        return Score(loss, accuracy, feed.labels)

    monkeypatch.setattr(trainer, "evaluate_fed", fake)


def test_ties_in_accuracy_go_to_the_lower_loss_then_the_earlier_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores(monkeypatch, (0.8, 0.1), (0.9, 0.5), (0.9, 0.4), (0.9, 0.4), (0.7, 0.1), (0.9, 0.6))
    assert tiny.run(tmp_path).best_epoch == 3


def test_stops_at_the_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores(monkeypatch, (0.8, 0.1), (0.95, 0.1))
    result = tiny.run(tmp_path, settings=dataclasses.replace(tiny.SETTINGS, target_accuracy=0.95))
    assert (result.stopped, len(result.history)) == ("target reached", 2)


def test_stops_without_improvement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores(monkeypatch, (0.8, 0.1), (0.9, 0.1), (0.9, 0.2), (0.7, 0.1))
    result = tiny.run(tmp_path, settings=dataclasses.replace(tiny.SETTINGS, patience=2))
    assert (result.stopped, result.best_epoch) == ("no improvement for 2 epochs", 2)


def test_divergence_names_epoch_and_step(tmp_path: Path) -> None:
    wild = dataclasses.replace(tiny.SETTINGS, optimizer="sgd", learning_rate=1000.0, schedule="constant")

    def poison(step: int) -> None:
        if step == 12:
            with torch.no_grad():
                next(module.parameters()).fill_(float("nan"))

    module = tiny.tiny(poison)
    with pytest.raises(GoalMissedError, match="became nan in epoch 2, step 3 of 9") as caught:
        tiny.run(tmp_path, module, wild)
    assert "lower the learning rate (now 1000)" in caught.value.hint
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
@pytest.mark.parametrize("changes", [{}, {"precision": "bf16", "channels_last": True, "augment": "shift"}])
def test_every_optimizer_and_format_learns(optimizer: str, changes: dict[str, object], tmp_path: Path) -> None:
    settings = dataclasses.replace(tiny.SETTINGS, optimizer=optimizer, **changes)
    result = tiny.run(tmp_path, settings=settings)
    assert result.history[-1].val_accuracy > 0.8
    assert result.settings["optimizer"] == optimizer
    kept = load_file(tmp_path / "weights.safetensors")
    assert all(value.dtype != torch.bfloat16 for value in kept.values())


def test_callers_generator_and_threads_are_left_alone(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    tiny.run(tmp_path, settings=dataclasses.replace(tiny.SETTINGS, epochs=1, threads=threads + 1))
    assert torch.equal(torch.rand(2), wanted)
    assert torch.get_num_threads() == threads


def test_module_with_too_few_outputs(tmp_path: Path) -> None:
    module = tiny.tiny()
    module.layers[-1] = torch.nn.Linear(216, 2)
    with pytest.raises(NetworkError, match=r"gives \[2, 2\].*3 classes"):
        tiny.run(tmp_path, module)


def test_module_that_takes_another_shape(tmp_path: Path) -> None:
    module = tiny.tiny()
    module.layers[0] = torch.nn.Conv2d(3, 6, 3)
    with pytest.raises(NetworkError, match=r"does not take inputs of shape \[2, 1, 8, 8\]"):
        tiny.run(tmp_path, module)


def test_too_few_samples_to_validate(tmp_path: Path) -> None:
    data = make("two", np.zeros((2, 8, 8), np.uint8), np.arange(2))
    with pytest.raises(DataError, match="two: the validation split is empty"):
        trainer.train(tiny.tiny(), tiny.NETWORK, data, tiny.SETTINGS, tmp_path)


def test_arrays_train_and_are_never_augmented(tmp_path: Path) -> None:
    data = tiny.pictures()
    arrays = make("arrays", data.inputs.transpose(0, 3, 1, 2).astype(np.float32) / 255, data.labels)
    plain = dataclasses.replace(tiny.SETTINGS, augment="auto")
    result = trainer.train(tiny.tiny(), tiny.NETWORK, arrays, plain, tmp_path)
    assert result.settings["augment"] == "none"
    assert result.test is not None
    assert result.test.value > 0.9
    with pytest.raises(InputError, match="needs pictures"):
        trainer.train(tiny.tiny(), tiny.NETWORK, arrays, tiny.SETTINGS, tmp_path / "x")
