"""Training in several processes draws the curve of one, whatever dies on the way and on whatever mesh it goes on."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

from chipwise.core.epoch import Scaling  # noqa: E402
from chipwise.core.errors import GoalMissedError, InputError, MachineError  # noqa: E402
from chipwise.core.report import Training  # noqa: E402
from chipwise.core.training_memory import ChosenMesh  # noqa: E402
from chipwise.training import checkpoint as checkpoints  # noqa: E402
from chipwise.training import train as trainer  # noqa: E402
from chipwise.training.parallel import shards  # noqa: E402
from training.parallel import nets, runs  # noqa: E402
from training.parallel.runs import STEPS, TOLERANCE, difference, run  # noqa: E402

pytestmark = pytest.mark.runtime


class Notes:
    """A `Progress` that remembers lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def update(self, stage: str, fraction: float, message: str = "") -> None:
        pass

    def note(self, message: str) -> None:
        self.lines.append(message)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Training, Path]:
    """What one process learns, never interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    return run(folder), folder


def assert_same(result: Training, folder: Path, whole: tuple[Training, Path]) -> None:
    assert difference(result, whole[0]) < TOLERANCE
    assert (result.best_epoch, result.stopped) == (whole[0].best_epoch, whole[0].stopped)
    found, wanted = (load_file(each / "weights.safetensors") for each in (folder, whole[1]))
    assert max((found[name].double() - wanted[name].double()).abs().max() for name in wanted) < 1e-3
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in whole[1].iterdir())
    assert [path.name for path in (folder / "checkpoint").iterdir()] == ["last.safetensors"]


def test_copies_learn_what_one_process_learns(whole: tuple[Training, Path], tmp_path: Path) -> None:
    """Augmentation, mixup and batch-norm included; then the folder is that of any run, and tells of its mesh."""
    notes, chosen = Notes(), ChosenMesh("dp2", most=4, machines=1, memory="2GB")
    result = run(tmp_path, "dp2", progress=notes, chosen=chosen)
    assert_same(result, tmp_path, whole)
    assert any("DistributedDataParallel over 2 processes" in line for line in notes.lines)
    row = json.loads((tmp_path / "runs.jsonl").read_text())
    assert row["outcome"] == "epochs done"
    state = checkpoints.state_of(tmp_path / "checkpoint" / "last.safetensors")
    assert state is not None
    assert state.mesh == chosen
    assert run(tmp_path, "dp2") == result  # which is finished
    assert run(tmp_path) == result


def test_all_processes_leave_out_the_steps_that_overflow_in_one(tmp_path: Path) -> None:
    """In fp16, with batch-norms over all shares."""
    settings = dataclasses.replace(runs.short(2), precision="fp16", optimizer="sgd", clip_norm=1.0)
    one = run(tmp_path / "one", net="bursting", settings=settings)
    many = run(tmp_path / "many", "dp2", net="bursting", settings=settings)
    assert difference(many, one) < 1e-3
    assert [each.scaling for each in many.history] == [each.scaling for each in one.history]
    assert many.history[0].scaling == Scaling(scale=2.0**15, skipped=1, steady=STEPS - 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mesh", "net", "changes"),
    [
        ("fsdp2", "normed", {"clip_norm": 0.5}),
        ("zero22", "normed", {"optimizer": "sgd", "learning_rate": 0.05}),
        ("zero12", "normed", {"optimizer": "adam"}),
        ("tp2", "normed", {"label_smoothing": 0.1}),
        ("pp2", "plain", {"batch_size": 24}),
        ("sph2", "normed", {"loss": "hinge", "augment": "affine"}),
        ("oc2", "paired", {"optimizer": "sgd", "learning_rate": 0.05}),
        ("dp2,oc2", "paired", {}),
        ("oc2", "normed", {}),
        ("dp2,tp2", "normed", {}),
        ("dp2,fsdp2", "normed", {}),
        ("dp2,pp2", "plain", {}),
    ],
)
def test_every_strategy(mesh: str, net: str, changes: dict[str, object], tmp_path: Path) -> None:
    settings = dataclasses.replace(runs.short(2), **changes)
    one = run(tmp_path / "one", net=net, settings=settings)
    assert difference(run(tmp_path / "many", mesh, net=net, settings=settings), one) < TOLERANCE


def test_worker_that_dies(whole: tuple[Training, Path], tmp_path: Path) -> None:
    """All processes start again from the last checkpoint."""
    notes = Notes()
    assert_same(run(tmp_path, "dp2", "dies_once", progress=notes), tmp_path, whole)
    assert any("new start 1 of 3" in line for line in notes.lines)


def test_worker_that_dies_too_often(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="process 1 of 2 was ended by SIGKILL") as caught:
        run(tmp_path, "dp2", "dies_once", restarts=0)
    assert "goes on" in caught.value.hint
    assert not (tmp_path / "processes").exists()


@pytest.mark.slow
@pytest.mark.parametrize("twist", ["", "dies_once"])
def test_on_ray(twist: str, whole: tuple[Training, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a cluster of this machine, also where a worker is killed: Ray starts all again from the last checkpoint."""
    pytest.importorskip("ray")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    notes = Notes()
    assert_same(run(tmp_path, "dp2", twist, on="ray", progress=notes), tmp_path, whole)
    assert any("new start 1 of 3" in line for line in notes.lines) is bool(twist)


@pytest.mark.slow
def test_on_ray_where_one_dies_too_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(MachineError, match="process 1 of 2 ended") as caught:
        run(tmp_path, "dp2", "dies_once", on="ray", restarts=0)
    assert "goes on" in caught.value.hint
    assert not (tmp_path / "processes").exists()


def test_all_killed_and_the_same_again(whole: tuple[Training, Path], tmp_path: Path) -> None:
    script = [sys.executable, runs.__file__, str(tmp_path), "all_killed"]
    tests = Path(__file__).parents[2]
    killed = subprocess.run(script, check=False, capture_output=True, env=_with_path(tests))
    assert killed.returncode == -9, killed.stderr.decode()
    assert len(shards.state_of(shards.newest(tmp_path / "checkpoint")).history) == 2
    _wait_until_gone(str(tmp_path))
    assert_same(run(tmp_path, "dp2"), tmp_path, whole)


def test_two_then_one_then_two(whole: tuple[Training, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _resharded(("fsdp2", "dp2"), whole, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("meshes", [("dp4", "dp2"), ("fsdp4", "fsdp2"), ("fsdp2,tp2", "zero12"), ("dp2,oc2", "oc2")])
def test_four_then_one_then_two(
    meshes: tuple[str, str], whole: tuple[Training, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _resharded(meshes, whole, tmp_path, monkeypatch)


def _resharded(
    meshes: tuple[str, str], whole: tuple[Training, Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two epochs on a mesh, one in one process, the rest on another mesh."""
    monkeypatch.setattr(trainer, "_CHECKPOINT_SHARE", 1e9)  # after every epoch, however short
    with pytest.raises(MachineError, match="stopped"):
        run(folder, meshes[0], "stops")
    shards.bring_together(nets.normed(), runs.SETTINGS, folder / "checkpoint")
    seen = 0

    def interrupt() -> None:
        nonlocal seen
        seen += 1
        if seen == STEPS + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(folder, before=interrupt)
    assert len(checkpoints.state_of(folder / "checkpoint" / "last.safetensors").history) == 3
    notes = Notes()
    assert_same(run(folder, meshes[1], progress=notes), folder, whole)
    assert "continuing after epoch 3 of 5" in notes.lines


def test_what_was_asked_for_is_what_runs(tmp_path: Path) -> None:
    with pytest.raises(
        MachineError, match="dp2 was asked for, and something else runs: dp: the network is a"
    ) as caught:
        run(tmp_path, "dp2", "not_wrapped")
    assert "prove" in caught.value.hint


def test_divergence_is_told_once_and_noted(tmp_path: Path) -> None:
    settings = dataclasses.replace(runs.SETTINGS, optimizer="sgd", learning_rate=900.0, schedule="constant")
    with pytest.raises(GoalMissedError, match="training diverged"):
        run(tmp_path, "dp2", net="plain", settings=settings)
    assert json.loads((tmp_path / "runs.jsonl").read_text())["outcome"] == "diverged"


@pytest.mark.slow
def test_dropout_is_the_same_each_time(tmp_path: Path) -> None:
    first, second = (run(tmp_path / name, "dp2", net="dropped", settings=runs.short(2)) for name in ("a", "b"))
    assert difference(first, second) == 0


def test_a_rate_of_dropout_reaches_all_processes(tmp_path: Path) -> None:
    settings = dataclasses.replace(runs.short(1), dropout=0.0)
    one = run(tmp_path / "one", net="dropped", settings=settings)
    assert difference(run(tmp_path / "two", "dp2", net="dropped", settings=settings), one) < TOLERANCE


@pytest.mark.slow
def test_dropout_behind_channels_that_were_gathered(tmp_path: Path) -> None:
    """As on a mesh of one process, which draws the same masks."""
    settings = runs.short(2)
    one, two = (run(tmp_path / mesh, mesh, net="dropped_channels", settings=settings) for mesh in ("dp1", "oc2"))
    assert difference(one, two) < TOLERANCE


@pytest.mark.slow
def test_two_machines_meet(whole: tuple[Training, Path], tmp_path: Path) -> None:
    """Two agents on this machine, a process each, one folder."""
    code = (
        "import sys; from pathlib import Path; from training.parallel.runs import run;"
        "number, meet = int(sys.argv[2]), sys.argv[3];"
        "print(run(Path(sys.argv[1]), 'dp2', machine=number, machines=2, meet=meet).stopped)"
    )
    meet = f"127.0.0.1:{_free_port()}"
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), str(number), meet],
            env=_with_path(Path(__file__).parents[2]),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for number in (1, 2)
    ]
    said = [each.communicate(timeout=300) for each in both]
    assert [out.strip() for out, _ in said] == [b"epochs done"] * 2, said
    assert_same(run(tmp_path), tmp_path, whole)


def _with_path(tests: Path) -> dict[str, str]:
    import os

    path = os.pathsep.join([str(tests), *sys.path])
    return os.environ | {"PYTHONPATH": path}


def _free_port() -> int:
    import socket

    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def _wait_until_gone(folder: str) -> None:
    """Nothing goes on alone."""
    for _ in range(300):
        listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        if folder not in listed:
            return
        time.sleep(0.1)
    raise AssertionError(f"a process goes on: {[line for line in listed.splitlines() if folder in line]}")


def test_shards_of_one_process_and_back(tmp_path: Path) -> None:
    run(tmp_path, settings=runs.short(1))
    module, settings = nets.normed(), runs.SETTINGS
    folder = tmp_path / "checkpoint"
    with torch.random.fork_rng():
        values = {f"model.{name}": value for name, value in module.state_dict().items()}
    found = checkpoints.load(folder / "last.safetensors")
    whole = checkpoints.Checkpoint(found.state, found.tensors | values)
    shards.apart(module, settings, whole, folder)
    back = shards.together(module, settings, shards.newest(folder))
    assert back.state == whole.state
    assert back.tensors.keys() == whole.tensors.keys()
    assert all(torch.equal(value, whole.tensors[name]) for name, value in back.tensors.items())


def test_damaged_shards_are_one_clear_error(tmp_path: Path) -> None:
    run(tmp_path, settings=runs.short(1))
    module, settings, folder = nets.normed(), runs.SETTINGS, tmp_path / "checkpoint"
    shards.apart(module, settings, checkpoints.load(folder / "last.safetensors"), folder)
    file = next(shards.newest(folder).glob("*.safetensors"))
    content = bytearray(file.read_bytes())
    content[-5] ^= 4
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"checkpoint .* is damaged") as caught:
        shards.together(module, settings, shards.newest(folder))
    assert "--fresh" in caught.value.hint
