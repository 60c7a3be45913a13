"""The optimizer's state on disk: the same weights, bit for bit, also where a run was killed; nothing of it is left."""

from __future__ import annotations

import dataclasses
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402
from torch import nn  # noqa: E402

from chipwise.core.errors import InputError, StorageError  # noqa: E402
from chipwise.training import state_on_disk as on_disk  # noqa: E402
from chipwise.training import train as trainer  # noqa: E402
from chipwise.training.optimizer import build_optimizer  # noqa: E402
from chipwise.training.seeds import seeded  # noqa: E402
from chipwise.training.settings import Settings  # noqa: E402
from chipwise.training.state_on_disk import state_on_disk  # noqa: E402

from . import tiny  # noqa: E402

pytestmark = pytest.mark.runtime
STEPS = 9  # an epoch


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_disk, "STATE_AT_ONCE", 64)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "adam", "optimizer_form": "foreach"},
        {"optimizer": "adamw", "optimizer_form": "for-loop", "clip_norm": 0.5},
        {"optimizer": "sgd", "learning_rate": 0.05},
        {"optimizer": "sgd", "learning_rate": 0.05, "optimizer_form": "for-loop", "nesterov": False},
        {"channels_last": True, "micro_batch": 8},
        {"freeze": 1, "unfreeze_after": 1},
    ],
    ids=str,
)
def test_the_same_weights_bit_for_bit(changes: dict[str, object], tmp_path: Path) -> None:
    found = []
    for stored in (False, True):
        module = tiny.tiny()
        settings = dataclasses.replace(tiny.SETTINGS, epochs=2, state_on_disk=stored, **changes)
        tiny.run(tmp_path / str(stored), module, settings)
        found.append(module.state_dict())
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())
    assert [path.name for path in (tmp_path / "True" / "checkpoint").iterdir()] == ["last.safetensors"]


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("last", [False, True])
def test_sizes_that_fill_no_piece(optimizer: str, last: bool, tmp_path: Path) -> None:
    """Kernels of 3 x 3 in either order, and what is left of vectors; steps without a gradient in between."""
    found = []
    for wanted in (False, True):
        with seeded(1):
            module = nn.Sequential(nn.Conv2d(3, 17, 3), nn.Flatten(), nn.Linear(17, 31), nn.Linear(31, 1))
        if last:
            module.to(memory_format=torch.channels_last)
        steps = build_optimizer(module, Settings(optimizer=optimizer, learning_rate=0.1))
        with seeded(2), state_on_disk(steps, tmp_path, wanted=wanted):
            for step in range(4):
                module[2].requires_grad_(step != 1)
                module(torch.randn(5, 3, 3, 3)).square().sum().backward()
                steps.step()
                steps.zero_grad(set_to_none=True)
            large = [value for state in steps.state.values() for value in state.values() if value.ndim]
            assert bool(large) is not wanted, "what has more than one number is in the file"
        assert "step" not in vars(steps)
        found.append(module.state_dict())
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())
    assert not list(tmp_path.iterdir()), "the file has no name"


@pytest.mark.parametrize(("when", "finished"), [(str(2 * STEPS + 5), 2), ("write-4", 2)], ids=["mid-epoch", "writing"])
def test_killed_run_continues_exactly(when: str, finished: int, tmp_path: Path) -> None:
    whole = tiny.run(tmp_path / "whole")
    script = [sys.executable, str(tiny.__file__), str(tmp_path / "killed"), when, "fp32", "", "disk"]
    killed = subprocess.run(script, check=False, capture_output=True)
    assert killed.returncode == -9, killed.stderr.decode()
    kept = tmp_path / "killed" / "checkpoint"
    before = trainer.checkpoints.load(kept / "last.safetensors")
    assert len(before.state.history) == finished
    assert {name.rpartition(".")[2] for name in before.part("optimizer.")} == {"step"}
    settings = dataclasses.replace(tiny.SETTINGS, state_on_disk=True)
    result = tiny.run(tmp_path / "killed", settings=settings)
    assert [row.train_loss for row in result.history] == [row.train_loss for row in whole.history]
    found, wanted = (load_file(tmp_path / name / "weights.safetensors") for name in ("killed", "whole"))
    assert all(torch.equal(value, found[name]) for name, value in wanted.items())
    assert [path.name for path in kept.glob("[!.]*")] == ["last.safetensors"]


def test_a_damaged_copy_is_refused(tmp_path: Path) -> None:
    script = [sys.executable, str(tiny.__file__), str(tmp_path), str(STEPS + 2), "fp32", "", "disk"]
    assert subprocess.run(script, check=False, capture_output=True).returncode == -9
    settings = dataclasses.replace(tiny.SETTINGS, state_on_disk=True)
    (copy,) = (tmp_path / "checkpoint").glob("optimizer-*")
    content = copy.read_bytes()
    copy.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(InputError, match="does not match its hash"):
        tiny.run(tmp_path, settings=settings)
    copy.unlink()
    with pytest.raises(InputError, match="it is missing"):
        tiny.run(tmp_path, settings=settings)


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    optimizer = build_optimizer(nn.Linear(2, 2), Settings())
    with pytest.raises(StorageError, match="No space left"), state_on_disk(optimizer, tmp_path, wanted=True):
        pass


def test_what_has_no_state_or_lies_in_holes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="without momentum there is no state"):
        Settings(optimizer="sgd", momentum=0.0, state_on_disk=True)
    module = nn.Linear(4, 4)
    module.weight = nn.Parameter(torch.zeros(4, 8)[:, ::2])
    optimizer = build_optimizer(module, Settings())
    with pytest.raises(InputError, match="has holes"), state_on_disk(optimizer, tmp_path, wanted=True):
        pass
