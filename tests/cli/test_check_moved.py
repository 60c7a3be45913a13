"""`chipwise check --shift`: networks side by side as the picture moves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from chipwise import api, datasets

pytest.importorskip("torch")
pytest.importorskip("sklearn")
pytestmark = pytest.mark.runtime

Cli = Callable[..., object]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digits twice as large, with room around them: none of them is shifted out of the picture."""
    small = datasets.load("digits")
    inputs = np.pad(small.inputs[..., 0].repeat(2, axis=1).repeat(2, axis=2), ((0, 0), (6, 6), (6, 6)))
    path = tmp_path_factory.mktemp("digits") / "digits.npz"
    np.savez(path, x=inputs, y=small.labels)
    return f"npz:{path}"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, digits: str) -> tuple[Path, Path]:
    """A network without convolutions and one with them, trained on pictures as they are."""
    folder = tmp_path_factory.mktemp("moved")
    for name, network in (("mlp", "lenet-300-100"), ("cnn", "convnet-small")):
        api.train(network, digits, folder=folder / name, epochs=4, threads=1, augment="none")
    return folder / "mlp", folder / "cnn"


def test_convolutions_keep_more_of_a_shifted_picture(
    cli: Cli, trained: tuple[Path, Path], digits: str, tmp_path: Path
) -> None:
    page = tmp_path / "moved.html"
    done = cli("check", *trained, "knn", "-d", digits, "--shift", "2", "--json", "--pictures", page)
    assert done.code == 0, done.err
    record = json.loads(done.out)
    assert (record["schema"], record["samples"], record["fill"]) == ("chipwise.motion/1", 360, [0])
    (shift,) = record["motions"]
    still, _, moved = (point["accuracy"] for point in shift["points"])
    assert all(each["mid"] > 0.9 for each in still)
    mlp, cnn, _ = moved
    assert cnn["low"] > mlp["high"]
    assert "accuracy on average: cnn" in page.read_text()
    assert f"the curves are in {page}" in done.err


def test_a_plan_stands_beside_others(cli: Cli, trained: tuple[Path, Path], digits: str, tmp_path: Path) -> None:
    plan = tmp_path / "x.plan"
    assert cli("compile", trained[0], "-o", plan, "--budget", "2s", "--runtime", "onnxruntime").code == 0
    done = cli("check", plan, trained[0], "-d", digits, "--scale", "1.2", "--samples", "50", "--json")
    assert done.code == 0, done.err
    (scale,) = json.loads(done.out)["motions"]
    assert [round(point["amount"], 3) for point in scale["points"]] == [0.833, 0.882, 0.938, 1, 1.067, 1.133, 1.2]
    for point in scale["points"]:
        assert point["accuracy"][0] == point["accuracy"][1]


def test_what_cannot_be_is_refused(cli: Cli, tmp_path: Path) -> None:
    np.savez(tmp_path / "arrays.npz", x=np.zeros((20, 4), np.float32), y=np.arange(20) % 2)
    arrays = ("--data", f"npz:{tmp_path / 'arrays.npz'}")
    for arguments, told in (
        (("knn", "--shift", "0"), "error: shift 0 is not possible"),
        (("knn", "--shift", "8"), "error: shift 8 moves pictures of 8 x 8 pixels out of sight"),
        (("knn", "--rotate", "200"), "error: rotate 200 is not possible"),
        (("knn", "--scale", "1"), "error: scale 1 is not possible"),
        (("knn", "knn", "--shift", "1"), "error: knn was given twice"),
        (("knn", "--shift", "1", *arrays), f"error: {arrays[1]} holds arrays, which cannot be moved"),
        (("lenet5", "--shift", "1"), "error: lenet5 is not trained"),
        (("x.plan", "--shift", "1", "--max-drop", "1%"), "error: --max-drop 1% is for a plan beside its source"),
        (("x.plan", "y.plan"), "error: one plan is compared with its source; received 2"),
        (("x.plan", "--samples", "5"), "error: --samples 5 needs a motion: --shift, --rotate or --scale"),
        (("knn", "--shift", "1", "--pictures", "x.gif"), "error: curves cannot be drawn into 'x.gif'"),
    ):
        refused = cli("check", *arguments)
        assert refused.code == 2, (arguments, refused)
        assert any(line.startswith(told) for line in refused.err.splitlines()), (told, refused.err)


def test_a_missing_library_is_one_line(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sklearn" else real(name))
    done = cli("check", "knn", "--shift", "1")
    assert (done.code, done.err.splitlines()) == (
        3,
        ["error: this needs sklearn, which is not installed", "hint: pip install 'chipwise[knn]'"],
    )
