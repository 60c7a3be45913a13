"""Draw what a network says of each input and write it into a folder, never over an input or another's picture.

Every PNG that is written says in its first chunk that chipwise made it; only such a file is drawn over.

>>> import numpy as np
>>> from chipwise.tasks.pictures import png_bytes
>>> b"Software" in signed(png_bytes(np.zeros((2, 2, 1), np.uint8)))
True
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chipwise.codec.files import atomic_write, check_writable
from chipwise.core.errors import InputError, StorageError
from chipwise.views.overlay import areas_png, boxes_png, classes_png, image_png
from chipwise.views.signals import heat_png, values_png

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chipwise.compiler.answers import Answer
    from chipwise.core.report import Prediction

_HEADER_BYTES = 33  # a PNG's magic number and its first chunk, IHDR
_TEXT = b"tEXtSoftware\0chipwise"
_SIGNATURE = struct.pack(">I", len(_TEXT) - 4) + _TEXT + struct.pack(">I", zlib.crc32(_TEXT))


class Album:
    """A folder that drawings are put into, each named after its input.

    Args:
        folder: made when it is missing.
        inputs: files that must stay as they are.
        numbered: name drawings "frame-00001.png" and so on instead.

    Raises:
        InputError: it is a file, or lies in one. StorageError: when nothing can be written there.
    """

    def __init__(self, folder: Path, inputs: Iterable[Any] = (), *, numbered: bool = False) -> None:
        try:
            check_writable(folder / "drawn.png")
        except StorageError as error:
            if not isinstance(error.__cause__, (FileExistsError, NotADirectoryError)):
                raise
            where = "is a file" if isinstance(error.__cause__, FileExistsError) else "lies in a file"
            raise InputError(f"cannot draw into {folder}: it {where}", hint="name a folder") from error
        self.blank = 0  # answers that had no picture
        self._folder, self._numbered = folder, numbered
        self._taken = {given.resolve() for given in inputs if isinstance(given, Path)}
        self._count = 0

    def keep(self, answer: Answer) -> Prediction:
        """Draw an answer; the prediction then says where. What has no picture to show is left as it is."""
        data = drawing(answer)
        self._count += 1
        if data is None:
            self.blank += 1
            return answer.prediction
        stem = f"frame-{self._count:05d}" if self._numbered else _stem(answer.prediction.input)
        return replace(answer.prediction, drawn=str(self.write(stem, data)))

    def write(self, stem: str, data: bytes) -> Path:
        """Write a PNG as "stem.png", or "stem-2.png" and so on where that is not this run's own."""
        path = self._path(stem)
        atomic_write(path, signed(data))
        return path

    def _path(self, stem: str) -> Path:
        """A file of this run's own: no input, none that was drawn before, and none that chipwise did not draw."""
        number = 1
        while True:
            path = self._folder / (f"{stem}.png" if number == 1 else f"{stem}-{number}.png")
            if path.resolve() not in self._taken and _ours(path):
                self._taken.add(path.resolve())
                return path
            number += 1


def drawing(answer: Answer) -> bytes | None:
    """An answer as a PNG; None when there is nothing to see."""
    said = answer.prediction
    if answer.image is not None:
        return image_png(answer.image)
    if answer.classes is not None:
        return areas_png(answer.picture, answer.classes, answer.labels, said.areas)
    if said.top:
        return classes_png(answer.picture, said.top)
    if len(said.values) > 1:
        sound = answer.signal is not None and answer.rate
        seconds = len(answer.signal) / answer.rate if sound and answer.signal is not None else 0.0
        return values_png(said.values, step_s=seconds / len(said.values), signal=answer.signal, rate=answer.rate)
    if answer.picture is not None and answer.array is None:
        return boxes_png(answer.picture, said.boxes)
    return None if answer.array is None else heat_png(answer.array)


def signed(png: bytes) -> bytes:
    """A PNG with a chunk that names chipwise right after its header."""
    return png[:_HEADER_BYTES] + _SIGNATURE + png[_HEADER_BYTES:]


def _stem(name: str) -> str:
    """The name of a drawing: that of "dog.jpg[3]" is "dog-3"."""
    parts = re.fullmatch(r"(.*?)(?:\[(\d+)\])?", Path(name).name, re.DOTALL)
    stem = Path(parts[1]).stem if parts else "array"
    return stem + (f"-{parts[2]}" if parts and parts[2] else "")


def _ours(path: Path) -> bool:
    """True when nothing lies there, or a PNG file that chipwise drew."""
    if not path.exists():
        return True
    try:
        with path.open("rb") as file:
            return file.read(_HEADER_BYTES + len(_SIGNATURE)).endswith(_SIGNATURE)
    except OSError:  # a folder, or not ours to read
        return False
