"""Small random changes to pictures, the same for a given state of torch's generator.

>>> pictures = torch.rand(2, 1, 28, 28)
>>> augmented(pictures, "affine", "NCHW").shape
torch.Size([2, 1, 28, 28])
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

# Sizes of the changes: handwriting and photographs alike keep their class under them.
_SHIFT = 0.08
_TURN = math.radians(12)
_SCALE = 0.12
_SHEAR = 0.15


def augmented(inputs: Tensor, kind: str, layout: str, channels: int = 1) -> Tensor:
    """Change each picture of a batch a little.

    Args:
        inputs: float batch as the network takes it: [N,C,H,W], [N,H,W,C] or [N,C*H*W].
        kind: "none", "shift" or "affine", as in `Settings.augment` once resolved.
        layout: "NCHW", "NHWC" or "flat" (square pictures).
        channels: of the pictures; needed for "flat" only.

    Returns:
        A batch of the same shape. What comes in from outside the picture repeats its border.
    """
    if kind == "none":
        return inputs
    change = _shifted if kind == "shift" else _warped
    if layout == "NCHW":
        return change(inputs)
    if layout == "NHWC":
        return change(inputs.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    side = math.isqrt(inputs.shape[1] // channels)
    return change(inputs.view(-1, channels, side, side)).reshape(inputs.shape)


def _shifted(pictures: Tensor) -> Tensor:
    """Move by whole pixels, up to 8% of the side (at least one pixel)."""
    count, _, height, width = pictures.shape
    most = max(1, round(_SHIFT * max(height, width)))
    padded = functional.pad(pictures, (most, most, most, most), mode="replicate")
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    down, right = torch.randint(0, 2 * most + 1, (2, count))
    moved = windows[torch.arange(count), :, down, right]
    return moved.contiguous(memory_format=_memory_format(pictures))


def _warped(pictures: Tensor) -> Tensor:
    """Shift, turn, scale and shear, with bilinear interpolation."""
    count = len(pictures)
    turn, shear, shift_x, shift_y, wide, high = torch.empty(6, count).uniform_(-1, 1).unbind()
    turn = turn * _TURN
    cos, sin = torch.cos(turn), torch.sin(turn)
    wide, high = 1 + wide * _SCALE, 1 + high * _SCALE
    shear = shear * _SHEAR
    rows = (
        torch.stack([cos * wide, (shear * cos - sin) * high, 2 * _SHIFT * shift_x], dim=1),
        torch.stack([sin * wide, (shear * sin + cos) * high, 2 * _SHIFT * shift_y], dim=1),
    )
    grid = functional.affine_grid(torch.stack(rows, dim=1), list(pictures.shape), align_corners=False)
    moved = functional.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    return moved.contiguous(memory_format=_memory_format(pictures))


def _memory_format(pictures: Tensor) -> torch.memory_format:
    last = pictures.is_contiguous(memory_format=torch.channels_last) and not pictures.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format
