"""Teachers, pictures that cannot be read, and settings that only training heeds, through the Python functions."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

import chipwise
from chipwise import datasets
from chipwise.core.errors import InputError, NetworkError
from chipwise.core.report import Training
from chipwise.datasets.dataset import Dataset, make
from chipwise.tasks.pictures import png_bytes

pytest.importorskip("torch")
pytestmark = pytest.mark.runtime

NET = "lenet5-keras"
QUICK = {"epochs": 1, "threads": 1, "augment": "none", "batch_size": 32}


@pytest.fixture(scope="module")
def few() -> Dataset:
    return datasets.load("digits").take(np.arange(300))


@pytest.fixture(scope="module")
def teacher(few: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher")
    chipwise.train(NET, few, folder=folder, **QUICK)
    return folder


def taught(folder: Path, data: Dataset, **given: object) -> Training:
    return chipwise.train(NET, data, folder=folder, **{**QUICK, "seed": 1, **given})


def test_a_folder_a_graph_and_a_zoo_name_with_weights_teach_the_same(
    few: Dataset, teacher: Path, tmp_path: Path
) -> None:
    graph, small = tmp_path / "teacher.onnx", tmp_path / "teacher.cwz"
    for path in (graph, small):
        chipwise.export(teacher, output=path)
    alone = taught(tmp_path / "alone", few).history[0]
    by_folder = taught(tmp_path / "a", few, teacher=teacher)
    by_graph = taught(tmp_path / "b", few, teacher=graph)
    by_small = taught(tmp_path / "d", few, teacher=small)
    by_weights = taught(tmp_path / "c", few, teacher=NET, teacher_weights=teacher / "weights.safetensors")
    assert by_folder.history[0].val_loss != alone.val_loss
    for other in (by_graph, by_small, by_weights):
        assert other.history[0].val_loss == pytest.approx(by_folder.history[0].val_loss, rel=1e-3)
    assert by_folder.settings["teacher_share"] == 0.9
    assert by_folder.settings["teacher_temperature"] == 3.0
    row = json.loads((tmp_path / "a" / "runs.jsonl").read_text())
    assert row["teacher"] == json.loads((teacher / "network.json").read_text())["digest"]
    assert "chipwise" in row["versions"]
    with pytest.raises(InputError, match=r"teacher .* there, .* now"):
        taught(tmp_path / "a", few, teacher=graph)
    with pytest.raises(InputError, match=r"teacher_share 0.9 there, 0.5 now"):
        taught(tmp_path / "a", few, teacher=teacher, teacher_share=0.5)


def test_a_graph_is_taught_and_averaged_too(few: Dataset, teacher: Path, tmp_path: Path) -> None:
    graph = tmp_path / "student.onnx"
    chipwise.export(teacher, output=graph)
    done = chipwise.train(
        graph, few, folder=tmp_path / "run", teacher=teacher, ema=0.9, clip_norm=1.0,
        **{**QUICK, "augment": "crop,cutout,mixup"},
    )  # fmt: skip
    assert done.settings["augment"] == "crop,cutout=0.5,mixup=0.2"
    assert done.history[0].val_accuracy > 0.2
    with pytest.raises(InputError, match="no dropout layer"):
        chipwise.train(graph, few, folder=tmp_path / "other", dropout=0.5, **QUICK)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"teacher": "lenet5"}, "lenet5 is not trained"),
        ({"teacher_weights": "w.safetensors"}, "but there is no teacher"),
        ({"teacher_share": 0.5}, "teacher_share=0.5, but there is no teacher"),
        ({"teacher": "yolov2"}, "not trained"),
    ],
)
def test_what_cannot_teach_is_said(given: dict[str, object], message: str, few: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        taught(tmp_path, few, **given)


def test_teachers_of_other_inputs_classes_and_pixels_are_refused(few: Dataset, teacher: Path, tmp_path: Path) -> None:
    def refused(network: str, data: Dataset, master: Path = teacher, **given: object) -> str:
        with pytest.raises(NetworkError) as caught:
            chipwise.train(network, data, folder=tmp_path / "run", teacher=master, **{**QUICK, **given})
        assert caught.value.exit_code == 2
        return caught.value.message

    def renamed(name: str, names: str) -> Dataset:
        rows = few.take(np.flatnonzero(few.labels < len(names)))
        return make(name, rows.inputs, rows.labels, tuple(names))

    assert "takes float32 [batch, 1, 32, 32], the network float32 [batch, 784]" in refused("lenet-300-100", few)
    assert "the teacher has other classes: five has 5 classes" in refused(NET, renamed("five", "abcde"))
    chipwise.train(NET, renamed("ten", "abcdefghij"), folder=tmp_path / "ten", **QUICK)
    assert "class 1 is 'b', not 'x'" in refused(NET, renamed("others", "axcdefghij"), tmp_path / "ten")
    assert "in another way: mean=(0.1307,) (not (0.5,))" in refused(NET, few, preprocess="mean=0.5")


def test_live_modules_do_not_teach(few: Dataset, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(InputError, match="a live module cannot teach"):
        taught(tmp_path, few, teacher=torch.nn.Linear(2, 2))


def test_pictures_that_cannot_be_read_are_told_of(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for index in range(12):
            picture = random.integers(0, 255, (28, 28, 1), dtype=np.uint8)
            (tmp_path / "data" / name / f"{index:02}.png").write_bytes(png_bytes(picture))
    bad = tmp_path / "data" / "cat" / "03.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\n")
    data, folder = f"folder:{tmp_path / 'data'}", tmp_path / "run"
    with pytest.raises(InputError, match=r"03\.png"):
        chipwise.train(NET, data, folder=folder, **QUICK)
    with pytest.warns(UserWarning, match=r"left out 1 of 24 pictures that cannot be read: .*03\.png"):
        done = chipwise.train(NET, data, folder=folder, skip_bad=True, **QUICK)
    assert done.skipped == (str(bad),)
    row = json.loads((folder / "runs.jsonl").read_text())
    assert (row["skipped"], sum(row["samples"].values())) == ([str(bad)], 23)
    bad.unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = chipwise.train(NET, data, folder=folder, **QUICK)
    assert again == done
    with pytest.raises(InputError, match="read already"):
        chipwise.train(NET, datasets.load("digits"), folder=folder, skip_bad=True, **QUICK)


@pytest.mark.parametrize("name", ["ema", "dropout", "teacher_temperature", "recompute", "evaluation_batch"])
def test_compression_refuses_what_it_would_not_heed(name: str, teacher: Path, few: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{name}=0.5 is for train alone"):
        chipwise.compress(teacher, few, output=tmp_path / "x.cwz", target="10x", **{name: 0.5})
