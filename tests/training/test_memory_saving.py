"""Techniques that save memory change nothing else: parts of a batch add up, what is computed again is the same."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from chipwise.core.errors import InputError  # noqa: E402
from chipwise.networks.load import load  # noqa: E402
from chipwise.networks.torch_source import build_module  # noqa: E402
from chipwise.training import loop  # noqa: E402
from chipwise.training.checkpointed import as_text, from_text, run_again, segments_of  # noqa: E402
from chipwise.training.feed import Feed  # noqa: E402
from chipwise.training.loop import Lesson, run_epoch  # noqa: E402
from chipwise.training.optimizer import build_optimizer  # noqa: E402
from chipwise.training.seeds import seeded  # noqa: E402
from chipwise.training.settings import Settings  # noqa: E402

from . import tiny  # noqa: E402

pytestmark = pytest.mark.runtime


def net() -> nn.Sequential:
    """Convolutions without anything that mixes samples."""
    with seeded(3):
        return nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(64, 3)
        )


def gradients(settings: Settings, module: nn.Module) -> list[torch.Tensor]:
    """Of one step over eleven samples in float64, caught before the update."""
    with seeded(4):
        feed = Feed(torch.randn(11, 1, 8, 8).double(), torch.arange(11) % 3)
    module = module.double().train()
    lesson = Lesson(module, build_optimizer(module, settings), feed, settings)
    kept: list[torch.Tensor] = []
    lesson.optimizer.register_step_pre_hook(
        lambda *_: kept.extend(value.grad.clone() for value in module.parameters())  # type: ignore[union-attr]
    )
    with seeded(5):
        batch = loop.batch_of(lesson, feed.inputs, feed.labels)
    loop.learn_batch(lesson, batch, "in a test")
    return kept


@pytest.mark.parametrize("size", [1, 3, 5, 10, 11, 64])
@pytest.mark.parametrize(
    ("loss", "l1", "augment"),
    [(loss, l1, "none") for loss in ("cross-entropy", "hinge") for l1 in (0.0, 0.1)]
    + [("cross-entropy", 0.1, "mixup=1")],
)
def test_parts_of_a_batch_add_up_to_its_gradient(
    size: int, loss: str, l1: float, augment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.Tensor, "float", lambda self: self)  # the loss in float64, too
    settings = Settings(batch_size=11, augment=augment, l1=l1, loss=loss)
    whole = gradients(settings, net())
    parts = gradients(dataclasses.replace(settings, micro_batch=size), net())
    assert len(whole) == len(parts) == 6
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


def test_the_loss_that_is_told_is_that_of_the_whole_batch() -> None:
    told = []
    for size in (None, 2):
        settings = Settings(epochs=1, batch_size=7, augment="none", micro_batch=size)
        module = net()
        feed = Feed(torch.ones(7, 1, 8, 8), torch.arange(7) % 3)
        lesson = Lesson(module, build_optimizer(module, settings), feed, settings)
        told.append(run_epoch(lesson, 1, lambda step, loss: None).loss)
    assert told[0] == pytest.approx(told[1], rel=1e-6)


def test_no_part_is_larger_than_was_said() -> None:
    seen: list[int] = []
    module = net()
    module.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    gradients(Settings(batch_size=11, augment="none", micro_batch=4), module)
    assert seen == [4, 4, 3]


def trained(folder: Path, **changed: object) -> dict[str, torch.Tensor]:
    """The state of the tiny network (dropout, batch-norm) after some epochs."""
    module = tiny.tiny()
    settings = dataclasses.replace(tiny.SETTINGS, epochs=3, **changed)  # type: ignore[arg-type]
    tiny.run(folder, module, settings)
    assert "forward" not in vars(module.layers), "what was wrapped is as before"
    return module.state_dict()


@pytest.mark.parametrize(
    "segments",
    ["layers.0,layers.1,layers.2", "layers.0,layers.1;layers.2,layers.3", "layers", "layers.1;layers.3,layers.4"],
)
def test_what_is_computed_again_gives_the_same_weights_and_statistics(segments: str, tmp_path: Path) -> None:
    plain, again = trained(tmp_path / "a"), trained(tmp_path / "b", recompute=segments)
    assert plain.keys() == again.keys()
    for name, value in plain.items():
        assert torch.equal(value, again[name]), name


def test_an_average_is_of_what_is_computed_again(tmp_path: Path) -> None:
    plain = trained(tmp_path / "a", ema=0.9)
    again = trained(tmp_path / "b", ema=0.9, recompute="layers.0,layers.1;layers.2,layers.3")
    other = trained(tmp_path / "c")
    assert all(torch.equal(value, again[name]) for name, value in plain.items())
    assert any(not torch.equal(value, other[name]) for name, value in plain.items())


def test_segments_are_really_computed_twice() -> None:
    module, runs = net(), []
    module[2].register_forward_hook(lambda *_: runs.append(1))
    inputs = torch.ones(2, 1, 8, 8)
    with run_again(module, [("2", "3")]):
        module.train()(inputs).sum().backward()
        assert len(runs) == 2
        module.eval()(inputs).sum().backward()
        with torch.no_grad():
            module.train()(inputs)
        assert len(runs) == 4, "evaluation runs it once"


@pytest.mark.parametrize("name", ["resnet20", "mobilenet-v2:width=0.25", "googlenet:width=0.25", "lenet5"])
def test_all_segments_of_networks_of_the_zoo(name: str) -> None:
    """Together as well as plain: the same gradients in float64, with blocks, branches and sequences of layers."""
    network = load(name)
    assert network.source is not None
    found = []
    shape = network.inputs[0].shape[1:]
    for wrap in (False, True):
        with seeded(1):
            module = build_module(network.source).double().train()
            inputs = torch.randn(2, *map(int, shape)).double()
        with seeded(2), run_again(module, [link for chain in segments_of(module) for link in chain] if wrap else []):
            given = module(inputs)
            given.square().sum().backward()
        found.append([value.grad for value in module.parameters()])
    for one, other in zip(*found, strict=True):
        assert (one is None) == (other is None)
        assert one is None or torch.equal(one, other)


def test_segments_as_text() -> None:
    assert from_text(as_text([("a.0", "a.1"), ("b",)])) == (("a.0", "a.1"), ("b",))
    assert as_text([]) is None
    assert from_text(None) == ()


@pytest.mark.parametrize("segments", [("9",), ("0", "2"), ("1", "0"), ("0", "nowhere")])
def test_segments_that_are_none(segments: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="recompute"), run_again(net(), [segments]):
        pass


def test_a_run_in_parts_goes_on_where_it_was(tmp_path: Path) -> None:
    settings = dataclasses.replace(tiny.SETTINGS, micro_batch=8, recompute="layers.0", return_memory=True)
    tiny.run(tmp_path, settings=settings)
    again = tiny.run(tmp_path, settings=settings)
    assert again.settings["micro_batch"] == 8
    with pytest.raises(InputError, match="micro_batch 8 there, not set now"):
        tiny.run(tmp_path)
