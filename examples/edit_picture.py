"""Edit a picture by slicing alone: crop, mirror, tint a region, paste, and colour what is bright.

    python examples/edit_picture.py edited.png

The picture is a slice of a head by magnetic resonance that comes with matplotlib: 256 x 256 values of 16 bits. A slice
of an array is a view of the same memory: what is written into it changes the picture. `chipwise arrays` says what each
of these takes, and from which size another library pays.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.image
import numpy as np
from matplotlib import cbook

SIDE = 256


def picture() -> np.ndarray:
    """The sample as uint8 [256, 256, 3]."""
    with cbook.get_sample_data("s1045.ima.gz") as file:
        values = np.frombuffer(file.read(), np.uint16).reshape(SIDE, SIDE)
    grey = (values.astype(np.float32) * (255 / values.max())).astype(np.uint8)
    return np.stack([grey] * 3, axis=-1)


def edited(image: np.ndarray) -> np.ndarray:
    """A copy of an image [H, W, 3] that is cropped, flipped in its right half, tinted in a region, and pasted into."""
    cropped = image[16:240, 16:240].copy()  # without copy() the edits below would change `image`, too
    half = cropped.shape[1] // 2
    cropped[:, half:] = cropped[:, :half][:, ::-1]  # the left half, mirrored
    region = cropped[60:120, 60:164]  # a view
    region[..., 0] = np.minimum(region[..., 0].astype(np.uint16) + 90, 255)  # uint8 alone would wrap around
    region[..., 2] //= 2
    cropped[-64:, :64] = image[::4, ::4]  # every fourth pixel of the whole, pasted into a corner
    bright = cropped.min(axis=-1) > 200
    cropped[bright] = (255, 220, 60)  # a mask chooses pixels wherever they are
    return cropped


def main(output: Path) -> None:
    """Edit the sample, and write it."""
    image = picture()
    made = edited(image)
    matplotlib.image.imsave(output, made)
    print(f"{output}: {made.shape[1]} x {made.shape[0]}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "edited.png"))
