"""What goes into a network and what comes out: data that travels with the network and into the plan.

The behaviour (resizing pictures, naming classes, decoding boxes) lives in `chipwise.tasks`; here are only the facts.

>>> Task(labels=("cat", "dog"), preprocess=Preprocess(height=28, width=28)).labels
('cat', 'dog')
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["classification", "detection", "segmentation", "image", "sequence", "tensor"]
Decoder = Literal["yolo", "region", "yolo-v1", "yolox", "ssd", "corners"]


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How a uint8 picture becomes the network's input: `(pixel * scale - mean) / std`, channel by channel.

    Attributes:
        height: rows of the network's input, pixels.
        width: columns of the network's input, pixels.
        channels: 1 (grey) or 3.
        order: channel order of the network's input: "L", "RGB" or "BGR".
        layout: "NCHW", "NHWC", or "flat" (batch x features).
        fit: "pad" (border of `fill`, never enlarged), "letterbox" (as large as fits, proportions kept, the rest is
            `fill`), "stretch" (bilinear resize), "crop" (shorter side to `resize`, then the centre square of `crop`
            pixels, stretched to the target where that is another), "auto" (pad when at least three quarters of the
            target, else stretch).
        scale: factor on the 0..255 pixel.
        mean: subtracted after scaling, one per channel or one for all.
        std: divided by at last, one per channel or one for all.
        fill: pixel value 0..255 around the picture, for "pad" and "letterbox".
        corner: the picture lies in the upper left corner rather than in the middle, for "pad" and "letterbox".
        resize: shorter side in pixels before "crop"; 0 for 8/7 of the crop.
        crop: side of the square in pixels that "crop" keeps; 0 for the target's own size.
    """

    height: int
    width: int
    channels: Literal[1, 3] = 1
    order: Literal["L", "RGB", "BGR"] = "L"
    layout: Literal["NCHW", "NHWC", "flat"] = "NCHW"
    fit: Literal["auto", "pad", "stretch", "crop", "letterbox"] = "auto"
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    fill: int = 0
    corner: bool = False
    resize: int = 0
    crop: int = 0


@dataclass(frozen=True, slots=True)
class Head:
    """One grid of a detector: how many cells it has, and which boxes are proposed in each.

    Attributes:
        rows: cells from top to bottom; columns: cells from left to right.
        anchors: (width, height) of the proposed boxes, in pixels of the network's input.
        scale_xy: how far a centre may leave its cell (YOLOv4's grid sensitivity); 1.0 not at all.
        squared: sizes are (2 * value)^2 times the anchor and all values come activated (Scaled-YOLOv4's new_coords).
    """

    rows: int
    columns: int
    anchors: tuple[tuple[float, float], ...]
    scale_xy: float = 1.0
    squared: bool = False


@dataclass(frozen=True, slots=True)
class Detection:
    """How a detector's outputs become boxes.

    Attributes:
        decoder: what the outputs hold. "yolo": a map [N, A * (5 + K), rows, columns] for each head, in the order of
            the heads, raw (YOLOv3, v4). "region": one such map with softmax over classes (YOLOv2). "yolo-v1": one
            vector [N, S * S * (K + 5 * B)] of class shares, objectness, boxes. "yolox": [N, P, 5 + K], centres and
            log sizes in cells, objectness and classes activated. "ssd": offsets [N, P, 4] and scores [N, P, K] to the
            anchors of all heads, class 0 the background. "corners": boxes [N, P, 4] as left, top, right, bottom in
            0..1 and scores [N, P, K], class 0 the background.
        heads: the grids, in the order of outputs (or of P).
        threshold: boxes with a lower score are left out, 0..1.
        overlap: of two boxes of one class that share more (intersection over union), the lower scored is left out.
        variances: SSD's factors on offsets of centres and sizes.
        activated: scores are probabilities already, where the decoder would otherwise apply softmax ("ssd").
    """

    decoder: Decoder
    heads: tuple[Head, ...] = ()
    threshold: float = 0.25
    overlap: float = 0.45
    variances: tuple[float, float] = (0.1, 0.2)
    activated: bool = False


@dataclass(frozen=True, slots=True)
class Rendering:
    """How an output [N, C, H, W] becomes a picture: `value * scale + offset`, clipped to 0..255.

    Attributes:
        scale: factor; offset: added after it, in pixel values.
        order: channels of the output; "L" is luma, to which the input's colours are added (super-resolution).
    """

    scale: float = 1.0
    offset: float = 0.0
    order: Literal["L", "RGB", "BGR"] = "RGB"


@dataclass(frozen=True, slots=True)
class Stream:
    """How a long signal is fed piece by piece to a network that remembers.

    Attributes:
        step: samples (or rows) fed at a time; context: how many of the piece before are put in front of it.
        states: (input, output) pairs: what comes out is fed with the next piece; zeros at first.
        constants: values of inputs that never change, such as the sample rate.
        sample_rate: of the audio that is taken, Hz; 0 when the signal is no audio.
    """

    step: int
    context: int = 0
    states: tuple[tuple[str, str], ...] = ()
    constants: dict[str, float] = field(default_factory=dict)
    sample_rate: int = 0


@dataclass(frozen=True, slots=True)
class Task:
    """What a network is for.

    Attributes:
        kind: "classification" (scores per class, the highest wins), "detection" (boxes), "segmentation" (a class for
            each pixel), "image" (a picture in, a picture out), "sequence" (values along time), or "tensor" (arrays
            in, arrays out).
        labels: class names in output order; empty when not known.
        preprocess: how pictures become inputs; None when inputs are arrays fed as they are.
        detection: how outputs become boxes; only for detection.
        rendering: how outputs become a picture; only for image.
        stream: how a signal is fed; only for sequence, None when it is fed whole.
    """

    kind: Kind = "classification"
    labels: tuple[str, ...] = ()
    preprocess: Preprocess | None = None
    detection: Detection | None = None
    rendering: Rendering | None = None
    stream: Stream | None = None
