"""Where pictures are while a network is trained or tuned: in memory where they fit, else in their files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import chipwise
from chipwise import datasets
from chipwise.api.reading import sample_bytes, stand_on
from chipwise.core.errors import DataError, InputError
from chipwise.datasets import memory
from chipwise.networks.load import load
from chipwise.tasks.pictures import png_bytes

pytest.importorskip("torch")

from chipwise.training.settings import Settings

pytestmark = pytest.mark.runtime

NET = "lenet5-keras"
QUICK = {"epochs": 1, "threads": 1, "augment": "none", "batch_size": 16}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for index in range(40):
            picture = random.integers(0, 255, (28, 28, 1), dtype=np.uint8)
            (tmp_path / "data" / name / f"{index}.png").write_bytes(png_bytes(picture))
    return tmp_path / "data"


def loading(record: object) -> object:
    return record.settings.get("loading", "in memory")  # type: ignore[attr-defined]


def test_pictures_stay_in_their_files_where_they_do_not_fit(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = f"folder:{folder}"
    here = chipwise.train(NET, data, folder=tmp_path / "here", **QUICK)
    monkeypatch.setattr(memory, "available_bytes", lambda: 200_000)  # of which the float inputs alone take more
    there = chipwise.train(NET, data, folder=tmp_path / "there", **QUICK)
    assert (loading(here), loading(there)) == ("in memory", "workers")
    one, other = ((tmp_path / name / "weights.safetensors").read_bytes() for name in ("here", "there"))
    assert one == other


def test_where_they_are_can_be_said(folder: Path, tmp_path: Path) -> None:
    data = f"folder:{folder}"
    told = chipwise.train(NET, data, folder=tmp_path / "a", loading="workers", workers=2, **QUICK)
    assert (loading(told), told.settings["workers"]) == ("workers", 2)
    for wrong, words in (
        ({"loading": "workers", "data": "digits"}, "digits is in memory already"),
        ({"loading": "workers", "mesh": "dp2"}, "mesh=dp2 has several"),
        ({"loading": "ram", "workers": 2}, "nothing to read"),
    ):
        with pytest.raises(InputError, match=words):
            chipwise.train(NET, folder=tmp_path / "b", **{"data": data, **QUICK, **wrong})
    with pytest.raises(InputError, match="curves have all in memory"):
        chipwise.learning_curve(NET, data, kind="epochs", folder=tmp_path / "c", loading="workers")


def test_a_corrupt_picture_is_named_and_left_out_the_same_wherever_they_are(folder: Path, tmp_path: Path) -> None:
    (folder / "cat" / "7.png").write_bytes((folder / "cat" / "7.png").read_bytes()[:-40])
    for where in ("ram", "workers"):
        with pytest.raises(DataError, match=r"7\.png") as caught:
            chipwise.train(NET, f"folder:{folder}", folder=tmp_path / where, loading=where, **QUICK)
        assert "--skip-bad" in caught.value.hint
    ram, lazy = (
        chipwise.train(NET, f"folder:{folder}", folder=tmp_path / where, loading=where, skip_bad=True, **QUICK)
        for where in ("ram", "workers")
    )
    assert ram.skipped == lazy.skipped == (str(folder / "cat" / "7.png"),)
    one, other = ((tmp_path / name / "weights.safetensors").read_bytes() for name in ("ram", "workers"))
    assert one == other


def test_memory_of_pictures_in_their_files_is_that_of_batches(folder: Path) -> None:
    ram, lazy = (
        chipwise.training_memory(NET, f"folder:{folder}", loading=where, **QUICK).plain.memory.data
        for where in ("ram", "workers")
    )
    sample = 4 * 28 * 28
    assert ram >= 64 * sample  # the training and validation splits as inputs
    names = datasets.load(f"folder:{folder}", lazily=lambda files: True).inputs.nbytes
    assert lazy <= 2 * names + (2 + 1 + 1) * 16 * sample


def test_workers_are_tuned_where_pictures_are_in_their_files(folder: Path) -> None:
    fixed = {"precision": "fp32", "channels_last": False, "compiled": False, "optimizer_form": "fused"}
    told = chipwise.tune(NET, f"folder:{folder}", budget_s=5.0, loading="workers", **QUICK, **fixed)
    rows = [row for row in told.rows if row.stage == "workers"]
    assert rows or any("workers: not tried" in note for note in told.notes)
    assert sum(row.kept for row in rows) <= 1
    assert any("pictures stay in their files" in note for note in told.notes)


def test_a_tuning_measures_on_as_many_pictures_as_fit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = datasets.load(f"folder:{folder}", lazily=lambda files: True)
    network = load(NET)
    sample = sample_bytes(network) + 2 * 28 * 28
    monkeypatch.setattr(memory, "available_bytes", lambda: 4 * 20 * sample)
    few, whole, told = stand_on(data, network, Settings())
    assert whole is not None
    assert (len(few.train), len(whole)) == (12, 48)
    assert isinstance(few.train.inputs, np.ndarray)
    assert "12 of 48 in memory" in told
    splits, nothing, told = stand_on(datasets.load("digits"), network, Settings())
    assert (len(splits.train), nothing) == (1077, None)
    assert "all 1,797 samples are in memory" in told
