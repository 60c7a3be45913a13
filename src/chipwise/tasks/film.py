"""Frames of a film, through OpenCV; the one module that knows it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # quiet: what is wrong with a film is raised, in one line

import cv2
import numpy as np

from chipwise.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_HINT = "films that OpenCV opens are read (.mp4, .avi, .mkv, ...), and folders of pictures"


def film_frames(path: Path) -> tuple[int, Iterator[tuple[str, NDArray[np.uint8]]]]:
    """Open a film.

    Returns:
        how many frames its header promises (0 when it does not say), and each frame's name and picture, uint8 RGB.

    Raises:
        DataError: when it is no film that can be read.
    """
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        capture = cv2.VideoCapture(str(path))
    except cv2.error as error:
        raise DataError(f"{path} is no film that can be read: {error.err}", hint=_HINT) from error
    if not capture.isOpened():
        raise DataError(f"{path} is no film that can be read", hint=_HINT)
    count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    return (int(count) if 0 < count < 1e9 else 0), _frames(path, capture)


def _frames(path: Path, capture: cv2.VideoCapture) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    number = 0
    try:
        while True:
            there, frame = capture.read()
            if not there:
                return
            yield f"{path}[{number}]", np.ascontiguousarray(frame[..., ::-1], dtype=np.uint8)
            number += 1
    except cv2.error as error:
        raise DataError(f"{path}: frame {number} cannot be read: {error.err}", hint=_HINT) from error
    finally:
        capture.release()
