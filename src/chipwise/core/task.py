"""What goes into a network and what comes out: data that travels with the network and into the plan.

The behaviour (resizing pictures, naming classes) lives in `chipwise.tasks`; here are only the facts.

>>> Task(labels=("cat", "dog"), preprocess=Preprocess(height=28, width=28)).labels
('cat', 'dog')
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How a uint8 picture becomes the network's input: `(pixel * scale - mean) / std`, channel by channel.

    Attributes:
        height: rows of the network's input, pixels.
        width: columns of the network's input, pixels.
        channels: 1 (grey) or 3.
        order: channel order of the network's input: "L", "RGB" or "BGR".
        layout: "NCHW", "NHWC", or "flat" (batch x features).
        fit: "pad" (zero border, centred), "stretch" (bilinear resize), "crop" (shorter side to 8/7 of the
            target, then centre crop), "auto" (pad when at least three quarters of the target, else stretch).
        scale: factor on the 0..255 pixel.
        mean: subtracted after scaling, one per channel or one for all.
        std: divided by at last, one per channel or one for all.
    """

    height: int
    width: int
    channels: Literal[1, 3] = 1
    order: Literal["L", "RGB", "BGR"] = "L"
    layout: Literal["NCHW", "NHWC", "flat"] = "NCHW"
    fit: Literal["auto", "pad", "stretch", "crop"] = "auto"
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


@dataclass(frozen=True, slots=True)
class Task:
    """What a network is for.

    Attributes:
        kind: "classification" (scores per class, the highest wins) or "tensor" (arrays in, arrays out).
        labels: class names in output order; empty when not known.
        preprocess: how pictures become inputs; None when inputs are arrays fed as they are.
    """

    kind: Literal["classification", "tensor"] = "classification"
    labels: tuple[str, ...] = ()
    preprocess: Preprocess | None = None
