"""Weights on disk: the same weights, bit for bit, also where a run was killed; a layer's are there while it runs."""

from __future__ import annotations

import dataclasses
import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from chipwise.core.errors import GoalMissedError, InputError, StorageError  # noqa: E402
from chipwise.training import train as trainer  # noqa: E402
from chipwise.training import weights_on_disk as on_disk  # noqa: E402
from chipwise.training.checkpointed import run_again  # noqa: E402
from chipwise.training.place import settled  # noqa: E402
from chipwise.training.settings import Settings  # noqa: E402
from chipwise.training.swapped import swapped_out  # noqa: E402
from chipwise.training.weights_on_disk import large_weights, weights_on_disk  # noqa: E402

from . import tiny  # noqa: E402

pytestmark = pytest.mark.runtime
STEPS = 9  # an epoch
LARGE = {"layers.0.weight", "layers.5.weight"}


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_disk, "LARGE_WEIGHT", 200)
    monkeypatch.setattr(on_disk, "STATE_AT_ONCE", 64)
    monkeypatch.setattr(on_disk, "_COPIED_AT_ONCE", 1000)


def settings_of(*, stored: bool, **changes: object) -> Settings:
    state = stored and changes.get("momentum") != 0
    return dataclasses.replace(tiny.SETTINGS, state_on_disk=state, weights_on_disk=stored, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "adam", "micro_batch": 6},
        {"optimizer": "adamw", "optimizer_form": "for-loop", "clip_norm": 0.5},
        {"optimizer": "sgd", "learning_rate": 0.05, "micro_batch": 5, "clip_norm": 0.1},
        {"optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.0},
        {"channels_last": True, "micro_batch": 8},
        {"recompute": "layers.0,layers.1,layers.2;layers.5"},
        {"swapped": "layers.0,layers.1,layers.2,layers.5"},
        {"precision": "bf16"},
    ],
    ids=str,
)
def test_the_same_weights_bit_for_bit(changes: dict[str, object], tmp_path: Path) -> None:
    found = []
    for stored in (False, True):
        module = tiny.tiny()
        settings = settings_of(stored=stored, epochs=2, **changes)
        record = tiny.run(tmp_path / str(stored), module, settings)
        found.append((module.state_dict(), [row.val_loss for row in record.history], record.test))
    assert all(torch.equal(value, found[1][0][name]) for name, value in found[0][0].items())
    assert found[0][1:] == found[1][1:]
    for name in ("weights.safetensors", "history.jsonl"):
        if name.endswith("tensors"):
            assert (tmp_path / "True" / name).read_bytes() == (tmp_path / "False" / name).read_bytes()
    assert [path.name for path in (tmp_path / "True" / "checkpoint").iterdir()] == ["last.safetensors"]


def test_a_layers_weights_are_there_while_it_runs(tmp_path: Path) -> None:
    module = tiny.tiny()
    assert large_weights(module).keys() == LARGE
    seen: list[tuple[bool, bool]] = []

    def look(*_: object) -> None:
        seen.append(tuple(bool(layer.weight.untyped_storage().nbytes()) for layer in (first, last)))  # type: ignore[arg-type]

    with weights_on_disk(module, tmp_path, wanted=True) as stored:
        assert stored is not None
        assert not list(tmp_path.iterdir()), "the file has no name"
        first, last = module.layers[0], module.layers[5]
        for layer in (first, last):
            layer.register_forward_hook(look)
        look()
        module(torch.ones(4, 1, 8, 8)).sum().backward()
        look()
        assert first.weight.grad is last.weight.grad is None
        with stored.lent(first.weight):
            look()
            assert first.weight.grad is not None
    look()
    assert "forward" not in vars(first)
    assert seen == [(False, False)] * 4 + [(True, False), (True, True)]


def test_killed_run_continues_exactly(tmp_path: Path) -> None:
    whole = tiny.run(tmp_path / "whole")
    script = [sys.executable, str(tiny.__file__), str(tmp_path / "killed"), str(2 * STEPS + 5), "fp32", "", "weights"]
    killed = subprocess.run(script, check=False, capture_output=True)
    assert killed.returncode == -9, killed.stderr.decode()
    kept = tmp_path / "killed" / "checkpoint"
    before = trainer.checkpoints.load(kept / "last.safetensors")
    assert len(before.state.history) == 2
    result = tiny.run(tmp_path / "killed", settings=settings_of(stored=True))
    assert [row.train_loss for row in result.history] == [row.train_loss for row in whole.history]
    found, wanted = (load_file(tmp_path / name / "weights.safetensors") for name in ("killed", "whole"))
    assert all(torch.equal(value, found[name]) for name, value in wanted.items())
    again = tiny.run(tmp_path / "killed", module := tiny.tiny(), settings_of(stored=True))
    assert again == result
    assert all(torch.equal(value, found[name]) for name, value in module.state_dict().items())


def test_what_went_wrong_is_found_among_weights_on_disk(tmp_path: Path) -> None:
    found = []
    for stored in (False, True):
        module = tiny.tiny()

        def spoil(step: int, norm: nn.Module = module.layers[1]) -> None:
            if step == STEPS + 2:
                nn.init.constant_(norm.weight, float("inf"))  # type: ignore[arg-type]

        module.before = spoil
        with pytest.raises(GoalMissedError) as caught:
            tiny.run(tmp_path / str(stored), module, settings_of(stored=stored, clip_norm=1.0))
        found.append(caught.value.message)
        assert all(value.untyped_storage().nbytes() for value in module.parameters())
    assert found[0] == found[1]
    assert "layers.1 (BatchNorm2d)" in found[0]


def test_written_as_safetensors_writes(tmp_path: Path) -> None:
    module = tiny.tiny()
    module.to(memory_format=torch.channels_last)
    whole = save({name: value.contiguous() for name, value in module.state_dict().items()})
    with weights_on_disk(module, tmp_path, wanted=True) as stored:
        assert stored is not None
        rest = trainer.checkpoints.model_tensors(module, but=stored.names)
        assert b"".join(map(bytes, on_disk_pieces(rest | stored.now))) == whole


def on_disk_pieces(tensors: dict[str, object]) -> Iterator[bytes | memoryview]:
    from chipwise.training.lying import safetensor_pieces

    return safetensor_pieces(tensors)  # type: ignore[arg-type]


class _Foreign(nn.Module):
    """Reads the weights of a layer past it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(8, 8)

    def forward(self, given: Tensor) -> Tensor:
        return self.inner(given) @ (2 * self.inner.weight)


def test_weights_that_others_read_are_refused_or_stay(tmp_path: Path) -> None:
    module = _Foreign()
    with (
        weights_on_disk(module, tmp_path, wanted=True),
        pytest.raises(InputError, match="used without the layer"),
    ):
        module(torch.ones(1, 8))
    assert module(torch.ones(1, 8)).shape == (1, 8)
    shared = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    shared[1].weight = shared[0].weight
    assert not large_weights(shared)
    assert not large_weights(nn.MultiheadAttention(16, 2)), "its projections are read by it alone"


def test_a_full_disk_is_told_and_weights_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    module = tiny.tiny()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    for name in ("posix_fallocate", "pwrite"):
        with monkeypatch.context() as patched:
            patched.setattr(os, name, full)
            with pytest.raises(StorageError, match="No space left"), weights_on_disk(module, tmp_path, wanted=True):
                pass
        assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"state_on_disk": False}, "the optimizer's state must be there, too"),
        ({"ema": 0.9}, "does not go with ema=0.9"),
        ({"freeze": 1}, "does not go with freeze=1"),
        ({"l1": 0.1}, "does not go with l1=0.1"),
        ({"compiled": True}, "does not go with compiled=True"),
        ({"precision": "fp16"}, "does not go with precision=fp16"),
    ],
)
def test_what_needs_all_of_them_in_memory_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Settings(**{"state_on_disk": True, "weights_on_disk": True} | changes)  # type: ignore[arg-type]


def test_not_on_another_device_and_not_without_large_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = Settings(state_on_disk=True, weights_on_disk=True)
    with pytest.raises(InputError, match="state_on_disk=True"):
        settled(wanted, torch.device("meta"))
    plain = Settings(optimizer="sgd", momentum=0.0, weights_on_disk=True)
    with pytest.raises(InputError, match="weights_on_disk=True: the weights are on meta"):
        settled(plain, torch.device("meta"))
    monkeypatch.setattr(on_disk, "LARGE_WEIGHT", 2**20)
    with pytest.raises(InputError, match="no layer has weights of 1 MiB"):
        tiny.run(tmp_path, settings=settings_of(stored=True))


def test_swapped_segments_leave_weights_where_they_are(tmp_path: Path) -> None:
    found = []
    for wanted in (False, True):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            net = nn.Sequential(nn.Linear(300, 300), nn.Tanh(), nn.Linear(300, 300))
            given = torch.randn(400, 300)
        with weights_on_disk(net, tmp_path, wanted=wanted) as stored, swapped_out(net, [("0", "1", "2")], tmp_path):
            net(given).square().sum().backward()
            gradients = (
                stored.norm() if stored is not None else torch.stack([v.grad.norm() for v in net.parameters()]).norm()
            )
        found.append(gradients)
    assert torch.equal(*found)


def test_computed_again_from_disk(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(30, 30), nn.Tanh(), nn.Linear(30, 30))
    with weights_on_disk(net, tmp_path, wanted=True) as stored, run_again(net, [("0", "1", "2")]):
        net(torch.ones(4, 30)).square().sum().backward()
        assert stored is not None
        assert not any(net[place].weight.untyped_storage().nbytes() for place in (0, 2))
        assert stored.norm() > 0
