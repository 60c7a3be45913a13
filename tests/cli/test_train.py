"""`chipwise train` answers its question with its exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from chipwise import datasets
from chipwise.cli import recipe
from chipwise.cli.train import default_folder

pytest.importorskip("torch")
pytestmark = pytest.mark.runtime

NET = "lenet-300-100"


@pytest.mark.parametrize(
    ("network", "folder"),
    [
        ("squeezenet1.1", "squeezenet1.1"),
        ("mobilenet-v1:width=0.25,num_classes=3", "mobilenet-v1-width=0.25,num_classes=3"),
        ("package.module:net", "package.module-net"),
        ("some/where/", "where"),
        ("nets/mine.ONNX.onnx", "mine.ONNX"),
        ("..", "network"),
        ("a b:\n$(c)", "a-b-c"),
    ],
)
def test_the_folder_when_none_is_said(network: str, folder: str) -> None:
    assert default_folder(network) == Path("runs") / folder


def test_target_reached_and_missed(cli: Callable[..., object], tmp_path: Path) -> None:
    usual = ("train", "lenet-300-100", "--epochs", "1", "--augment", "none", "--json")
    reached = cli(*usual, "-o", tmp_path / "easy", "--target-accuracy", "20%")
    assert reached.code == 0, reached.err
    assert json.loads(reached.out)["stopped"] == "target reached"
    missed = cli(*usual, "-o", tmp_path / "hard", "--target-accuracy", "99.99%")
    assert missed.code == 1, missed.err
    assert json.loads(missed.out)["schema"] == "chipwise.train/1"


def test_transfer(cli: Callable[..., object], tmp_path: Path) -> None:
    digits = datasets.load("digits")
    few = digits.labels < 3
    np.savez(tmp_path / "few.npz", x=digits.inputs[few], y=digits.labels[few])
    quick = ("--threads", "1", "--augment", "none")
    assert cli("train", NET, "--epochs", "1", *quick, "-o", tmp_path / "before").code == 0
    data = f"npz:{tmp_path / 'few.npz'}"
    usual = ("train", NET, "--data", data, "--weights", tmp_path / "before", "--epochs", "3", *quick)
    done = cli(*usual, "-o", tmp_path / "a", "--freeze", "2", "--backbone-rate", "0.5", "--json")
    assert done.code == 0, done.err
    record = json.loads(done.out)
    assert record["settings"] | {"freeze": 2, "unfreeze_after": 1, "backbone_rate": 0.5} == record["settings"]
    assert [epoch["frozen"] for epoch in record["history"]] == [True, False, False]
    assert "freeze 2: 265,600 of 265,903 parameters stay as they are for 1 of 3 epochs" in done.err
    shown = cli(*usual, "-o", tmp_path / "a", "--freeze", "2", "--backbone-rate", "0.5")
    assert "frozen the first 2 layers in epochs 1 to 1" in " ".join(shown.out.split())
    assert "random" not in done.err
    blind = cli("train", NET, "--data", data, "--epochs", "1", *quick, "-o", tmp_path / "c", "--freeze", "backbone")
    assert "warning: no weights were given, so what is frozen is random: --weights W" in blind.err.splitlines()
    wrong = cli(*usual, "-o", tmp_path / "b", "--freeze", "most")
    assert (wrong.code, wrong.err.splitlines()[-2:]) == (
        2,
        ["error: unknown freeze 'most'", "hint: known: a number of layers, backbone"],
    )


def test_ways_of_learning(cli: Callable[..., object], tmp_path: Path) -> None:
    quick = ("train", NET, "--epochs", "1", "--threads", "1")
    assert cli(*quick, "--augment", "none", "-o", tmp_path / "teacher").code == 0
    ways = ("--optimizer", "sgd", "--momentum", "0.8", "--plain-momentum", "--lr", "0.01", "--clip-norm", "1")
    ways += ("--ema", "0.9", "--augment", "mixup=0.4,crop,cutout", "--teacher", tmp_path / "teacher")
    done = cli(*quick, *ways, "--teacher-share", "0.5", "--teacher-temperature", "2", "-o", tmp_path / "run", "--json")
    assert done.code == 0, done.err
    settings = json.loads(done.out)["settings"]
    assert settings.items() >= {
        "optimizer": "sgd", "momentum": 0.8, "nesterov": False, "clip_norm": 1, "ema": 0.9,
        "augment": "crop,cutout=0.5,mixup=0.4", "teacher_share": 0.5, "teacher_temperature": 2,
    }.items()  # fmt: skip
    (row,) = [json.loads(line) for line in (tmp_path / "run" / "runs.jsonl").read_text().splitlines()]
    assert (row["schema"], row["settings"]) == ("chipwise.run/1", settings)
    for wrong, told in (
        (("--augment", "flap"), "error: unknown augment 'flap'"),
        (("--dropout", "0.5"), "error: dropout=0.5, but the network has no dropout layer"),
        (("--momentum", "0.5"), "error: momentum=0.5, but adamw has none"),
        (("--teacher", "lenet5"), "error: lenet5 is not trained"),
        (("--skip-bad",), "error: 'digits' is no folder of pictures, so none can be left out"),
    ):
        failed = cli(*quick, *wrong, "-o", tmp_path / "wrong")
        assert failed.code == 2
        assert told in failed.err.splitlines()


@pytest.mark.parametrize(
    ("begun", "completed"),
    [("a", ["auto", "affine"]), ("flip,c", ["flip,crop", "flip,cutout"]), ("flip,a", ["flip,affine"]), ("x", [])],
)
def test_augmentations_are_completed_after_each_comma(begun: str, completed: list[str]) -> None:
    assert recipe._augmentations(begun) == completed


def test_a_device_or_format_that_is_not_here_ends_before_anything_is_read(
    cli: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    for options, told in (
        (["--device", "cuda"], "device=cuda is not here: there is cpu"),
        (["--device", "tpu"], "device='tpu' is none"),
        (["--precision", "tf32"], "precision=tf32 is not to be had on cpu"),
        (["--device", "cpu", "--curve", "data"], "--device is not for curves"),
    ):
        found = cli("train", "lenet5", "-d", "folder:nowhere", "-o", tmp_path / "run", *options)
        assert found.code == 2
        assert told in found.err
    assert "device=cuda is not here" in cli("tune", "lenet5", "--device", "cuda").err
    assert not (tmp_path / "run").exists()
