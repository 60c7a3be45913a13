"""When training breaks, the error names the layer where it began."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors import SafetensorError

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from chipwise.core.errors import GoalMissedError, NetworkError, StorageError  # noqa: E402
from chipwise.training import lying  # noqa: E402
from chipwise.training import train as trainer  # noqa: E402
from chipwise.training.divergence import broken_layer  # noqa: E402
from chipwise.training.feed import Feed  # noqa: E402
from chipwise.training.loop import Lesson, run_epoch  # noqa: E402
from chipwise.training.optimizer import build_optimizer  # noqa: E402
from chipwise.training.settings import Settings  # noqa: E402
from chipwise.training.trainable import trainable  # noqa: E402

from . import tiny  # noqa: E402
from .test_resume import STEPS, assert_same  # noqa: E402

pytestmark = pytest.mark.runtime

FEED = Feed(torch.randn(16, 4), torch.arange(16) % 2)


class Gradient(torch.autograd.Function):
    """What it is given, with a gradient that is not a number."""

    @staticmethod
    def forward(_: object, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(_: object, gradient: torch.Tensor) -> torch.Tensor:
        return gradient * float("nan")


class Wrong(nn.Module):
    """Four layers; between the second and the third something is wrong."""

    def __init__(self, between: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
        self.last = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
        self.between = between

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.between(self.first(x)))  # type: ignore[no-any-return]


def broken(module: nn.Module, **given: object) -> str:
    chosen = Settings(epochs=3, batch_size=8, augment="none", **given)
    lesson = Lesson(module, build_optimizer(module, chosen), FEED, chosen)
    with pytest.raises(GoalMissedError) as caught:
        run_epoch(lesson, 1, lambda step, loss: None)
    return caught.value.message


def test_the_first_layer_whose_output_is_not_finite_is_named() -> None:
    module = Wrong(lambda x: x)
    module.first[1].register_forward_hook(lambda part, given, result: result * float("inf"))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    assert broken(module).endswith(
        "the loss became nan in epoch 1, step 1 of 2: the output of first.1 (Linear) is the first that is not finite"
    )
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_a_gradient_is_traced_back_to_the_layer_where_it_broke() -> None:
    """Unclipped it spoils the weights first, and the loss with the next step; clipped it is seen at once."""
    told = "the weights of first.1 (Linear) are not finite any more: its gradient was the first that was not"
    for optimizer in ("adamw", "sgd"):
        message = broken(Wrong(Gradient.apply), optimizer=optimizer)
        assert "the loss became nan in epoch 1, step 2 of 2" in message
        assert message.endswith(told)
    clipped = Wrong(Gradient.apply)
    message = broken(clipped, clip_norm=1.0)
    assert "the norm of the gradient became nan in epoch 1, step 1 of 2" in message
    assert message.endswith("the gradient of first.1 (Linear) is the first that is not finite")
    assert all(bool(torch.isfinite(value).all()) for value in clipped.parameters())


def test_a_loss_that_breaks_after_the_last_layer_is_said_to() -> None:
    module = nn.Linear(4, 2)
    assert broken_layer(module, lambda: module(FEED.inputs)).startswith("the outputs of all layers are finite")


def test_the_validation_split_is_looked_at_too(tmp_path: Path) -> None:
    module = tiny.tiny()

    def poison(part: nn.Module, _given: object, result: torch.Tensor) -> torch.Tensor:
        return result if part.training else result * float("nan")

    module.layers[2].register_forward_hook(poison)
    with pytest.raises(GoalMissedError, match=r"validation split after epoch 1: the output of layers.2 \(ReLU\)"):
        tiny.run(tmp_path, module)


def test_nodes_and_weights_of_a_graph_are_named() -> None:
    ir = pytest.importorskip("onnx_ir")
    text = '<ir_version: 8, opset_import: ["": 18]> g (float[N, 4] x) => (float[N, 2] y) '
    weights = f"<float[4, 4] w = {{{', '.join(['0.1'] * 16)}}}, float[4, 2] v = {{{', '.join(['0.1'] * 8)}}}>"
    made = trainable(ir.from_onnx_text(f"{text} {weights} {{ a = MatMul(x, w) b = Exp(a) y = MatMul(b, v) }}"))
    module = made.module
    large = torch.full((2, 4), 1e4)
    assert broken_layer(module, lambda: module(large)) == "the output of b (Exp) is the first that is not finite"
    assert module.inner.watch is None
    with torch.no_grad():
        module.parameter("w")[0, 0] = float("nan")
    assert broken_layer(module, lambda: module(large)).startswith("the weights of w are not finite any more")


def test_weights_to_begin_with_are_finite(tmp_path: Path) -> None:
    module = tiny.tiny()
    with torch.no_grad():
        module.layers[5].weight[0, 0] = float("nan")
    with pytest.raises(NetworkError, match=r"the weights to begin with are not finite: layers.5.weight"):
        tiny.run(tmp_path, module)


def test_a_full_disk_leaves_the_checkpoint_before_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "_CHECKPOINT_SHARE", 1e9)
    whole = tiny.run(tmp_path / "whole"), tmp_path / "whole"
    folder, writes = tmp_path / "full", 0
    save_file = lying.save_file

    def full(tensors: dict[str, torch.Tensor], path: Path, header: dict[str, str]) -> None:
        nonlocal writes
        writes += 1
        save_file(tensors, path, header)
        if writes == 3:
            path.write_bytes(path.read_bytes()[:1000])
            raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        patch.setattr(lying, "save_file", full)
        with pytest.raises(StorageError) as caught:
            tiny.run(folder)
    assert (
        caught.value.message
        == f"cannot write {folder}/checkpoint/last.safetensors: No space left on device (os error 28)"
    )
    assert "free space" in caught.value.hint
    assert [path.name for path in (folder / "checkpoint").iterdir()] == ["last.safetensors"]
    assert len(trainer.checkpoints.load(folder / "checkpoint" / "last.safetensors").state.history) == 1
    module = tiny.tiny()
    assert_same(tiny.run(folder, module), folder, whole)
    assert module.steps == 5 * STEPS


def test_a_full_disk_at_the_end_is_said_and_the_run_ends_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tiny.run(tmp_path / "whole"), tmp_path / "whole"
    folder = tmp_path / "full"
    save_file = lying.save_file

    def full(tensors: dict[str, torch.Tensor], path: Path, header: dict[str, str] | None) -> None:
        if "weights" in path.name:
            raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
        save_file(tensors, path, header)

    with monkeypatch.context() as patch:
        patch.setattr(lying, "save_file", full)
        with pytest.raises(StorageError, match=r"weights\.safetensors: No space left on device"):
            tiny.run(folder)
    assert not list(folder.glob("*weights*"))
    module = tiny.tiny()
    assert_same(tiny.run(folder, module), folder, whole)
    assert module.steps == 0, "all was learned before"


def test_a_finished_run_is_not_written_again(tmp_path: Path) -> None:
    first = tiny.run(tmp_path)
    before = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in tmp_path.iterdir() if path.is_file()}
    assert tiny.run(tmp_path) == first
    after = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in tmp_path.iterdir() if path.is_file()}
    assert after == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_bf16_says_that_fp32_may_help() -> None:
    module = nn.Linear(4, 2)
    module.register_forward_hook(lambda part, given, result: result * float("nan"))
    chosen = dataclasses.replace(Settings(epochs=1, batch_size=8, augment="none"), precision="bf16")
    with pytest.raises(GoalMissedError) as caught:
        run_epoch(Lesson(module, build_optimizer(module, chosen), FEED, chosen), 1, lambda step, loss: None)
    assert "train in fp32" in caught.value.hint
    assert "--clip-norm" in caught.value.hint
