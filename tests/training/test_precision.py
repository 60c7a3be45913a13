"""fp16: weights stay fp32, torch scales the loss, and a step whose gradient overflows is left out."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from msgspec import UNSET  # noqa: E402
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: E402
from torch import nn  # noqa: E402

from chipwise.core.epoch import Epoch, Scaling  # noqa: E402
from chipwise.core.errors import GoalMissedError, MachineError  # noqa: E402
from chipwise.datasets.by_name import load  # noqa: E402
from chipwise.training import train as trainer  # noqa: E402
from chipwise.training.average import average_of  # noqa: E402
from chipwise.training.feed import Feed  # noqa: E402
from chipwise.training.loop import Batch, Lesson, Trained, learn_batch, run_epoch  # noqa: E402
from chipwise.training.optimizer import build_optimizer  # noqa: E402
from chipwise.training.precision import check_computes, resume_scaling, scaler_of, tell_scaling  # noqa: E402
from chipwise.training.seeds import seeded  # noqa: E402
from chipwise.training.settings import Settings  # noqa: E402
from chipwise.training.teacher import Teacher  # noqa: E402

from . import tiny  # noqa: E402
from .test_resume import STEPS, assert_same  # noqa: E402

pytestmark = pytest.mark.runtime

FP16 = Settings(epochs=1, batch_size=8, augment="none", precision="fp16", learning_rate=0.01, schedule="constant")
FIRST = 2.0**16  # torch's first scale


class Factor(torch.autograd.Function):
    """What it is given, with a gradient so many times as large."""

    @staticmethod
    def forward(context: object, x: torch.Tensor, factor: float) -> torch.Tensor:
        context.factor = factor  # type: ignore[attr-defined]
        return x.clone()

    @staticmethod
    def backward(context: object, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient * context.factor, None  # type: ignore[attr-defined]


class Bursts(nn.Module):
    """Two layers; the gradient that passes between them is infinite in some steps, counted from 1."""

    def __init__(self, *steps: int) -> None:
        super().__init__()
        with seeded(3):
            self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 2)
        self.bursts, self.step = steps, 0
        self.seen: set[torch.dtype] = set()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.step += self.training
        middle = Factor.apply(self.first(x), float("inf") if self.step in self.bursts else 1.0)
        self.seen.add(middle.dtype)
        return self.last(middle)  # type: ignore[no-any-return]


def lesson_of(module: nn.Module, settings: Settings = FP16, samples: int = 32, **parts: object) -> Lesson:
    with seeded(4):
        inputs = torch.randn(samples, 4)
    feed = Feed(inputs, (inputs[:, 0] > 0).long())
    optimizer, scaler = build_optimizer(module, settings), scaler_of(settings.precision)
    return Lesson(module, optimizer, feed, settings, scaler=scaler, **parts)  # type: ignore[arg-type]


def learned(lesson: Lesson) -> Trained:
    return run_epoch(lesson, 1, lambda step, loss: None)


def weights(module: nn.Module) -> torch.Tensor:
    return torch.cat([value.detach().flatten() for value in module.parameters()])


def whole_batch(lesson: Lesson) -> Batch:
    return Batch(lesson.feed.inputs, lesson.feed.labels, lesson.feed.labels)


def test_digits_are_learned_as_in_fp32(tmp_path: Path) -> None:
    data, right = load("digits"), {}
    for precision in ("fp32", "fp16"):
        settings = Settings(epochs=16, batch_size=64, threads=1, augment="none", precision=precision)
        with seeded(0):
            module = nn.Sequential(
                nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 10)
            )
        teacher = Teacher(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), share=0.01, precision=precision, digest="0")
        result = trainer.train(module, tiny.NETWORK, data, settings, tmp_path / precision, teacher=teacher)
        assert result.test is not None
        right[precision] = result.test.value
        assert {value.dtype for value in module.parameters()} == {torch.float32}
    assert right["fp32"] > 0.93
    assert right["fp16"] > right["fp32"] - 0.02


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("form", ["fused", "foreach"])
@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_an_overflow_skips_the_step_and_halves_the_scale(optimizer: str, form: str, clip_norm: float | None) -> None:
    """Two of four steps overflow, the first among them: what is left is as if only the others had been."""
    settings = dataclasses.replace(FP16, optimizer=optimizer, optimizer_form=form, clip_norm=clip_norm)
    module, other = Bursts(1, 3), Bursts()
    lesson = lesson_of(module, settings, average=average_of(module, 0.9))
    assert learned(lesson).scaling == Scaling(scale=FIRST / 4, skipped=2, steady=1)
    assert module.seen == {torch.float16}
    assert lesson.average is not None
    assert int(lesson.average.n_averaged) == 2

    again = lesson_of(other, settings)
    with seeded(settings.seed, "epoch", 1):
        order = torch.randperm(32)
    other.train()
    for group in again.optimizer.param_groups:
        group["lr"] = settings.learning_rate
    for step in (1, 3):
        chosen = order[8 * step : 8 * step + 8]
        labels = again.feed.labels[chosen]
        learn_batch(again, Batch(again.feed.inputs[chosen], labels, labels), "here")
    torch.testing.assert_close(weights(module), weights(other), rtol=1e-4, atol=1e-5)


def test_a_first_step_that_is_skipped_leaves_the_optimizer_as_it_was() -> None:
    """Torch's fused SGD would make momentum of memory that nobody has written."""
    lesson = lesson_of(Bursts(1), dataclasses.replace(FP16, optimizer="sgd"), samples=8)
    learned(lesson)
    assert not any(lesson.optimizer.state.values())


def test_the_scale_doubles_after_a_while() -> None:
    lesson = lesson_of(Bursts())
    lesson.scaler.set_growth_interval(3)
    assert learned(lesson).scaling == Scaling(scale=2 * FIRST, skipped=0, steady=1)


def test_gradients_are_clipped_as_they_are_and_not_as_scaled() -> None:
    settings = dataclasses.replace(FP16, optimizer="sgd", momentum=0.0, weight_decay=0.0, learning_rate=1.0)
    moved = {}
    for clip_norm in (None, 0.05):
        module = Bursts()
        lesson = lesson_of(module, dataclasses.replace(settings, clip_norm=clip_norm))
        before = weights(module)
        learn_batch(lesson, whole_batch(lesson), "here")
        moved[clip_norm] = float((weights(module) - before).norm())
    assert 0.05 < moved[None] < 10, "the gradient itself"
    assert moved[0.05] == pytest.approx(0.05, rel=1e-3)


def test_parts_of_a_batch_add_up() -> None:
    moved = []
    for micro_batch in (None, 5):
        module = Bursts()
        settings = dataclasses.replace(FP16, optimizer="sgd", momentum=0.0, micro_batch=micro_batch)
        lesson = lesson_of(module, settings)
        learn_batch(lesson, whole_batch(lesson), "here")
        moved.append(weights(module))
    torch.testing.assert_close(moved[0], moved[1], rtol=1e-4, atol=1e-5)


def test_small_gradients_are_not_lost() -> None:
    """Divided by 2**22 a gradient is 0 in fp16, and is not once it is scaled."""
    module = Bursts()
    module.forward = lambda x: module.last(Factor.apply(module.first(x), 2.0**-22))  # type: ignore[method-assign]
    lesson = lesson_of(module)
    learn_batch(lesson, whole_batch(lesson), "here")
    scaled = module.first.weight.grad
    module.zero_grad()
    with torch.autocast("cpu", dtype=torch.float16):
        scores = module(lesson.feed.inputs)
    nn.functional.cross_entropy(scores.float(), lesson.feed.labels).backward()
    assert scaled is not None
    assert module.first.weight.grad is not None
    assert scaled.count_nonzero() > module.first.weight.grad.count_nonzero()


def broken(change: Callable[[torch.Tensor], torch.Tensor], **given: object) -> GoalMissedError:
    module = Bursts()
    module.forward = lambda x: module.last(change(module.first(x)))  # type: ignore[method-assign]
    lesson = lesson_of(module, dataclasses.replace(FP16, **given), samples=400)
    before = weights(module)
    with pytest.raises(GoalMissedError) as caught:
        learned(lesson)
    assert torch.equal(weights(module), before)
    assert "fp32" in caught.value.hint
    return caught.value


def test_a_loss_that_is_not_finite_still_stops() -> None:
    message = broken(lambda x: x * float("inf")).message
    assert "the loss became nan in epoch 1, step 1 of 50: the output of last (Linear) is the first" in message


@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_a_gradient_that_overflows_without_scaling_stops(clip_norm: float | None) -> None:
    message = broken(lambda x: Factor.apply(x, float("inf")), clip_norm=clip_norm).message
    assert "step 17 of 50: the gradient of first (Linear) is the first that is not finite" in message
    assert "the norm of the gradient became" in message


def test_killed_run_continues_exactly(tmp_path: Path) -> None:
    settings = dataclasses.replace(tiny.SETTINGS, precision="fp16", clip_norm=1.0)
    whole = tiny.run(tmp_path / "whole", settings=settings), tmp_path / "whole"
    folder = tmp_path / "killed"
    script = [sys.executable, str(tiny.__file__), str(folder), str(2 * STEPS + 4), "fp16", "1.0"]
    killed = subprocess.run(script, check=False, capture_output=True)
    assert killed.returncode == -9, killed.stderr.decode()
    module = tiny.tiny()
    assert_same(tiny.run(folder, module, settings), folder, whole)
    assert module.steps == 4 * STEPS


def test_the_scale_is_taken_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After overflows in the first epoch: scale, steps since, and what is told of them."""
    monkeypatch.setattr(trainer, "_CHECKPOINT_SHARE", 1e9)
    settings = dataclasses.replace(tiny.SETTINGS, precision="fp16")

    def bursting(stop: int) -> tiny.Tiny:
        def before(step: int) -> None:
            if step == stop:
                raise KeyboardInterrupt

        module = tiny.tiny(before)
        module.layers[5].register_full_backward_hook(
            lambda part, given, _: tuple(each * float("inf") for each in given) if module.steps in {3, 4, 5} else None
        )
        return module

    whole = tiny.run(tmp_path / "whole", bursting(0), settings), tmp_path / "whole"
    with pytest.raises(KeyboardInterrupt):
        tiny.run(tmp_path / "two", bursting(2 * STEPS + 2), settings)
    result = tiny.run(tmp_path / "two", tiny.tiny(), settings)
    assert_same(result, tmp_path / "two", whole)
    first, last = (each.scaling for each in (result.history[0], result.history[-1]))
    assert first is not UNSET
    assert last is not UNSET
    assert first.skipped >= 3
    assert last.scale <= FIRST / 8
    assert last.steady <= 6 * STEPS - 5
    told = [json.loads(line)["scaling"] for line in (tmp_path / "two" / "history.jsonl").read_text().splitlines()]
    assert told == [dataclasses.asdict(each.scaling) for each in result.history]
    ledger = json.loads((tmp_path / "two" / "runs.jsonl").read_text())
    assert [each["scaling"] for each in ledger["history"]] == told
    events = EventAccumulator(str(tmp_path / "two" / "events")).Reload()
    assert [round(each.value) for each in events.Scalars("steps_skipped")] == [each["skipped"] for each in told]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_records_of_other_formats_have_the_fields_that_they_had(precision: str, tmp_path: Path) -> None:
    tiny.run(tmp_path, settings=dataclasses.replace(tiny.SETTINGS, precision=precision, epochs=1))
    usual = {
        "number", "train_loss", "val_loss", "val_accuracy", "learning_rate", "seconds", "frozen", "wait_s", "steps",
    }  # fmt: skip
    for name in ("history.jsonl", "training.json", "runs.jsonl"):
        found = json.loads((tmp_path / name).read_bytes())
        assert set(found if name == "history.jsonl" else found["history"][0]) == usual


def test_a_scaler_goes_on_from_a_history() -> None:
    scaler, row = scaler_of("fp16"), Epoch(1, 0.1, 0.1, 0.9, 0.1, 1.0)
    resume_scaling(scaler, ())
    resume_scaling(scaler, (row,))
    assert tell_scaling(scaler, 0) == Scaling(FIRST, 0, 0)
    resume_scaling(scaler, (row, dataclasses.replace(row, scaling=Scaling(128.0, 7, 40))))
    assert tell_scaling(scaler, 0) == Scaling(128.0, 0, 40)


def test_a_layer_without_a_kernel_is_refused_at_once() -> None:
    class Picky(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if torch.is_autocast_enabled("cpu"):
                raise RuntimeError("no kernel for Half\nand more")
            return super().forward(x)

    module = Picky(4, 2)
    check_computes(module, torch.zeros(2, 4), "bf16")
    with pytest.raises(MachineError, match="torch cannot train this network in fp16 on this processor: no kernel"):
        check_computes(module, torch.zeros(2, 4), "fp16")
    check_computes(nn.Linear(4, 2), torch.zeros(2, 4), "fp16")
