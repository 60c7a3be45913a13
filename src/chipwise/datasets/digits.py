"""The handwritten digits that come with chipwise: 1,797 real grey pictures of 8 x 8 pixels, 10 classes.

These are the 1,797 test samples of "Optical Recognition of Handwritten Digits" by E. Alpaydin and C. Kaynak (1998), UCI
Machine Learning Repository, https://doi.org/10.24432/C50P49, licensed under CC BY 4.0; the same that scikit-learn
ships. Changed here only in format: two IDX files, pixels 0..16 as in the original. `load` brings the pixels to 0..255.

>>> from chipwise.core.events import silent
>>> load("", silent).inputs.shape
(1797, 8, 8, 1)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from chipwise.datasets.dataset import Dataset, make
from chipwise.datasets.idx import read_idx

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chipwise.core.events import Progress

_FOLDER = Path(__file__).with_name("digits_data")
_LEVELS = 16  # each original pixel counts the ink in a 4 x 4 block of a 32 x 32 scan


def load(argument: str, progress: Progress) -> Dataset:  # noqa: ARG001 (every source has this signature)
    """Read the embedded digits: uint8 [1797, 8, 8, 1], 0 (paper) to 255 (ink), and labels 0..9."""
    pixels, labels = original()
    scaled = (pixels.astype(np.uint16) * 255 + _LEVELS // 2) // _LEVELS
    return make("digits", scaled.astype(np.uint8), labels, tuple("0123456789"))


def original() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The pictures as published, uint8 [1797, 8, 8] of 0..16, and the labels."""
    images = read_idx(_FOLDER / "digits-images-idx3-ubyte.gz", 3)
    return images, read_idx(_FOLDER / "digits-labels-idx1-ubyte.gz", 1)
