"""Candidate regions of a picture, by the stages of a pipeline up to its boxes; OpenCV does the work on pixels.

>>> board = np.full((40, 60, 3), 220, np.uint8)
>>> board[10:18, 20:32] = (110, 50, 30)
>>> stages = (Channel("green"), Threshold(), Regions(min_area=20))
>>> candidates(board, stages).tolist()
[[20, 10, 32, 18]]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from chipwise.core.errors import DataError
from chipwise.core.pipeline import Blur, Channel, Close, Crop, Expand, Open, Regions, Threshold

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from chipwise.core.pipeline import Stage

    Picture = NDArray[np.uint8]
    Boxes = NDArray[np.int64]

_MOST_REGIONS = 10_000
_COLOURS = {"red": 0, "green": 1, "blue": 2}
_HSV = {"hue": 0, "saturation": 1, "value": 2}
_MOST_LABELS = 16_000_000  # of connected components before small ones are dropped: their statistics take 40 bytes each


def candidates(picture: Picture, stages: Iterable[Stage]) -> Boxes:
    """Find the boxes of the regions that the stages leave.

    Args:
        picture: uint8 [H, W, 1 or 3], RGB.
        stages: of a checked pipeline; what comes after boxes is left to others.

    Returns:
        int64 [N, 4]: left, top, right, bottom in pixels of `picture`, right and bottom excluded; from top to bottom.

    Raises:
        DataError: when the crop lies outside, or more than 10,000 regions are found.
    """
    shift, work = (0, 0), picture
    boxes: Boxes = np.zeros((0, 4), np.int64)
    for stage in stages:
        match stage:
            case Crop():
                work, shift = _cropped(work, stage, shift)
            case Channel():
                work = _channel(work, stage.channel)
            case Blur():
                work = _blurred(work, stage)
            case Threshold():
                work = _mask(work, stage)
            case Open() | Close():
                shape = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * stage.radius + 1, 2 * stage.radius + 1))
                kind = cv2.MORPH_OPEN if isinstance(stage, Open) else cv2.MORPH_CLOSE
                work = np.asarray(cv2.morphologyEx(work, kind, shape), np.uint8)
            case Regions():
                boxes = _regions(work, stage) + np.array([*shift, *shift])
            case Expand():
                boxes = _expanded(boxes, stage, picture.shape[0], picture.shape[1])
            case _:
                pass
    return boxes


def cut(picture: Picture, boxes: Boxes) -> list[Picture]:
    """The part of the picture in each box."""
    return [np.ascontiguousarray(picture[top:bottom, left:right]) for left, top, right, bottom in boxes.tolist()]


def _cropped(picture: Picture, crop: Crop, shift: tuple[int, int]) -> tuple[Picture, tuple[int, int]]:
    height, width = picture.shape[:2]
    right, bottom = min(crop.right or width, width), min(crop.bottom or height, height)
    if crop.left >= right or crop.top >= bottom:
        raise DataError(f"the crop begins at {crop.left}, {crop.top}, the picture has {width} x {height} pixels")
    return picture[crop.top : bottom, crop.left : right], (shift[0] + crop.left, shift[1] + crop.top)


def _channel(picture: Picture, name: str) -> Picture:
    if picture.shape[2] == 1:
        if name not in ("grey", "value"):
            raise DataError(f"a grey picture has no {name}", hint='channel = "grey"')
        return np.ascontiguousarray(picture[:, :, 0])
    if name in _COLOURS:
        return np.ascontiguousarray(picture[:, :, _COLOURS[name]])
    if name in _HSV:
        return np.ascontiguousarray(cv2.cvtColor(picture, cv2.COLOR_RGB2HSV_FULL)[:, :, _HSV[name]], np.uint8)
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)


def _blurred(picture: Picture, blur: Blur) -> Picture:
    side = 2 * blur.radius + 1
    work = np.ascontiguousarray(picture)
    smooth = cv2.medianBlur(work, side) if blur.method == "median" else cv2.GaussianBlur(work, (side, side), 0)
    return np.asarray(smooth, np.uint8).reshape(picture.shape)


def _mask(grey: Picture, stage: Threshold) -> Picture:
    """255 where a pixel is kept."""
    dark = stage.keep == "dark"
    kind = cv2.THRESH_BINARY_INV if dark else cv2.THRESH_BINARY
    if stage.method == "adaptive":
        offset = stage.offset if dark else -stage.offset
        mean = cv2.ADAPTIVE_THRESH_MEAN_C
        return np.asarray(cv2.adaptiveThreshold(grey, 255, mean, kind, stage.window, offset), np.uint8)
    if stage.method == "otsu":
        kind |= cv2.THRESH_OTSU
    return np.asarray(cv2.threshold(grey, stage.value - 1, 255, kind)[1], np.uint8)  # OpenCV's light is above, not at


def _regions(mask: Picture, stage: Regions) -> Boxes:
    if mask.size > _MOST_LABELS * 4:
        raise DataError(f"{mask.shape[1]} x {mask.shape[0]} pixels are too many to find regions in", hint="crop first")
    _, _, rows, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    left, top, width, height, area = np.asarray(rows[1:], np.int64).T  # the first is the background
    fits = area >= stage.min_area
    if stage.max_area:
        fits &= area <= stage.max_area
    if stage.longest:
        fits &= np.maximum(width, height) <= stage.longest * np.minimum(width, height)
    if not stage.border:
        fits &= (left > 0) & (top > 0) & (left + width < mask.shape[1]) & (top + height < mask.shape[0])
    if fits.sum() > _MOST_REGIONS:
        hint = "raise min_area, blur more, or open the mask"
        raise DataError(f"{fits.sum():,} regions were found, {_MOST_REGIONS:,} at most are looked at", hint=hint)
    found: Boxes = np.stack([left, top, left + width, top + height], axis=1)[fits]
    return found[np.lexsort((found[:, 0], found[:, 1]))]


def _expanded(boxes: Boxes, stage: Expand, height: int, width: int) -> Boxes:
    """Grow boxes about their centre; at the picture's edge they are cut."""
    size = boxes[:, 2:] - boxes[:, :2] + 2 * stage.pixels
    wanted = np.repeat(size.max(axis=1, keepdims=True), 2, axis=1) if stage.square else size
    start = boxes[:, :2] - stage.pixels - (wanted - size) // 2
    limit = np.array([width, height])
    return np.concatenate([np.clip(start, 0, limit), np.clip(start + wanted, 0, limit)], axis=1)
