"""Training on a device that is no processor: what is chosen and refused, and that nothing stays in main memory.

Torch's "meta" device computes nothing, refuses operands of two devices, and cannot tell a number: a step that runs on
it is on it with all that it needs, and waits for nothing. What is learned is compared on `cpu:0`, which is equal to no
`cpu`, and so is another device, which computes alike.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from chipwise.core.errors import GoalMissedError, InputError  # noqa: E402
from chipwise.training import place, watch  # noqa: E402
from chipwise.training import train as trainer  # noqa: E402
from chipwise.training.carried import Carried, ahead  # noqa: E402
from chipwise.training.evaluate import evaluate_fed  # noqa: E402
from chipwise.training.feed import Feed, sent_to  # noqa: E402
from chipwise.training.loop import Batch, Lesson, batch_of, learn_batch, run_epoch  # noqa: E402
from chipwise.training.optimizer import build_optimizer  # noqa: E402
from chipwise.training.place import CPU, place_of, settled  # noqa: E402
from chipwise.training.precision import check_computes, fp32_products  # noqa: E402
from chipwise.training.seeds import seeded  # noqa: E402
from chipwise.training.settings import Settings  # noqa: E402
from chipwise.training.teacher import Teacher  # noqa: E402
from chipwise.training.watch import Watch, watch_of  # noqa: E402

from . import tiny  # noqa: E402
from .test_divergence import Gradient, Wrong  # noqa: E402

pytestmark = pytest.mark.runtime

META, CUDA = torch.device("meta"), torch.device("cuda", 0)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch says that there are two, the second of which knows no tf32."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=0: f"Example {torch.device(device).index}")
    monkeypatch.setattr(place, "has_tf32", lambda device: device.type == "cuda" and device.index == 0)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.usefixtures("two_gpus")
def test_a_graphics_processor_is_chosen_where_there_is_one() -> None:
    assert place_of("auto") == CUDA
    assert place_of("cuda") == CUDA
    assert place_of("cuda:1") == torch.device("cuda", 1)
    assert place_of("cpu") == CPU
    with pytest.raises(InputError, match=r"device=cuda:2 is not here: there is cpu, cuda:0 \(Example 0\), cuda:1"):
        place_of("cuda:2")


@pytest.mark.usefixtures("no_gpu")
def test_without_one_the_processor_is_and_others_are_refused() -> None:
    assert place_of("auto") == CPU
    for asked in ("cuda", "cuda:0", "mps"):
        with pytest.raises(InputError, match=f"device={asked} is not here: there is cpu") as caught:
            place_of(asked)
        assert caught.value.hint == "--device auto, or cpu"
    for wrong in ("gpu", "cuda:", "cuda:-1", "CUDA", ""):
        with pytest.raises(InputError, match="is none"):
            Settings(device=wrong)


@pytest.mark.usefixtures("two_gpus")
def test_tf32_is_refused_where_there_is_none() -> None:
    place.check_format("tf32", CUDA)
    with pytest.raises(InputError, match=r"precision=tf32 is not to be had on cuda:1 \(Example 1\)"):
        place.check_format("tf32", torch.device("cuda", 1))
    with pytest.raises(InputError, match="precision=tf32 is not to be had on cpu"):
        check_computes(nn.Linear(2, 2), torch.zeros(1, 2), "tf32")


def flags() -> tuple[object, ...]:
    backends = torch.backends
    return (
        torch.get_float32_matmul_precision(),
        backends.cuda.matmul.fp32_precision,
        backends.cuda.matmul.allow_tf32,
        backends.cudnn.allow_tf32,
        backends.mkldnn.matmul.fp32_precision,
    )


def test_flags_of_tf32_are_put_back() -> None:
    before = flags()
    with fp32_products("tf32", CPU):
        assert flags() == before
    with fp32_products("tf32", CUDA):
        assert flags()[:4] == ("high", "tf32", True, True)
        with fp32_products("fp32", CUDA):
            assert flags()[:4] == ("highest", "ieee", False, False)
        assert flags()[:4] == ("high", "tf32", True, True)
    assert flags() == before
    with pytest.raises(ZeroDivisionError), fp32_products("tf32", CUDA):
        raise ZeroDivisionError
    assert flags() == before


def lesson_on(device: torch.device, settings: Settings, module: nn.Module | None = None, count: int = 32) -> Lesson:
    with seeded(3):
        inputs = torch.randn(count, 1, 8, 8)
    host = Feed(inputs, torch.arange(count) % 3)
    built = (module or tiny.tiny()).to(device)
    feed = host if device == CPU else sent_to(device, host, settings.feeding)
    return Lesson(built, build_optimizer(built, settings), feed, settings)


@pytest.mark.parametrize("feeding", ["auto", "copied"])
@pytest.mark.parametrize("augment", ["none", "affine,shift,crop,flip,cutout=0.5,mixup=0.2"])
def test_all_that_a_step_needs_is_on_the_device(feeding: str, augment: str) -> None:
    settings = dataclasses.replace(
        tiny.SETTINGS, feeding=feeding, augment=augment, optimizer_form="foreach", clip_norm=1.0, l1=0.1, micro_batch=7
    )
    lesson = lesson_on(META, settings)
    teacher = Teacher(tiny.tiny().eval().to(META), share=0.5)
    stopped = Watch(lesson.optimizer, META)
    del (
        lesson.optimizer.found_inf,
        lesson.optimizer.grad_scale,
    )  # only fused forms take them, and those run nowhere else
    lesson = dataclasses.replace(lesson, teacher=teacher, watch=stopped)
    assert isinstance(lesson.feed, Feed if feeding == "auto" else Carried)
    assert lesson.device == META
    chosen = torch.arange(16)
    labels = lesson.feed.labels[chosen].to(META)
    batch = batch_of(lesson, next(lesson.feed.chosen([chosen])), labels)
    assert batch.inputs.device == META
    told = learn_batch(lesson, batch, "here")
    assert {value.device for row in lesson.optimizer.state.values() for value in row.values() if value.ndim} == {META}
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta"):
        told()


def watched(lesson: Lesson) -> Lesson:
    return dataclasses.replace(lesson, watch=Watch(lesson.optimizer, CPU))


@pytest.mark.parametrize("given", [{}, {"micro_batch": 5}, {"clip_norm": 0.1}, {"optimizer": "sgd", "ema": 0.9}])
def test_a_watched_run_learns_the_same_and_tells_it_a_step_later(given: dict[str, object]) -> None:
    settings = dataclasses.replace(tiny.SETTINGS, **given)
    found = []
    for change in (lambda lesson: lesson, watched):
        lesson, told = change(lesson_on(CPU, settings)), []
        trained = run_epoch(lesson, 1, lambda step, loss, told=told: told.append((step, loss)))
        found.append((trained.loss, told, [value.tolist() for value in lesson.module.state_dict().values()]))
    assert found[0] == found[1]


def test_losses_are_looked_at_a_step_later() -> None:
    module = tiny.tiny()
    seen: list[tuple[int, int]] = []
    lesson = watched(lesson_on(CPU, tiny.SETTINGS, module, count=64))
    run_epoch(lesson, 1, lambda step, _: seen.append((step, module.steps)))
    assert seen == [(1, 2), (2, 3), (3, 4), (4, 4)]


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_watched_run_stops_at_the_step_that_broke_and_names_the_layer(optimizer: str) -> None:
    feed = Feed(torch.randn(40, 4), torch.arange(40) % 2)
    settings = Settings(epochs=3, batch_size=8, augment="none", optimizer=optimizer)

    def broken(module: nn.Module, **given: object) -> str:
        chosen = dataclasses.replace(settings, **given)
        lesson = watched(Lesson(module, build_optimizer(module, chosen), feed, chosen))
        with pytest.raises(GoalMissedError) as caught:
            run_epoch(lesson, 1, lambda step, loss: None)
        return caught.value.message

    calls, module = [], Wrong(lambda x: x)
    before = [value.clone() for value in module.parameters()]

    def once(_part: nn.Module, _given: object, result: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return result * float("inf") if len(calls) == 1 else result  # the first step is broken, the second is not

    module.first[1].register_forward_hook(once)
    assert "the loss became nan in epoch 1, step 1 of 5" in broken(module)
    assert all(torch.equal(*pair) for pair in zip(module.parameters(), before, strict=True)), "no later step was taken"
    told = "the weights of first.1 (Linear) are not finite any more: its gradient was the first that was not"
    message = broken(Wrong(Gradient.apply))
    assert "in epoch 1, step 2 of 5" in message
    assert message.endswith(told)
    clipped = Wrong(Gradient.apply)
    message = broken(clipped, clip_norm=1.0)
    assert "the norm of the gradient became nan in epoch 1, step 1 of 5" in message
    assert message.endswith("the gradient of first.1 (Linear) is the first that is not finite")
    assert all(bool(torch.isfinite(value).all()) for value in clipped.parameters())


def test_who_is_watched_and_who_is_waited_for() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))])
    assert watch_of(optimizer, Settings(), CPU) is None
    assert watch_of(optimizer, Settings(optimizer_form="foreach"), CUDA) is None
    assert watch_of(optimizer, Settings(precision="fp16"), CUDA) is None
    assert not hasattr(optimizer, "found_inf")


def test_a_late_watch_is_made_for_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "Watch", lambda optimizer, device: (optimizer, device))
    assert watch_of(None, Settings(), CUDA) == (None, CUDA)  # type: ignore[comparison-overlap, arg-type]


def test_one_batch_is_sent_before_the_one_before_it_is_used() -> None:
    done: list[str] = []

    def send(batch: str) -> Callable[[], str]:
        done.append(f"send {batch}")
        return lambda: batch

    for batch in ahead(iter("abc"), send):  # type: ignore[arg-type]
        done += [f"use {batch}"]
    assert done == ["send a", "send b", "use a", "send c", "use b", "use c"]
    assert list(ahead(iter(()), send)) == []


def test_samples_lie_on_the_device_where_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Feed(torch.zeros(10, 100), torch.zeros(10, dtype=torch.int64))
    for free, lying in ((4 * host.inputs.nbytes, True), (4 * host.inputs.nbytes - 1, False), (None, True)):
        monkeypatch.setattr("chipwise.training.feed.free_bytes", lambda _device, free=free: free)
        found = sent_to(META, host, "auto")
        assert isinstance(found, Feed) is lying
        assert found.first(2).device == META
        assert found.labels.device == CPU
    monkeypatch.setattr("chipwise.training.feed.free_bytes", lambda _device: 5000)
    with pytest.raises(InputError, match=r"feeding=device: the samples take 0 MB, and 0 MB are free"):
        sent_to(META, host, "device")
    assert isinstance(sent_to(META, host, "copied"), Carried)
    monkeypatch.setattr("chipwise.training.feed.free_bytes", lambda _device: 5000)
    pinned = sent_to(CUDA, host, "auto")
    assert isinstance(pinned, Carried)
    assert pinned.pinned


def test_batches_that_are_sent_are_those_of_main_memory() -> None:
    host = Feed(torch.arange(12.0).view(6, 2), torch.arange(6))
    carried = Carried(host, CPU, pinned=False)
    rows = [torch.tensor([5, 0]), torch.tensor([1])]
    assert [batch.tolist() for batch in carried.chosen(rows)] == [batch.tolist() for batch in host.chosen(rows)]
    assert torch.equal(torch.cat([*carried.in_order(4)]), host.inputs)
    assert len(carried) == 6
    module = nn.Linear(2, 6)
    assert evaluate_fed(module, carried, batch=4).loss == evaluate_fed(module, host, batch=4).loss


def test_where_a_run_was_trained_is_in_the_ledger_and_not_in_its_identity(tmp_path: Path) -> None:
    """A run goes on anywhere: the device is no part of what must be equal."""
    tiny.run(tmp_path, settings=dataclasses.replace(tiny.SETTINGS, epochs=1, device="cpu"))
    (row,) = map(json.loads, (tmp_path / "runs.jsonl").read_text().splitlines())
    assert row["trained_on"] == "cpu"
    state = trainer.checkpoints.state_of(tmp_path / "checkpoint" / "last.safetensors")
    assert state is not None
    assert not {"device", "feeding"} & state.identity.keys()
    again = tiny.tiny()
    tiny.run(tmp_path, again, dataclasses.replace(tiny.SETTINGS, epochs=1, feeding="pinned"))
    assert again.steps == 0, "it is the same run"


OTHER = torch.device("cpu:0")


def test_a_whole_run_on_another_device_is_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that is built anew for a device is built, and what is learned, tested and written is the same."""
    settings = dataclasses.replace(tiny.SETTINGS, ema=0.9, clip_norm=1.0)
    here = tiny.run(tmp_path / "here", settings=settings)
    monkeypatch.setattr(trainer, "place_of", lambda _: OTHER)
    monkeypatch.setattr("chipwise.training.settings.NAMED", re.compile(".*"))
    for feeding in ("auto", "copied"):
        module = tiny.tiny()
        chosen = dataclasses.replace(settings, state_on_host=True, feeding=feeding)
        there = tiny.run(tmp_path / feeding, module, chosen)
        assert [epoch.train_loss for epoch in there.history] == [epoch.train_loss for epoch in here.history]
        assert there.test == here.test
        weights = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("here", feeding)]
        assert weights[0] == weights[1]
        (row,) = map(json.loads, (tmp_path / feeding / "runs.jsonl").read_text().splitlines())
        assert row["trained_on"] == "cpu:0"


def test_a_run_that_was_begun_on_one_device_goes_on_on_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "_CHECKPOINT_SHARE", 1e9)
    monkeypatch.setattr("chipwise.training.settings.NAMED", re.compile(".*"))
    whole = tiny.run(tmp_path / "whole")

    def stop(step: int) -> None:
        if step == 40:
            raise KeyboardInterrupt

    for place_then in (True, False):
        folder = tmp_path / str(place_then)
        devices = [CPU, OTHER] if place_then else [OTHER, CPU]
        monkeypatch.setattr(trainer, "place_of", lambda _, devices=devices: devices.pop(0))
        with pytest.raises(KeyboardInterrupt):
            tiny.run(folder, tiny.tiny(stop))
        module = tiny.tiny()
        again = tiny.run(folder, module)
        assert 0 < module.steps < 60, "it went on"
        assert not devices
        assert [epoch.train_loss for epoch in again.history] == [epoch.train_loss for epoch in whole.history]


def test_a_module_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    moves: list[torch.device] = []
    module = nn.Linear(1, 1)
    monkeypatch.setattr(module, "to", moves.append)
    with pytest.raises(ZeroDivisionError), place.placed(module, META):
        raise ZeroDivisionError
    with place.placed(module, CPU):
        pass
    assert moves == [META, CPU]


def test_a_mesh_trains_on_processors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from chipwise.api.host import check_place

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    check_place(Settings(), "dp2")
    with pytest.raises(InputError, match="device=cuda trains in one process, and mesh=dp2 has several"):
        check_place(Settings(device="cuda"), "dp2")


def test_zeros_that_are_held_follow_the_weights() -> None:
    from chipwise.training.freeze import hold_zeros

    module = nn.Linear(2, 2, bias=False)
    hold_zeros(module.parameters())
    module.to(META)
    module(torch.zeros(1, 2, device=META)).sum().backward()
    assert module.weight.grad is not None
    assert module.weight.grad.device == META


@pytest.mark.parametrize("batch", [Batch(torch.zeros(2, 1, 8, 8), torch.zeros(2, dtype=torch.int64), torch.zeros(2))])
def test_operands_of_two_devices_are_noticed(batch: Batch) -> None:
    """What the tests above rest on."""
    lesson = lesson_on(META, dataclasses.replace(tiny.SETTINGS, optimizer_form="foreach"))
    with pytest.raises(RuntimeError, match="not on the expected device"):
        learn_batch(lesson, batch, "here")


def test_the_optimizers_state_is_on_disk_of_the_processor_alone() -> None:
    settings = dataclasses.replace(tiny.SETTINGS, state_on_disk=True)
    assert settled(settings, CPU).device == "auto"
    with pytest.raises(InputError, match="state_on_disk=True: the optimizer's state is on"):
        settled(settings, torch.device("cpu:0"))
