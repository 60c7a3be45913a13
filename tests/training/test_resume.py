"""A run that was killed and continued gives what an uninterrupted one gives, bit for bit."""

from __future__ import annotations

import dataclasses
import errno
import resource
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file  # noqa: E402

from chipwise.core.epoch import Epoch  # noqa: E402
from chipwise.core.errors import InputError, StorageError  # noqa: E402
from chipwise.core.report import Training  # noqa: E402
from chipwise.training import train as trainer  # noqa: E402

from . import tiny  # noqa: E402

pytestmark = pytest.mark.runtime

STEPS = 9  # an epoch: 144 training pictures in batches of 16


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Training, Path]:
    folder = tmp_path_factory.mktemp("whole")
    return tiny.run(folder), folder


def timeless(history: tuple[Epoch, ...]) -> list[Epoch]:
    return [dataclasses.replace(epoch, seconds=0.0, wait_s=None) for epoch in history]


def assert_same(result: Training, folder: Path, whole: tuple[Training, Path]) -> None:
    assert timeless(result.history) == timeless(whole[0].history)
    assert (result.best_epoch, result.test, result.confusion) == (
        whole[0].best_epoch,
        whole[0].test,
        whole[0].confusion,
    )
    assert (folder / "weights.safetensors").read_bytes() == (whole[1] / "weights.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("when", "finished"),
    [(str(2 * STEPS + 1), 2), (str(3 * STEPS + 5), 3), ("write-4", 2)],
    ids=["at the end of an epoch", "in mid-epoch", "while a checkpoint is written"],
)
def test_killed_run_continues_exactly(when: str, finished: int, whole: tuple[Training, Path], tmp_path: Path) -> None:
    script = [sys.executable, str(tiny.__file__), str(tmp_path), when]
    killed = subprocess.run(script, check=False, capture_output=True)
    assert killed.returncode == -9, killed.stderr.decode()
    assert not (tmp_path / "weights.safetensors").exists()
    before = trainer.checkpoints.load(tmp_path / "checkpoint" / "last.safetensors")
    assert len(before.state.history) == finished

    module = tiny.tiny()
    result = tiny.run(tmp_path, module)
    assert module.steps == STEPS * (6 - finished)
    assert_same(result, tmp_path, whole)


def test_same_seed_same_result_and_another_seed_another(whole: tuple[Training, Path], tmp_path: Path) -> None:
    assert_same(tiny.run(tmp_path / "same"), tmp_path / "same", whole)
    other = tiny.run(tmp_path / "other", settings=dataclasses.replace(tiny.SETTINGS, seed=6))
    assert timeless(other.history) != timeless(whole[0].history)


def test_interrupt_keeps_the_checkpoint(whole: tuple[Training, Path], tmp_path: Path) -> None:
    def interrupt(step: int) -> None:
        if step == 4 * STEPS:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tiny.run(tmp_path, tiny.tiny(interrupt))
    assert_same(tiny.run(tmp_path), tmp_path, whole)


def test_finished_run_returns_at_once(tmp_path: Path) -> None:
    first = tiny.run(tmp_path)
    written = (tmp_path / "training.json").stat().st_mtime_ns
    module = tiny.tiny()
    assert tiny.run(tmp_path, module) == first
    assert module.steps == 0
    assert (tmp_path / "training.json").stat().st_mtime_ns == written
    kept = load_file(tmp_path / "weights.safetensors")
    assert all(torch.equal(value, kept[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize("name", ["training.json", "weights.safetensors"])
def test_damaged_result_is_made_again_from_the_checkpoint(name: str, tmp_path: Path) -> None:
    first = tiny.run(tmp_path)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[:-7])
    assert tiny.run(tmp_path) == first
    assert (tmp_path / name).read_bytes() == content


def test_full_disk_leaves_the_checkpoint_before(
    whole: tuple[Training, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "_CHECKPOINT_SHARE", 1e9)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(step: int) -> None:
        if step == 2 * STEPS + 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))

    try:
        with pytest.raises(StorageError, match=r"cannot write .*last\.safetensors"):
            tiny.run(tmp_path, tiny.tiny(fill))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in (tmp_path / "checkpoint").iterdir()] == ["last.safetensors"]
    assert_same(tiny.run(tmp_path), tmp_path, whole)


def test_full_disk_for_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("chipwise.training.events.SummaryWriter", full)
    with pytest.raises(StorageError, match="No space left"):
        tiny.run(tmp_path)


def test_folder_of_another_run_is_refused_and_fresh_starts_over(tmp_path: Path) -> None:
    first = tiny.run(tmp_path)
    other = dataclasses.replace(tiny.SETTINGS, learning_rate=0.02)
    with pytest.raises(InputError, match=r"learning_rate 0.01 there, 0.02 now") as caught:
        tiny.run(tmp_path, settings=other)
    assert "--fresh" in caught.value.hint
    with pytest.raises(InputError, match=r"freeze not set there, backbone now"):
        tiny.run(tmp_path, settings=dataclasses.replace(tiny.SETTINGS, freeze="backbone"))
    assert tiny.run(tmp_path) == first
    assert tiny.run(tmp_path, settings=other, fresh=True).settings["learning_rate"] == 0.02


@pytest.mark.parametrize("damage", ["flipped", "short", "picture", "other", "missing state"])
def test_damaged_checkpoint_is_one_clear_error(damage: str, tmp_path: Path) -> None:
    tiny.run(tmp_path)
    path = tmp_path / "checkpoint" / "last.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 4
    broken = {"flipped": bytes(content), "short": path.read_bytes()[:-100], "picture": b"\x89PNG\r\n\x1a\n" * 20}
    if damage in broken:
        path.write_bytes(broken[damage])
    else:
        save_file({"a": torch.zeros(3)}, path, {"format": "chipwise.checkpoint/1"} if damage != "other" else None)
    with pytest.raises(InputError, match=r"checkpoint .* is damaged") as caught:
        tiny.run(tmp_path)
    assert "\n" not in caught.value.message
    assert "--fresh" in caught.value.hint
    assert tiny.run(tmp_path, fresh=True).stopped == "epochs done"


def test_unwritable_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot write"):
        tiny.run(tmp_path / "file")
