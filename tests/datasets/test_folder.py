"""Pictures in class folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from chipwise import datasets
from chipwise.core.errors import DataError, MachineError
from chipwise.core.events import silent
from chipwise.datasets import folder, memory
from chipwise.tasks.pictures import png_bytes


class Notes:
    """A progress that keeps what it is told."""

    def __init__(self):
        self.notes, self.stages = [], []

    def update(self, stage, fraction, message=""):
        self.stages.append((stage, fraction))

    def note(self, message):
        self.notes.append(message)


def put(path, *shape, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png_bytes(np.full(shape, value, np.uint8)))


def load(path, progress=None):
    return datasets.load(f"folder:{path}", progress=progress or Notes())


def test_each_subfolder_is_a_class(tmp_path):
    put(tmp_path / "dog" / "b.png", 6, 5, 1, value=2)
    put(tmp_path / "dog" / "deep" / "A.PNG", 6, 5, 1, value=3)
    put(tmp_path / "cat" / "c.png", 6, 5, 1, value=1)
    progress = Notes()
    data = load(tmp_path, progress)
    assert (data.class_names, data.labels.tolist(), data.inputs.shape) == (("cat", "dog"), [0, 1, 1], (3, 6, 5, 1))
    assert sorted(data.inputs[:, 0, 0, 0].tolist()) == [1, 2, 3]
    assert progress.notes == []
    assert progress.stages[-1][1] == 1.0


def test_one_colour_picture_makes_all_rgb(tmp_path):
    put(tmp_path / "a" / "1.png", 6, 5, 1, value=9)
    put(tmp_path / "b" / "1.png", 6, 5, 3, value=7)
    data = load(tmp_path)
    assert data.inputs.shape == (2, 6, 5, 3)
    assert data.inputs[0].tolist() == np.full((6, 5, 3), 9).tolist()


def test_other_sizes_are_stretched_to_the_most_common(tmp_path):
    for index in range(2):
        put(tmp_path / "a" / f"{index}.png", 6, 5, 1)
    put(tmp_path / "b" / "1.png", 60, 50, 1, value=4)
    progress = Notes()
    data = load(tmp_path, progress)
    assert data.inputs.shape == (3, 6, 5, 1)
    assert (data.inputs[2] == 4).all()
    assert progress.notes == ["1 of 3 pictures have another size: stretched to 6 x 5"]


def test_large_pictures_are_made_smaller_in_proportion(tmp_path):
    put(tmp_path / "a" / "1.png", 1024, 600, 1)
    assert load(tmp_path).inputs.shape == (1, 512, 300, 1)


def test_an_official_test_folder_stays_test(tmp_path):
    for part, count in (("train", 3), ("val", 2), ("test", 1)):
        for name in ("cat", "dog"):
            for index in range(count):
                put(tmp_path / part / name / f"{index}.png", 4, 4, 1, value=count)
    data = load(tmp_path)
    assert (len(data), data.test_count, data.class_names) == (12, 2, ("cat", "dog"))
    assert (data.inputs[-2:] == 1).all()
    put(tmp_path / "test" / "cow" / "1.png", 4, 4, 1)
    with pytest.raises(DataError, match="'cow'"):
        load(tmp_path)


def test_classes_called_train_and_test_are_classes(tmp_path):
    for name in ("train", "test"):
        put(tmp_path / name / "1.png", 4, 4, 1)
    assert load(tmp_path).class_names == ("test", "train")


def test_files_that_are_no_pictures_are_left_out_and_named(tmp_path):
    put(tmp_path / "a" / "1.png", 4, 4, 1)
    (tmp_path / "a" / "notes.txt").write_text("hello")
    (tmp_path / "a" / ".DS_Store").write_text("")
    progress = Notes()
    assert len(load(tmp_path, progress)) == 1
    assert len(progress.notes) == 1
    assert "notes.txt" in progress.notes[0]


def test_a_broken_picture_is_named(tmp_path):
    put(tmp_path / "a" / "1.png", 40, 40, 1)
    (tmp_path / "a" / "2.png").write_bytes((tmp_path / "a" / "1.png").read_bytes()[:-20])
    with pytest.raises(DataError, match=r"2\.png"):
        load(tmp_path)
    (tmp_path / "a" / "2.png").write_text("text")
    with pytest.raises(DataError, match=r"2\.png"):
        load(tmp_path)


def test_empty_classes_and_folders_are_refused(tmp_path):
    with pytest.raises(DataError, match="no folder"):
        load(tmp_path / "none")
    with pytest.raises(DataError, match="no class folders"):
        load(tmp_path)
    put(tmp_path / "a" / "1.png", 4, 4, 1)
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match="b holds no pictures"):
        load(tmp_path)


def test_pictures_beyond_the_memory_are_refused(tmp_path, monkeypatch):
    put(tmp_path / "a" / "1.png", 4, 4, 1)
    monkeypatch.setattr(memory, "available_bytes", lambda: 15)
    with pytest.raises(MachineError, match="1 pictures of 4 x 4"):
        load(tmp_path)
    assert folder.MAX_SIDE == 512


def test_pictures_that_cannot_be_read_are_left_out_as_if_they_were_not_there(tmp_path):
    for part, count in (("train", 4), ("test", 2)):
        for name in ("cat", "dog"):
            for index in range(count):
                put(tmp_path / part / name / f"{index}.png", 4, 4, 1, value=10 * index + count)
    for bad in ("train/cat/1.png", "test/dog/0.png"):
        (tmp_path / bad).write_bytes((tmp_path / bad).read_bytes()[:-20])
    (tmp_path / "train/dog/2.png").write_text("text")
    with pytest.raises(DataError, match=r"1\.png") as caught:
        load(tmp_path)
    assert "--skip-bad" in caught.value.hint
    data = folder.load(str(tmp_path), silent, skip_bad=True)
    assert data.skipped == tuple(
        f"{tmp_path}/{bad}" for bad in ("train/cat/1.png", "train/dog/2.png", "test/dog/0.png")
    )
    assert (len(data), data.test_count) == (9, 3)
    for bad in data.skipped:
        Path(bad).unlink()
    without = load(tmp_path)
    assert (without.digest, without.test_count, without.skipped) == (data.digest, 3, ())
    assert folder.load(str(tmp_path), silent, skip_bad=True).digest == data.digest
    for index in range(4):
        (tmp_path / f"train/dog/{index}.png").write_text("text")
    with pytest.raises(DataError, match="no picture of class dog can be read"):
        folder.load(str(tmp_path), silent, skip_bad=True)
