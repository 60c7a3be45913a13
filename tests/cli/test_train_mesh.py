"""`chipwise train --mesh` from the command line: the folder of any training, and what is refused."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from chipwise.core.training_memory import ChosenMesh

pytest.importorskip("torch")
pytestmark = pytest.mark.runtime


def test_two_processes(cli: Callable[..., object], tmp_path: Path) -> None:
    """A network with batch-norms, its kernels in NHWC order; then one process goes on with what two learned."""
    train = ("train", "convnet-small", "-d", "digits", "--epochs", "1", "--threads", "1")
    outcome = cli(*train, "--mesh", "dp2", "-o", str(tmp_path / "two"), "--json")
    assert outcome.code == 0, outcome.err
    assert "2 processes: dp: DistributedDataParallel over 2 processes" in outcome.err
    two = json.loads(outcome.out)
    outcome = cli(*train, "-o", str(tmp_path / "one"), "--json")
    one = json.loads(outcome.out)
    assert two["history"][0]["train_loss"] == pytest.approx(one["history"][0]["train_loss"], abs=1e-4)
    assert two["settings"] == one["settings"]
    finer = cli(
        "train", str(tmp_path / "two"), "-d", "digits", "--epochs", "1", "-o", str(tmp_path / "finer"), "--json"
    )
    assert finer.code == 0, finer.err
    assert json.loads(finer.out)["history"][0]["train_loss"] < two["history"][0]["train_loss"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--mesh", "sph2", "--explain"), "what sph2 takes is not predicted"),
        (("--mesh", "pp9", "--explain"), "cannot be cut into"),
        (("--mesh", "auto:4", "--explain"), "is chosen by what fits"),
        (("--mesh", "up2"), "unknown dimension of processes 'up'"),
        (("--mesh", "pp2,tp2", "--clip-norm", "1"), "clip_norm=1.0 cannot be had with pp2,tp2"),
        (("--machines", "1/2@here:29500"), "is for several processes"),
        (("--on", "ray"), "ray is for several processes"),
    ],
)
def test_refused(cli: Callable[..., object], options: tuple[str, ...], said: str, tmp_path: Path) -> None:
    outcome = cli("train", "lenet5-caffe", "-d", "digits", "-o", str(tmp_path), *options)
    assert outcome.code == 2
    assert said in outcome.err


def test_told_chosen_and_measured(cli: Callable[..., object], tmp_path: Path) -> None:
    """What one process cannot do within a limit, two can; the peak of each is told."""
    usual = ("train", "lenet5-caffe", "-d", "digits", "--epochs", "1", "--augment", "none", "--threads", "1", "--json")
    usual = (*usual, "--precision", "fp32")
    told = json.loads(cli(*usual, "--explain", "--mesh", "zero12").out)["plain"]
    assert told["mesh"] == "zero12"
    assert [each["place"] for each in told["processes"]] == ["each of 2", "starter"]
    limit = told["memory"]["high"] + 10**6
    done = cli(*usual, "-o", tmp_path, "--mesh", "zero12", "--memory", f"{limit}")
    assert done.code == 0, done.err
    memory = json.loads(done.out)["memory"]
    assert memory["mesh"] == "zero12"
    assert [rank["place"] for rank in memory["ranks"]] == ["zero10", "zero11"]
    assert all(rank["before_bytes"] < rank["peak_bytes"] for rank in memory["ranks"])
    refused = cli(*usual, "-o", tmp_path / "other", "--mesh", "auto:2", "--memory", "1MB")
    assert refused.code == 1
    assert "does not fit into 977 KiB" in refused.err


def test_a_chosen_mesh_is_kept_for_the_same_command(cli: Callable[..., object], tmp_path: Path) -> None:
    """Chosen anew it would be one process: there is room enough. For other numbers it is chosen again, and said."""
    from chipwise.training import checkpoint as checkpoints

    usual = ("train", "lenet5-caffe", "-d", "digits", "--epochs", "1", "--threads", "1", "-o", tmp_path, "--json")
    assert cli(*usual, "--mesh", "auto:2", "--memory", "100GB").code == 0
    file = tmp_path / "checkpoint" / "last.safetensors"
    found = checkpoints.load(file)
    assert found.state.mesh == ChosenMesh("1", most=2, machines=1, memory="100GB")
    state = dataclasses.replace(found.state, mesh=dataclasses.replace(found.state.mesh, mesh="zero12"))
    checkpoints.save(file, dataclasses.replace(found, state=state))

    kept = cli(*usual, "--mesh", "auto:2", "--memory", "100GB")
    assert kept.code == 0, kept.err
    assert json.loads(kept.out)["memory"]["mesh"] == "zero12"
    assert json.loads(kept.out)["memory"]["limit_bytes"] == 100 * 10**9
    assert "chosen again" not in kept.err
    for asked in (("auto:4", "100GB"), ("auto:2", "90GB")):
        other = cli(*usual, "--mesh", asked[0], "--memory", asked[1])
        assert json.loads(other.out)["memory"]["mesh"] == "1"
        said = "mesh: zero12 was chosen for 2 processes at most, each within 100GB; chosen again for"
        assert f"{said} {asked[0][-1]} processes at most, each within {asked[1]}" in other.err
