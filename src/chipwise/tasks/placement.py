"""Where a picture lies in a network's input, and so where a point of the input lies in the picture.

Every way to fit a picture is the same four steps: cut a region, resize it, look through a window that may reach beyond
it (what lies there is `fill`), and resize what the window shows to the input's size.

>>> place(100, 200, Preprocess(50, 50, fit="letterbox")).boxes(np.array([[0.0, 12.0, 50.0, 40.0]])).tolist()
[[0.0, 0.0, 200.0, 100.0]]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from chipwise.core.task import Preprocess

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LONGEST = 8  # sides beyond this aspect ratio are cut before the resize of "crop", so that it stays bounded
OUTSIDE = -1  # class of a pixel that the network did not see


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of pixels; `top` and `left` are negative where it begins before the picture."""

    top: int
    left: int
    height: int
    width: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width


@dataclass(frozen=True, slots=True)
class Placement:
    """How a picture gets into a network's input.

    Attributes:
        cut: the region of the picture that is used.
        resized: its height and width after the first resize.
        window: the region of the resized picture that becomes the input.
        target: the input's height and width.
        picture: height and width of the picture.
    """

    cut: Region
    resized: tuple[int, int]
    window: Region
    target: tuple[int, int]
    picture: tuple[int, int]

    def boxes(self, boxes: NDArray[np.floating]) -> NDArray[np.float64]:
        """Bring boxes [N, 4] (left, top, right, bottom) from pixels of the input to pixels of the picture, clipped."""
        (top, bottom), (left, right) = (self._back(boxes[:, side::2], axis) for side, axis in ((1, 0), (0, 1)))
        return np.stack([left, top, right, bottom], axis=1)

    def seen(self) -> Region:
        """The part of the input that shows the picture, in whole pixels of the input."""
        (top, bottom), (left, right) = (self._forth(axis) for axis in (0, 1))
        return Region(top, left, max(bottom - top, 1), max(right - left, 1))

    def classes(self, classes: NDArray[np.integer]) -> NDArray[np.int32]:
        """Bring a map [h, w] of classes, of any resolution, to the picture's pixels; `OUTSIDE` where nothing was seen.

        Each pixel gets the class of the map's cell in which its centre lies.
        """
        rows, columns = (self._cells(axis, classes.shape[axis]) for axis in (0, 1))
        spread = classes[np.clip(rows, 0, classes.shape[0] - 1)[:, None], np.clip(columns, 0, classes.shape[1] - 1)]
        outside = ((rows < 0) | (rows >= classes.shape[0]))[:, None] | (columns < 0) | (columns >= classes.shape[1])
        return np.where(outside, OUTSIDE, spread).astype(np.int32)

    def _factors(self, axis: int) -> tuple[float, float]:
        """Input coordinate = picture coordinate * factor + shift, along one axis."""
        first = self.resized[axis] / self.cut.size[axis]
        second = self.target[axis] / self.window.size[axis]
        cut, window = (self.cut.top, self.window.top) if axis == 0 else (self.cut.left, self.window.left)
        return first * second, (-cut * first - window) * second

    def _back(self, edges: NDArray[np.floating], axis: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        factor, shift = self._factors(axis)
        moved = np.clip((edges.astype(np.float64) - shift) / factor, 0, self.picture[axis])
        return moved[:, 0], moved[:, 1]

    def _forth(self, axis: int) -> tuple[int, int]:
        factor, shift = self._factors(axis)
        ends = (round(shift), round(self.picture[axis] * factor + shift))
        return max(ends[0], 0), min(ends[1], self.target[axis])

    def _cells(self, axis: int, cells: int) -> NDArray[np.int64]:
        factor, shift = self._factors(axis)
        centres = (np.arange(self.picture[axis]) + 0.5) * factor + shift
        found: NDArray[np.int64] = np.floor(centres * (cells / self.target[axis])).astype(np.int64)
        return found


def place(height: int, width: int, preprocess: Preprocess) -> Placement:
    """Tell how a picture of `height` x `width` pixels is fitted into the input that `preprocess` describes."""
    target = (preprocess.height, preprocess.width)
    fit = preprocess.fit
    if fit == "auto":
        near = all(3 * want <= 4 * have <= 4 * want for have, want in zip((height, width), target, strict=True))
        fit = "pad" if near else "stretch"
    whole = Region(0, 0, height, width)
    if fit == "stretch" or (height, width) == target:
        return Placement(whole, target, Region(0, 0, *target), target, (height, width))
    if fit == "crop":
        return _cropped(height, width, preprocess)
    factor = min(target[0] / height, target[1] / width)
    if fit == "pad":
        factor = min(factor, 1.0)
    resized = (max(1, round(height * factor)), max(1, round(width * factor)))
    window = Region(0, 0, *target) if preprocess.corner else _centre(resized, target)
    return Placement(whole, resized, window, target, (height, width))


def _cropped(height: int, width: int, preprocess: Preprocess) -> Placement:
    """Shorter side to `resize` (8/7 of the crop: 256 for 224), then the centre: what ImageNet networks are tested with.

    Where the crop is no square, each side is covered.
    """
    target = (preprocess.height, preprocess.width)
    crop = (preprocess.crop, preprocess.crop) if preprocess.crop else target
    shorter = min(height, width)
    cut = _centre((height, width), (min(height, shorter * _LONGEST), min(width, shorter * _LONGEST)))
    cover = [max(preprocess.resize, side) if preprocess.resize else round(side * 8 / 7) for side in crop]
    factor = max(cover[0] / cut.height, cover[1] / cut.width)
    resized = (max(crop[0], round(cut.height * factor)), max(crop[1], round(cut.width * factor)))
    return Placement(cut, resized, _centre(resized, crop), target, (height, width))


def _centre(whole: tuple[int, int], size: tuple[int, int]) -> Region:
    return Region((whole[0] - size[0]) // 2, (whole[1] - size[1]) // 2, *size)
