"""Pictures one after the other: the files of a folder in the order of their names, a film, or a moving picture.

>>> import pathlib, tempfile
>>> from chipwise.tasks.pictures import png_bytes
>>> folder = pathlib.Path(tempfile.mkdtemp())
>>> for name in ("b.png", "a.png"):
...     _ = (folder / name).write_bytes(png_bytes(np.zeros((2, 2, 3), np.uint8)))
>>> count, frames = open_frames(folder)
>>> count, [pathlib.Path(name).name for name, _ in frames]
(2, ['a.png', 'b.png'])
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import numpy as np

from chipwise.core.errors import DataError, MissingExtraError
from chipwise.tasks.pictures import SUFFIXES, moving_picture, open_picture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    Frames = Iterator[tuple[str, NDArray[np.uint8]]]


def open_frames(path: Path) -> tuple[int, Frames]:
    """Open a folder of pictures, a film, or a moving picture (.gif, .webp, ...).

    Returns:
        how many frames there are (0 when that is not known), and each frame's name and picture, read when wanted. In a
        folder a picture that cannot be read raises DataError when its turn comes, and the next one can still be had.

    Raises:
        DataError: when there are none, or it is nothing of this. MissingExtraError: a film, and OpenCV is missing.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
        if not files:
            raise DataError(f"{path} holds no pictures", hint=f"known formats: {', '.join(sorted(SUFFIXES))}")
        return len(files), map(_frame, files)  # goes on after an error, as a generator does not
    if not path.is_file():
        raise DataError(f"no such folder or film: {path}")
    if path.suffix.lower() in SUFFIXES:
        count, pictures = moving_picture(path)
        return count, ((f"{path}[{number}]", picture) for number, picture in enumerate(pictures))
    try:
        film = importlib.import_module("chipwise.tasks.film")
    except ModuleNotFoundError as error:
        if error.name != "cv2":
            raise
        raise MissingExtraError("cv2", "vision") from error
    opened: tuple[int, Frames] = film.film_frames(path)
    return opened


def _frame(file: Path) -> tuple[str, NDArray[np.uint8]]:
    return str(file), open_picture(file)
