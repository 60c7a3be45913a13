"""Folders of pictures: DIR/cat/1.jpg, DIR/dog/2.jpg, ...; each subfolder is a class.

DIR/train/cat/1.jpg and DIR/test/cat/2.jpg (and optionally DIR/val/...) give an official test set. Pictures of different
sizes are stretched to the size that most of them have, and everything longer than 512 pixels is made smaller, so that
the data set is one array; the network's own size comes later, from its preprocessing. One colour picture makes all of
them RGB. Whoever can do with pictures that stay in their files says when they shall: the data set, its digest and what
is refused are the same then.

>>> import numpy as np, pathlib, tempfile
>>> from chipwise.core.events import silent
>>> from chipwise.tasks.pictures import png_bytes
>>> root = pathlib.Path(tempfile.mkdtemp())
>>> for name in ("cat", "dog"):
...     (root / name).mkdir()
...     _ = (root / name / "1.png").write_bytes(png_bytes(np.zeros((9, 9, 1), np.uint8)))
>>> load(str(root), silent).class_names
('cat', 'dog')
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from chipwise.core.errors import DataError
from chipwise.datasets.dataset import Dataset, in_files, make
from chipwise.datasets.memory import require_memory
from chipwise.datasets.picture_files import PictureFiles, asked, each_of
from chipwise.tasks.pictures import SUFFIXES, open_picture, picture_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from chipwise.core.events import Progress

MAX_SIDE = 512
_VALIDATION = ("val", "valid", "validation")
_STAGE, _CHECKED = "reading pictures", "checking pictures"
_Row = tuple[Path, int]


def load(
    argument: str,
    progress: Progress,
    *,
    skip_bad: bool = False,
    lazily: Callable[[PictureFiles], bool] | None = None,
) -> Dataset:
    """Read every picture below a folder.

    Files that are no pictures by their name are left out, and said so.

    Args:
        argument: the folder.
        progress: told how far it is.
        skip_bad: leave out pictures that cannot be read, as if they were not there; `Dataset.skipped` names them.
        lazily: whether the pictures stay in their files: each is read once all the same, so that what is damaged is
            known now, and the digest. None for no.

    Raises:
        DataError: when there are no class folders, one holds no pictures, or a picture is damaged (it is named).
        MachineError: when the pictures do not fit into memory.
    """
    root = Path(argument)
    if not root.is_dir():
        raise DataError(f"{root} is no folder", hint="folder: takes a folder with one subfolder for each class")
    names, rows, test_count = _rows(root, progress)
    sound = list(each_of(_sound, [path for path, _ in rows])) if skip_bad else [True] * len(rows)
    kept = [row for row, good in zip(rows, sound, strict=True) if good]
    tested = sum(sound[len(rows) - test_count :])
    _check_left(root, names, {label for _, label in kept[: len(kept) - tested]})
    files = _files_of(root, kept, progress)
    labels = np.array([label for _, label in kept], np.int64)
    bad = tuple(str(path) for (path, _), good in zip(rows, sound, strict=True) if not good)
    name = f"folder:{argument}"
    if lazily is not None and lazily(files):
        found = in_files(name, files, _told(files, progress), labels, names, test_count=tested)
    else:
        found = make(name, _read(files, progress), labels, names, tested)
    return replace(found, skipped=bad)


def _sound(path: Path) -> bool:
    try:
        open_picture(path)
    except DataError:
        return False
    return True


def _check_left(root: Path, names: Sequence[str], left: set[int]) -> None:
    """Refuse a class that has lost all its pictures.

    Raises:
        DataError: naming it.
    """
    gone = [name for label, name in enumerate(names) if label not in left]
    if gone:
        raise DataError(f"{root}: no picture of class {gone[0]} can be read", hint="mend them, or remove the class")


def _rows(root: Path, progress: Progress) -> tuple[tuple[str, ...], list[_Row], int]:
    """Class names, all (file, label) with the official test files last, and how many those are."""
    parts = {folder.name.lower(): folder for folder in _subfolders(root)}
    official = {"train", "test"} <= parts.keys() <= {"train", "test", *_VALIDATION}
    if not (official and all(_subfolders(folder) for folder in parts.values())):
        names = _classes(root)
        return names, _files(root, names, progress), 0
    names = _classes(parts["train"])
    rows = _files(parts["train"], names, progress)
    for part in sorted(parts.keys() - {"train", "test"}):
        rows += _files(parts[part], names, progress)
    test = _files(parts["test"], names, progress)
    return names, rows + test, len(test)


def _classes(root: Path) -> tuple[str, ...]:
    names = tuple(folder.name for folder in _subfolders(root))
    if not names:
        raise DataError(f"{root} has no class folders", hint=f"put the pictures into {root}/CLASS/")
    return names


def _files(root: Path, names: tuple[str, ...], progress: Progress) -> list[_Row]:
    unknown = [folder.name for folder in _subfolders(root) if folder.name not in names]
    if unknown:
        raise DataError(f"{root} has class {unknown[0]!r}, which the training part has not")
    rows: list[_Row] = []
    others = [path for path in root.iterdir() if path.is_file()]
    for label, name in enumerate(names):
        if not (root / name).is_dir():
            continue  # a class that the official test part does not have
        files = [path for path in sorted((root / name).rglob("*")) if path.is_file() and not path.name.startswith(".")]
        found = [path for path in files if path.suffix.lower() in SUFFIXES]
        if not found:
            raise DataError(f"class folder {root / name} holds no pictures", hint="remove it, or put pictures there")
        others += [path for path in files if path.suffix.lower() not in SUFFIXES]
        rows += [(path, label) for path in found]
    others = [path for path in others if not path.name.startswith(".")]
    if others:
        progress.note(f"left out {len(others)} files of {root} that are no pictures, such as {others[0].name}")
    return rows


def _files_of(root: Path, rows: Sequence[_Row], progress: Progress) -> PictureFiles:
    """The pictures and the size that they will have, from their headers."""
    shapes = list(each_of(lambda path: asked(picture_shape, path), [path for path, _ in rows]))
    channels = max(shape[2] for shape in shapes)
    height, width = _common_size([shape[:2] for shape in shapes])
    different = sum(shape[:2] != (height, width) for shape in shapes)
    if different:
        progress.note(f"{different} of {len(rows)} pictures have another size: stretched to {height} x {width}")
    names = np.array([os.fsencode(path.relative_to(root)) for path, _ in rows])
    return PictureFiles(root, names, height, width, channels)


def _read(files: PictureFiles, progress: Progress) -> NDArray[np.uint8]:
    require_memory(files.read_bytes, f"{len(files):,} pictures of {files.height} x {files.width}")
    result = np.empty(files.shape, np.uint8)
    for index in range(len(files)):
        files.read_into(result, index)
        if index % 64 == 0:
            progress.update(_STAGE, index / len(files), files.path(index).parent.name)
    progress.update(_STAGE, 1.0)
    return result


def _told(files: PictureFiles, progress: Progress) -> Iterator[NDArray[np.uint8]]:
    """All pictures once, some at a time; how far it is is told."""
    done = 0
    for block in files.blocks():
        yield block
        done += len(block)
        progress.update(_CHECKED, done / len(files), files.path(done - 1).parent.name)


def _common_size(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The most frequent size (the larger one where two are), made smaller to at most MAX_SIDE."""
    counts = Counter(sizes)
    height, width = max(counts, key=lambda size: (counts[size], size[0] * size[1], size))
    factor = min(1.0, MAX_SIDE / max(height, width, 1))
    return max(1, round(height * factor)), max(1, round(width * factor))


def _subfolders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith((".", "__")))
