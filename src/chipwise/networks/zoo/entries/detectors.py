"""Networks that find objects: the YOLO family.

>>> YOLO["yolov3-tiny"].task.detection.heads[0].rows
13
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

from chipwise.core.errors import InputError
from chipwise.core.network import TensorSpec
from chipwise.core.task import Detection, Head, Preprocess, Task
from chipwise.networks.zoo.entry import ZooEntry
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
        "YOLOv2: Darknet-19 with a passthrough, 80 COCO classes (50,962,889 parameters)",
        "region",
    ),
    "yolov2-tiny": _Yolo(
        "yolov2_tiny", 416, (_Grid(32, _V2),), "YOLOv2-tiny, 80 COCO classes (11,232,057 parameters)", "region"
    ),
    "yolov3": _Yolo(
        "yolov3",
        608,
        (_Grid(32, _V3[6:]), _Grid(16, _V3[3:6]), _Grid(8, _V3[:3])),
        "YOLOv3: Darknet-53 with three heads, 80 COCO classes (61,949,149 parameters)",
    ),
    "yolov3-tiny": _Yolo(
        "yolov3_tiny",
        416,
        (_Grid(32, _TINY[3:]), _Grid(16, _TINY[:3])),
        "YOLOv3-tiny, two heads, 80 COCO classes (8,852,366 parameters)",
    ),
    "yolov4": _Yolo(
        "yolov4",
        608,
        (_Grid(8, _V4[:3], 1.2), _Grid(16, _V4[3:6], 1.1), _Grid(32, _V4[6:], 1.05)),
        "YOLOv4: CSPDarknet-53, SPP, PANet, Mish, 80 COCO classes (64,363,101 parameters)",
    ),
    "yolov4-tiny": _Yolo(
        "yolov4_tiny",
        416,
        # Masks 3,4,5 and 1,2,3: the smallest anchor is not used, the fourth is used twice.
        (_Grid(32, _TINY[3:], 1.05), _Grid(16, _TINY[1:4], 1.05)),
        "YOLOv4-tiny, two heads, 80 COCO classes (6,056,606 parameters)",
    ),
}

YOLO: dict[str, ZooEntry] = {name: _entry(yolo) for name, yolo in _YOLOS.items()}
