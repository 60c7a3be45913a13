"""Networks that find objects: the YOLO and SSD families.

>>> YOLO["yolov3-tiny"].task.detection.heads[0].rows
13
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from chipwise.core.errors import InputError
from chipwise.core.network import TensorSpec
from chipwise.core.task import Detection, Head, Preprocess, Task
from chipwise.networks.zoo.entry import ZooEntry, photo
from chipwise.tasks.class_names import COCO_80

Anchors = tuple[tuple[float, float], ...]

# Anchors of the cfg files, pixels of the input; YOLOv2's are in cells there.
_CELL = 32
_V2 = tuple(
    (width * _CELL, height * _CELL)
    for width, height in (
        *((0.57273, 0.677385), (1.87446, 2.06253), (3.33843, 5.47434)),
        *((7.88282, 3.52778), (9.77052, 9.16828)),
    )
)
_V3 = ((10, 13), (16, 30), (33, 23), (30, 61), (62, 45), (59, 119), (116, 90), (156, 198), (373, 326))
_V4 = ((12, 16), (19, 36), (40, 28), (36, 75), (76, 55), (72, 146), (142, 110), (192, 243), (459, 401))
_TINY = ((10, 14), (23, 27), (37, 58), (81, 82), (135, 169), (344, 319))


@dataclass(frozen=True, slots=True)
class _Grid:
    """One head: its step in pixels, its anchors, and how far a centre may leave its cell."""

    stride: int
    anchors: Anchors
    scale_xy: float = 1.0


@dataclass(frozen=True, slots=True)
class _Yolo:
    """What distinguishes one YOLO from the others."""

    function: str
    size: int
    grids: tuple[_Grid, ...]
    description: str
    decoder: Literal["yolo", "region"] = "yolo"


def _entry(yolo: _Yolo, num_classes: int = len(COCO_80), size: int = 0, **options: float) -> ZooEntry:
    """The entry for other classes, another side of the picture, or another width."""
    given: dict[str, int | float] = {} if num_classes == len(COCO_80) else {"num_classes": num_classes}
    side = size or yolo.size
    if side % _CELL:
        raise InputError(f"size={side}: this network halves its picture five times", hint="give a multiple of 32")
    heads = tuple(Head(side // grid.stride, side // grid.stride, grid.anchors, grid.scale_xy) for grid in yolo.grids)
    outputs = tuple(
        TensorSpec(f"stride{grid.stride}", ("batch", len(head.anchors) * (5 + num_classes), head.rows, head.columns))
        for grid, head in zip(yolo.grids, heads, strict=True)
    )
    return ZooEntry(
        f"yolo:{yolo.function}",
        (TensorSpec("input", ("batch", 3, side, side)),),
        outputs,
        Task(
            "detection",
            COCO_80 if num_classes == len(COCO_80) else (),
            # Darknet's letterbox_image fills with 0.5.
            Preprocess(side, side, 3, "RGB", "NCHW", "letterbox", fill=128),
            Detection(yolo.decoder, heads),
        ),
        yolo.description,
        given | options,
        options=("width",),
        sizing="free",
        rebuilt=partial(_entry, yolo),
    )


_YOLOS = {
    "yolov2": _Yolo(
        "yolov2",
        608,
        (_Grid(32, _V2),),
        "YOLOv2: Darknet-19 with a passthrough, 80 COCO classes",
        "region",
    ),
    "yolov2-tiny": _Yolo("yolov2_tiny", 416, (_Grid(32, _V2),), "YOLOv2-tiny, 80 COCO classes", "region"),
    "yolov3": _Yolo(
        "yolov3",
        608,
        (_Grid(32, _V3[6:]), _Grid(16, _V3[3:6]), _Grid(8, _V3[:3])),
        "YOLOv3: Darknet-53 with three heads, 80 COCO classes",
    ),
    "yolov3-tiny": _Yolo(
        "yolov3_tiny",
        416,
        (_Grid(32, _TINY[3:]), _Grid(16, _TINY[:3])),
        "YOLOv3-tiny, two heads, 80 COCO classes",
    ),
    "yolov4": _Yolo(
        "yolov4",
        608,
        (_Grid(8, _V4[:3], 1.2), _Grid(16, _V4[3:6], 1.1), _Grid(32, _V4[6:], 1.05)),
        "YOLOv4: CSPDarknet-53, SPP, PANet, Mish, 80 COCO classes",
    ),
    "yolov4-tiny": _Yolo(
        "yolov4_tiny",
        416,
        # Masks 3,4,5 and 1,2,3: the smallest anchor is not used, the fourth is used twice.
        (_Grid(32, _TINY[3:], 1.05), _Grid(16, _TINY[1:4], 1.05)),
        "YOLOv4-tiny, two heads, 80 COCO classes",
    ),
}

YOLO: dict[str, ZooEntry] = {name: _entry(yolo) for name, yolo in _YOLOS.items()}

# COCO's 91 numbered categories have 80 in use (T.-Y. Lin et al.: Microsoft COCO, appendix II); TensorFlow's networks
# count the unused ones as well.
_UNUSED = {
    12: "street sign",
    26: "hat",
    29: "shoe",
    30: "eye glasses",
    45: "plate",
    66: "mirror",
    68: "window",
    69: "desk",
    71: "door",
    83: "blender",
}


def _numbered() -> Iterator[str]:
    used = iter(COCO_80)
    for number in range(1, len(COCO_80) + len(_UNUSED) + 1):
        yield _UNUSED[number] if number in _UNUSED else next(used)


COCO_90 = tuple(_numbered())


def _halves(side: int, count: int) -> list[int]:
    """Rows of maps that halve from one to the next, the first given."""
    return [side] + (_halves(-(-side // 2), count - 1) if count > 1 else [])


def _tensorflow_heads(side: int) -> tuple[Head, ...]:
    """The object detection API's ssd_anchor_generator: 6 layers, scales 0.2 to 0.95, five shapes and one between."""
    scales = [0.2 + 0.75 * layer / 5 for layer in range(6)] + [1.0]
    heads = []
    for layer, rows in enumerate(_halves(-(-side // 16), 6)):
        scale, between = scales[layer], math.sqrt(scales[layer] * scales[layer + 1])
        shapes = [(scale, ratio) for ratio in (1.0, 2.0, 1 / 2, 3.0, 1 / 3)] + [(between, 1.0)]
        if layer == 0:  # reduce_boxes_in_lowest_layer
            shapes = [(0.1, 1.0), (scale, 2.0), (scale, 1 / 2)]
        anchors = tuple((size * math.sqrt(ratio) * side, size / math.sqrt(ratio) * side) for size, ratio in shapes)
        heads.append(Head(rows, rows, anchors))
    return tuple(heads)


def _nvidia_heads() -> tuple[Head, ...]:
    """dboxes300_coco of NVIDIA's DeepLearningExamples, but for centres in the map's cells: there the grid is 8 px."""
    sizes, heads = (21, 45, 99, 153, 207, 261, 315), []
    for rows, ratios, size, larger in zip(
        (38, 19, 10, 5, 3, 1), ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,)), sizes, sizes[1:], strict=False
    ):
        between = math.sqrt(size * larger)
        anchors = [(float(size), float(size)), (between, between)]
        for ratio in ratios:
            wide, narrow = size * math.sqrt(ratio), size / math.sqrt(ratio)
            anchors += [(wide, narrow), (narrow, wide)]
        heads.append(Head(rows, rows, tuple(anchors)))
    return tuple(heads)


def _ssd(name: str, num_classes: int = 0, size: int = 300, **options: int | float) -> ZooEntry:
    """The entry for other classes, another side of the picture (MobileNets only), or another width."""
    nvidia = name == "ssd-resnet50"
    if size < 64:
        raise InputError(f"size={size} is too small for {name}", hint="give 64 or more")
    heads = _nvidia_heads() if nvidia else _tensorflow_heads(size)
    boxes = sum(head.rows * head.columns * len(head.anchors) for head in heads)
    usual = COCO_80 if nvidia else COCO_90
    classes = num_classes or len(usual)
    # TensorFlow's fixed_shape_resizer stretches, and pixels become -1..1.
    preprocess = Preprocess(size, size, 3, "RGB", "NCHW", "stretch", 1 / 127.5, (1.0,))
    return ZooEntry(
        f"ssd:{name.replace('-', '_')}",
        (TensorSpec("input", ("batch", 3, size, size)),),
        (TensorSpec("offsets", ("batch", boxes, 4)), TensorSpec("scores", ("batch", boxes, classes + 1))),
        Task(
            "detection",
            ("background", *usual) if classes == len(usual) else (),
            replace(photo(size), fit="stretch", resize=0) if nvidia else preprocess,
            Detection("ssd", heads),
        ),
        _SSDS[name],
        ({"num_classes": classes} if num_classes else {}) | options,
        options=("width",),
        sizing="fixed" if nvidia else "free",
        rebuilt=partial(_ssd, name),
    )


_SSDS = {
    "mobilenet-v1-ssd": "MobileNet v1 SSD, 90 COCO categories",
    "mobilenet-v2-ssd": "MobileNet v2 SSDLite, 90 COCO categories",
    "ssd-resnet50": "SSD300 with ResNet-50 as NVIDIA's, 80 COCO classes",
}

SSD: dict[str, ZooEntry] = {name: _ssd(name) for name in _SSDS}
