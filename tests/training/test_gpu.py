"""Training on a graphics processor: the whole run, there and back, its formats, its feed, and its memory."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from chipwise import api  # noqa: E402
from chipwise.core.errors import GoalMissedError  # noqa: E402
from chipwise.training import train as trainer  # noqa: E402
from chipwise.training.carried import Carried  # noqa: E402
from chipwise.training.feed import Feed, sent_to  # noqa: E402
from chipwise.training.loop import Batch, Lesson, learn_batch, run_epoch  # noqa: E402
from chipwise.training.optimizer import build_optimizer  # noqa: E402
from chipwise.training.place import has_tf32, place_of  # noqa: E402
from chipwise.training.precision import fp32_products  # noqa: E402
from chipwise.training.settings import Settings  # noqa: E402
from chipwise.training.watch import watch_of  # noqa: E402

from . import tiny  # noqa: E402
from .test_device import lesson_on  # noqa: E402
from .test_divergence import Gradient, Wrong  # noqa: E402

pytestmark = [
    pytest.mark.runtime,
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA"),
]

CUDA = torch.device("cuda", 0)
THERE = dataclasses.replace(tiny.SETTINGS, device="cuda")


def test_a_run_learns_what_the_processor_learns(tmp_path: Path) -> None:
    there, here = (
        tiny.run(tmp_path / each.device, settings=each) for each in (THERE, dataclasses.replace(THERE, device="cpu"))
    )
    (row,) = map(json.loads, (tmp_path / "cuda" / "runs.jsonl").read_text().splitlines())
    assert row["trained_on"] == "cuda:0"
    assert there.test is not None
    assert here.test is not None
    assert there.history[0].train_loss == pytest.approx(here.history[0].train_loss, rel=0.3), "dropout draws others"
    assert there.test.value > 0.8


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
@pytest.mark.parametrize("form", ["fused", "foreach", "for-loop"])
def test_all_formats_and_forms(tmp_path: Path, precision: str, form: str) -> None:
    if precision == "tf32" and not has_tf32(CUDA):
        pytest.skip("no tf32")
    settings = dataclasses.replace(THERE, precision=precision, optimizer_form=form, ema=0.9, clip_norm=1.0)
    result = tiny.run(tmp_path, settings=settings)
    assert result.test is not None
    assert result.test.value > 0.7


@pytest.mark.parametrize(("first", "then"), [("cuda", "cpu"), ("cpu", "cuda")])
def test_a_run_goes_on_on_another_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str, then: str
) -> None:
    monkeypatch.setattr(trainer, "_CHECKPOINT_SHARE", 1e9)

    def stop(step: int) -> None:
        if step == 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tiny.run(tmp_path, tiny.tiny(stop), dataclasses.replace(THERE, device=first))
    module = tiny.tiny()
    result = tiny.run(tmp_path, module, dataclasses.replace(THERE, device=then))
    assert len(result.history) == THERE.epochs
    assert {value.device.type for value in module.parameters()} == {"cpu"}
    assert module.steps < 6 * 12


def test_tf32_computes_otherwise_and_fp32_does_not() -> None:
    if not has_tf32(CUDA):
        pytest.skip("no tf32")
    one, two = torch.randn(2, 512, 512, device=CUDA)
    exact = one.double() @ two.double()
    errors = {}
    for precision in ("fp32", "tf32"):
        with fp32_products(precision, CUDA):
            errors[precision] = float((one @ two - exact).abs().max())
    assert errors["tf32"] > 10 * errors["fp32"]
    pictures, kernels = torch.randn(8, 64, 16, 16, device=CUDA), torch.randn(64, 64, 3, 3, device=CUDA)
    exact = nn.functional.conv2d(pictures.double(), kernels.double())
    with fp32_products("fp32", CUDA):
        assert float((nn.functional.conv2d(pictures, kernels) - exact).abs().max()) < 1e-3


@pytest.mark.parametrize("feeding", ["device", "pinned", "copied"])
def test_every_feed_gives_the_samples_of_main_memory(feeding: str) -> None:
    host = Feed(torch.randn(1000, 3, 16, 16), torch.arange(1000) % 7)
    feed = sent_to(CUDA, host, feeding)
    assert isinstance(feed, Feed if feeding == "device" else Carried)
    rows = torch.split(torch.randperm(1000), 64)
    for there, here in zip(feed.chosen(rows), host.chosen(rows), strict=True):
        assert there.device == CUDA
        assert torch.equal(there.cpu(), here)
    assert torch.equal(torch.cat([*feed.in_order(300)]).cpu(), host.inputs)


def test_no_step_waits_for_the_device() -> None:
    settings = dataclasses.replace(THERE, augment="affine", optimizer="adamw", clip_norm=1.0, l1=0.01)
    lesson = lesson_on(CUDA, settings)
    lesson = dataclasses.replace(lesson, watch=watch_of(lesson.optimizer, settings, CUDA))
    run_epoch(lesson, 1, lambda step, loss: None)
    batch = lesson.feed.first(16), lesson.feed.labels[:16].to(CUDA)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        told = learn_batch(lesson, Batch(batch[0], batch[1], batch[1]), "here")
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert told() > 0


def test_what_breaks_is_named_and_nothing_was_learned_of_it() -> None:
    feed = sent_to(CUDA, Feed(torch.randn(40, 4), torch.arange(40) % 2), "device")
    settings = Settings(epochs=1, batch_size=8, augment="none", clip_norm=1.0)
    module = Wrong(Gradient.apply).to(CUDA)
    optimizer = build_optimizer(module, settings)
    lesson = Lesson(module, optimizer, feed, settings, watch=watch_of(optimizer, settings, CUDA))
    with pytest.raises(GoalMissedError, match=r"step 1 of 5: the gradient of first.1 \(Linear\) is the first"):
        run_epoch(lesson, 1, lambda step, loss: None)
    assert all(bool(torch.isfinite(value).all()) for value in module.parameters())


def test_state_in_main_memory_learns_the_same() -> None:
    found = []
    for host in (False, True):
        lesson = lesson_on(CUDA, dataclasses.replace(THERE, state_on_host=host, augment="none"))
        lesson.module.layers[3].p = 0.0
        run_epoch(lesson, 1, lambda step, loss: None)
        state = {value.device.type for row in lesson.optimizer.state.values() for value in row.values() if value.ndim}
        assert state == {"cpu" if host else "cuda"}
        found.append(torch.cat([value.detach().flatten().cpu() for value in lesson.module.parameters()]))
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("network", ["mlp-4096", "resnet20"])
@pytest.mark.parametrize("given", [{}, {"state_on_host": True}, {"optimizer": "sgd"}])
def test_the_peak_is_within_a_twentieth_of_what_was_predicted(
    tmp_path: Path, network: str, given: dict[str, object]
) -> None:
    result = api.train(
        network,
        "digits",
        folder=tmp_path,
        memory="8GB",
        device="cuda",
        epochs=1,
        batch_size=256,
        augment="none",
        **given,
    )
    assert result.memory is not None
    assert result.memory.measured_bytes is not None
    assert result.memory.predicted_bytes == pytest.approx(result.memory.measured_bytes, rel=0.05)


def test_a_tuning_tries_what_only_such_devices_have(tmp_path: Path) -> None:
    found = api.tune("lenet5", "digits", budget_s=20, device="cuda")
    tried = {value for row in found.rows for value in row.changes.values()}
    assert {"pinned", "device"} <= tried
    assert ("tf32" in tried) is has_tf32(place_of("cuda"))
