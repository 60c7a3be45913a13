"""Outputs that are pictures: styled, enlarged or repaired ones.

>>> rendered(np.full((1, 1, 2, 2), 0.5), Rendering(scale=255, order="L"))[0].tolist()
[[[128], [128]], [[128], [128]]]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chipwise.core.errors import DataError
from chipwise.core.task import Preprocess, Rendering
from chipwise.tasks.pictures import resize_bicubic, to_ycbcr, with_colours
from chipwise.tasks.placement import Region, place

if TYPE_CHECKING:
    from numpy.typing import NDArray


def rendered(output: NDArray[Any], rendering: Rendering, layout: str = "NCHW") -> NDArray[np.uint8]:
    """Pictures from an output: `value * scale + offset`, clipped to 0..255 and rounded.

    Args:
        output: [N, C, h, w] ("NCHW") or [N, h, w, C] ("NHWC"); C is 1 or 3.
        rendering: scale, offset and the order of channels.
        layout: which of them it is.

    Returns:
        uint8 [N, h, w, C], RGB where C is 3.

    Raises:
        DataError: when it is no such output, or holds NaN.
    """
    pixels = output.transpose(0, 2, 3, 1) if output.ndim == 4 and layout != "NHWC" else output
    if pixels.ndim != 4 or pixels.shape[3] not in (1, 3) or not pixels.size:
        raise DataError(f"output {list(output.shape)} is no picture", hint="pictures have 1 or 3 channels")
    values = pixels.astype(np.float32) * np.float32(rendering.scale) + np.float32(rendering.offset)
    if np.isnan(values).any():
        raise DataError("the output picture holds NaN", hint="was the picture prepared as the network wants it?")
    whole: NDArray[np.uint8] = np.rint(values.clip(0, 255)).astype(np.uint8)
    return whole[..., ::-1] if rendering.order == "BGR" and whole.shape[3] == 3 else whole


def finished(
    image: NDArray[np.uint8], picture: NDArray[np.uint8], preprocess: Preprocess, rendering: Rendering
) -> NDArray[np.uint8]:
    """An output picture as a person wants it: without the border that fitting added, in the colours that were given.

    Args:
        image: uint8 [h, w, C], what the network gave.
        picture: uint8 [H, W, 1 or 3], what it was made from.
        preprocess: how the picture became the network's input.
        rendering: "L" from a network that takes grey only is luma: colours are enlarged bicubically and added.

    Returns:
        uint8 [h', w', 1 or 3].
    """
    placement = place(picture.shape[0], picture.shape[1], preprocess)
    seen = placement.seen()
    part = _part(image, seen, image.shape[0] / preprocess.height, image.shape[1] / preprocess.width)
    if rendering.order != "L" or image.shape[2] != 1 or preprocess.channels != 1 or picture.shape[2] == 1:
        return part
    edges = np.array([[seen.left, seen.top, seen.left + seen.width, seen.top + seen.height]], np.float64)
    left, top, right, bottom = (round(edge) for edge in placement.boxes(edges)[0])
    colours = to_ycbcr(picture[top : max(bottom, top + 1), left : max(right, left + 1)])[..., 1:]
    return with_colours(part, resize_bicubic(colours, *part.shape[:2]))


def _part(image: NDArray[np.uint8], seen: Region, down: float, right: float) -> NDArray[np.uint8]:
    """The region of the output that a region of the input became; `down` and `right` are what it was enlarged by."""
    top, left = round(seen.top * down), round(seen.left * right)
    return image[top : top + max(round(seen.height * down), 1), left : left + max(round(seen.width * right), 1)]
