"""What a network is for, as far as the shapes of its inputs and outputs say so.

>>> from chipwise.core.network import TensorSpec
>>> yolox = guess_task((TensorSpec("images", (1, 3, 416, 416)),), (TensorSpec("output", (1, 3549, 85)),))
>>> yolox.kind, yolox.detection.decoder, yolox.labels[16]
('detection', 'yolox', 'dog')
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from chipwise.core.network import TensorSpec
from chipwise.core.task import Detection, Preprocess, Rendering, Stream, Task
from chipwise.tasks.class_names import COCO_80, VOC_20, VOC_21
from chipwise.tasks.decode import YOLOX_STRIDES, yolox_heads
from chipwise.tasks.preprocess import default_preprocess

Specs = tuple[TensorSpec, ...]

# Silero's voice activity detector (github.com/snakers4/silero-vad, VADIterator): 32 ms at 16 kHz, 4 ms of context.
_SILERO = (("input", "state", "sr"), ("output", "stateN"))
_SILERO_STREAM = Stream(512, 64, (("state", "stateN"),), {"sr": 16000.0}, 16000)


def guess_task(inputs: Specs, outputs: Specs) -> Task:
    """Guess the kind, how pictures become the input, and how outputs become an answer.

    Silero's voice detector and YOLOX are known by their shapes (and names); boxes [N, P, 4] beside scores [N, P, K] are
    corners; maps as large as the input are classes of pixels, with 1 or 3 channels pictures; [N, K], K >= 2, classes.
    """
    if (tuple(spec.name for spec in inputs), tuple(spec.name for spec in outputs)) == _SILERO:
        return Task("sequence", stream=_SILERO_STREAM)
    preprocess = default_preprocess(inputs[0]) if len(inputs) == 1 else None
    if preprocess is not None and preprocess.layout != "flat":
        found = _detector(preprocess, outputs) or _picture_like(preprocess, outputs)
        if found is not None:
            return found
    scores = len(outputs) == 1 and len(outputs[0].shape) in (2, 4) and outputs[0].dtype not in ("bool", "int64", "str")
    scores = scores and all(dim == 1 for dim in outputs[0].shape[2:])  # [N, K, 1, 1] is what a last pooling leaves
    last = outputs[0].shape[1] if scores else None
    echoes = len(inputs) == 1 and scores and inputs[0].shape[1:] == outputs[0].shape[1:]  # an autoencoder
    kind = isinstance(last, int) and last >= 2 and not echoes
    return Task("classification" if kind else "tensor", preprocess=preprocess)


def as_declared(task: Task, facts: Mapping[str, str]) -> Task:
    """Take what an ONNX file's metadata (onnx's docs/MetadataProps.md) says of pictures: range and channel order."""
    if task.preprocess is None:
        return task
    changed = task.preprocess
    if facts.get("Image.NominalPixelRange") == "NominalRange_0_255":
        changed = replace(changed, scale=1.0)
    if changed.channels == 3 and facts.get("Image.BitmapPixelFormat", "").startswith("Bgr"):
        changed = replace(changed, order="BGR")
    return replace(task, preprocess=changed)


def known_labels(classes: int | str, *, pixels: bool = False) -> tuple[str, ...]:
    """Names of the well-known data set that has this many classes; empty when there is none."""
    names = {len(VOC_21): VOC_21} if pixels else {len(COCO_80): COCO_80, len(VOC_20): VOC_20}
    return names.get(classes, ()) if isinstance(classes, int) else ()


def _detector(preprocess: Preprocess, outputs: Specs) -> Task | None:
    height, width = preprocess.height, preprocess.width
    shapes = [spec.shape for spec in outputs]
    if len(shapes) == 1 and len(shapes[0]) == 3 and not (height % YOLOX_STRIDES[-1] or width % YOLOX_STRIDES[-1]):
        _, rows, columns = shapes[0]
        heads = yolox_heads(height, width)
        wanted = sum(head.rows * head.columns for head in heads)
        if rows == wanted and isinstance(columns, int) and columns > 5:
            # As in Megvii's and Kazuhito Takahashi's demos: BGR 0..255, in the upper left corner, 114 around it.
            seen = replace(preprocess, order="BGR", scale=1.0, fit="letterbox", fill=114, corner=True)
            return Task("detection", known_labels(columns - 5), seen, Detection("yolox", heads))
    if len(shapes) == 2 and all(len(shape) == 3 for shape in shapes) and shapes[0][1] == shapes[1][1]:
        last = [shape[2] for shape in shapes]
        boxes = last.index(4) if last.count(4) == 1 else -1
        if boxes >= 0 and last[1 - boxes] != 1:
            return _cornered(preprocess, last[1 - boxes])
    return None


def _cornered(preprocess: Preprocess, classes: int | str) -> Task:
    detection = Detection("corners")
    if classes == 2 and preprocess.channels == 3 and (preprocess.height, preprocess.width) in ((240, 320), (480, 640)):
        # Ultra-Light-Fast-Generic-Face-Detector-1MB, by its sizes
        seen = replace(preprocess, scale=1.0, mean=(127.0,), std=(128.0,), fit="stretch")
        return Task("detection", ("background", "face"), seen, replace(detection, threshold=0.7, overlap=0.3))
    labels = ("background", *known_labels(classes - 1)) if isinstance(classes, int) else ()
    return Task("detection", labels if len(labels) > 1 else (), preprocess, detection)


def _picture_like(preprocess: Preprocess, outputs: Specs) -> Task | None:
    """Outputs that are as large as the picture, or a whole multiple of it."""
    if len(outputs) != 1:
        return None
    spec, size = outputs[0], (preprocess.height, preprocess.width)
    shape = tuple(dim for axis, dim in enumerate(spec.shape) if axis != _channel_axis(preprocess, spec))
    if len(shape) != 3:
        return None
    channels = spec.shape[_channel_axis(preprocess, spec)] if len(spec.shape) == 4 else 1
    whole = spec.dtype.startswith(("int", "uint")) and spec.dtype not in ("uint8", "int8")
    if shape[1:] == size and min(size) > 1 and (whole or len(spec.shape) == 3 or channels not in (1, 3)):
        return Task("segmentation", known_labels(channels, pixels=True), preprocess)
    larger = all(isinstance(dim, int) and dim % side == 0 for dim, side in zip(shape[1:], size, strict=True))
    if larger and channels in (1, 3) and len(spec.shape) == 4:
        kept = replace(preprocess, fit="letterbox", fill=128)  # what comes out should not be squeezed
        return Task("image", preprocess=kept, rendering=guess_rendering(kept, outputs))
    return None


def guess_rendering(preprocess: Preprocess | None, outputs: Specs) -> Rendering:
    """How an output becomes a picture when its values have the range that the input has; grey outputs are luma."""
    if preprocess is None:
        return Rendering()
    grey = bool(outputs) and outputs[0].shape[_channel_axis(preprocess, outputs[0]) :][:1] == (1,)
    order = "L" if grey else preprocess.order if preprocess.channels == 3 else "RGB"
    one = len(preprocess.mean) == len(preprocess.std) == 1  # a value for each channel: nothing usual to go by
    offset = preprocess.mean[0] / preprocess.scale if one else 0.0
    return Rendering((preprocess.std[0] if one else 1.0) / preprocess.scale, offset, order)


def _channel_axis(preprocess: Preprocess, spec: TensorSpec) -> int:
    """Where the channels of a map are; beyond the last axis when it has none."""
    return len(spec.shape) if len(spec.shape) != 4 else 3 if preprocess.layout == "NHWC" else 1
