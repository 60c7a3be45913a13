"""Draw what a network says of each input and write it into a folder, never over an input."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chipwise.codec.files import atomic_write, check_writable
from chipwise.show.overlay import areas_png, boxes_png, classes_png, image_png
from chipwise.show.signals import heat_png, values_png

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chipwise.compiler.answers import Answer
    from chipwise.core.report import Prediction

_PNG = b"\x89PNG\r\n\x1a\n"


class Album:
    """A folder that drawings are put into, each named after its input.

    Args:
        folder: made when it is missing.
        inputs: files that must stay as they are.
        numbered: name drawings "frame-00001.png" and so on instead.

    Raises:
        StorageError: when nothing can be written there.
    """

    def __init__(self, folder: Path, inputs: Iterable[Any] = (), *, numbered: bool = False) -> None:
        check_writable(folder / "drawn.png")
        self._folder, self._numbered = folder, numbered
        self._taken = {given.resolve() for given in inputs if isinstance(given, Path)}
        self._count = 0

    def keep(self, answer: Answer) -> Prediction:
        """Draw an answer; the prediction then says where. What has no picture to show is left as it is."""
        data = drawing(answer)
        self._count += 1
        if data is None:
            return answer.prediction
        path = self._path(answer.prediction.input)
        atomic_write(path, data)
        return replace(answer.prediction, drawn=str(path))

    def _path(self, name: str) -> Path:
        """A file of this run's own: no input, none that was drawn before, and none that is no PNG."""
        parts = re.fullmatch(r"(.*?)(?:\[(\d+)\])?", Path(name).name, re.DOTALL)
        stem = Path(parts[1]).stem if parts else "array"
        stem += f"-{parts[2]}" if parts and parts[2] else ""
        if self._numbered:
            stem = f"frame-{self._count:05d}"
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


def _ours(path: Path) -> bool:
    """True when nothing lies there, or a PNG file."""
    if not path.exists():
        return True
    try:
        with path.open("rb") as file:
            return file.read(len(_PNG)) == _PNG
    except OSError:  # a folder, or not ours to read
        return False
