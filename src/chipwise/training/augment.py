"""Random changes to pictures, a whole batch at a time, the same for a given state of torch's generator.

They are drawn in main memory wherever the pictures are, so that a run sees the same ones on every device.

>>> pictures = torch.rand(2, 1, 28, 28)
>>> augmented(pictures, "affine", "NCHW").shape
torch.Size([2, 1, 28, 28])
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from chipwise.training.augmentations import augmentations

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

# Sizes of the changes: handwriting and photographs alike keep their class under them.
_SHIFT = 0.08
_TURN = math.radians(12)
_SCALE = 0.12
_SHEAR = 0.15
# What is put around a picture before it is cropped, over its side: 4 pixels of CIFAR-10's 32 (He et al. 2016, 4.2).
_MARGIN = 1 / 8


@dataclass(frozen=True, slots=True)
class Blend:
    """Which samples of a batch were mixed.

    Attributes:
        others: int64 [N], the row that each was mixed with.
        share: of each sample itself, 0..1; the rest is the other's.
    """

    others: Tensor
    share: float


def augmented(inputs: Tensor, kinds: str, layout: str, channels: int = 1) -> Tensor:
    """Change each picture of a batch.

    Args:
        inputs: float batch as the network takes it: [N,C,H,W], [N,H,W,C] or [N,C*H*W].
        kinds: as in `Settings.augment` once resolved: "none", or changes between commas; mixup is left to `mixed`.
        layout: "NCHW", "NHWC" or "flat" (square pictures).
        channels: of the pictures; needed for "flat" only.

    Returns:
        A batch of the same shape. What comes in from outside the picture repeats its border; what is cut out is 0,
        which is the mean where the preprocessing subtracts it.
    """
    changes = [each for each in augmentations(kinds) if each.kind in _CHANGES]
    if not changes:
        return inputs
    if layout == "NHWC":
        pictures = inputs.permute(0, 3, 1, 2)
    else:
        side = math.isqrt(inputs[0].numel() // channels)
        pictures = inputs if layout == "NCHW" else inputs.view(-1, channels, side, side)
    for kind, amount in changes:
        pictures = _CHANGES[kind](pictures, amount)
    return pictures.permute(0, 2, 3, 1) if layout == "NHWC" else pictures.reshape(inputs.shape)


def mixed(inputs: Tensor, alpha: float) -> tuple[Tensor, Blend]:
    """Mix each sample of a batch with another one (mixup: Zhang et al. 2018, arXiv 1710.09412).

    Args:
        inputs: float [N, ...].
        alpha: of the Beta distribution that the share is drawn from, once a batch as in the authors' code; small ones
            give shares near 0 and 1.

    Returns:
        the mixed batch, and what the loss must know.
    """
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    others = torch.randperm(len(inputs)).to(inputs.device, non_blocking=True)
    return torch.lerp(inputs.index_select(0, others), inputs, share), Blend(others, share)


def _shifted(pictures: Tensor, _: float | None) -> Tensor:
    """Move by whole pixels, up to 8% of the side (at least one pixel)."""
    return _moved(pictures, _SHIFT)


def _cropped(pictures: Tensor, _: float | None) -> Tensor:
    """Crop from the picture with an eighth of its side around it (at least one pixel): 4 pixels of 32."""
    return _moved(pictures, _MARGIN)


def _moved(pictures: Tensor, share: float) -> Tensor:
    count, _, height, width = pictures.shape
    most = max(1, round(share * max(height, width)))
    padded = functional.pad(pictures, (most, most, most, most), mode="replicate")
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    down, right = torch.randint(0, 2 * most + 1, (2, count)).to(pictures.device, non_blocking=True)
    moved = windows[torch.arange(count, device=pictures.device), :, down, right]
    return moved.contiguous(memory_format=_memory_format(pictures))


def _flipped(pictures: Tensor, _: float | None) -> Tensor:
    """Swap left and right of every second picture, by chance."""
    chosen = (torch.rand(len(pictures)) < 0.5).to(pictures.device, non_blocking=True)
    flipped = torch.where(chosen[:, None, None, None], pictures.flip(3), pictures)
    return flipped.contiguous(memory_format=_memory_format(pictures))


def _cut_out(pictures: Tensor, share: float | None) -> Tensor:
    """Set a square to 0 whose middle is any pixel, so that part of it may lie outside (DeVries & Taylor 2017)."""
    count, _, height, width = pictures.shape
    side = max(1, round((share or 0.0) * min(height, width)))
    inside = []
    for size in (height, width):
        first = torch.randint(0, size, (count, 1)).to(pictures.device, non_blocking=True) - side // 2
        places = torch.arange(size, device=pictures.device)
        inside.append((places >= first) & (places < first + side))
    square = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return pictures.masked_fill(square, 0.0).contiguous(memory_format=_memory_format(pictures))


def _warped(pictures: Tensor, _: float | None) -> Tensor:
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
    changes = torch.stack(rows, dim=1).to(pictures.device, non_blocking=True)
    grid = functional.affine_grid(changes, list(pictures.shape), align_corners=False)
    moved = functional.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    return moved.contiguous(memory_format=_memory_format(pictures))


def _memory_format(pictures: Tensor) -> torch.memory_format:
    last = pictures.is_contiguous(memory_format=torch.channels_last) and not pictures.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format


_CHANGES: dict[str, Callable[[Tensor, float | None], Tensor]] = {
    "affine": _warped,
    "shift": _shifted,
    "crop": _cropped,
    "flip": _flipped,
    "cutout": _cut_out,
}
