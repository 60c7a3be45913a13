r"""Darknet's last layers: softmax, the detection layers, and those that do nothing in inference.

A detection layer draws nothing: its raw input is a result of the network, and `chipwise.tasks` decodes it.

Source: src/softmax_layer.c, src/yolo_layer.c, src/region_layer.c, src/detection_layer.c of pjreddie/darknet, and
scale_x_y and new_coords of AlexeyAB's src/yolo_layer.c.

>>> from chipwise.networks.darknet.cfg import parse
>>> from chipwise.networks.darknet.drawing import Drawing
>>> text = "[net]\n[yolo]\nclasses=1\nnum=2\nmask=1\nanchors=10,14, 23,27"
>>> drawing = Drawing(32, 32)
>>> yolo(drawing, parse(text).layers[0], drawing.open("x", (6, 2, 2))).closed
'section [yolo] (line 2)'
>>> drawing.found[0].head.anchors
((23.0, 27.0),)
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from chipwise.core.task import Decoder, Head
from chipwise.networks.darknet.activations import activate, activation_of
from chipwise.networks.darknet.cfg import Section
from chipwise.networks.darknet.drawing import Drawing, Flow, Found


def nothing(drawing: Drawing, section: Section, before: Flow) -> Flow:  # noqa: ARG001 (every layer has this form)
    """Pass on what comes in: dropout and cost do nothing in inference."""
    return before


def activation(drawing: Drawing, section: Section, before: Flow) -> Flow:
    """Add an activation of its own."""
    shape = (before.count,) if before.flat else before.shape
    return replace(before, value=activate(drawing, drawing.like(before), shape, activation_of(section, "linear")))


def softmax(drawing: Drawing, section: Section, before: Flow) -> Flow:
    """Add a softmax over all values, over each of `groups` parts, or over the channels of each pixel (`spatial`).

    Raises:
        NetworkError: when an option cannot be built.
    """
    if "tree" in section.options:
        raise section.error("needs a tree of classes (tree=)", "only flat lists of classes are built")
    groups, temperature = section.integer("groups", 1, least=1), section.number("temperature", 1.0)
    if before.count % groups or temperature <= 0:
        raise section.error(
            f"has {groups} groups and temperature {temperature:g} for {before.count} values",
            "groups must divide the values, the temperature be above 0",
        )
    spatial = section.flag("spatial")
    shape: tuple[int, ...] = before.shape if spatial else (before.count,)
    value = drawing.maps(before) if spatial else drawing.flat(before)
    if temperature != 1:
        value = drawing.node("Mul", "cooled", [value, drawing.constant("temperature", 1 / temperature)], shape)
    if spatial or groups == 1:
        value = drawing.node("Softmax", "softmax", [value], shape, axis=1)
        return Flow(value, before.shape if spatial else (before.count, 1, 1), flat=not spatial)
    parts = (groups, before.count // groups)
    value = drawing.node("Reshape", "groups", [value, drawing.constant("groups", [0, *parts], np.int64)], parts)
    value = drawing.node("Softmax", "softmax", [value], parts, axis=2)
    return Flow(drawing.node("Flatten", "joined", [value], shape, axis=1), (before.count, 1, 1), flat=True)


def yolo(drawing: Drawing, section: Section, before: Flow) -> Flow:
    """Note a head of YOLOv3 or v4: anchors in pixels, some of which are this head's (`mask`).

    Raises:
        NetworkError: when anchors, classes and what comes in do not suit each other.
    """
    total = section.integer("num", 1, least=1, most=1024)
    mask = section.integers("mask") or tuple(range(total))
    anchors = _anchors(section, total)
    if not all(0 <= index < total for index in mask):
        raise section.error(f"has mask={','.join(map(str, mask))} and num={total}", "mask counts from 0 to num - 1")
    scale = section.number("scale_x_y", 1.0)
    if scale < 1:
        raise section.error(f"has scale_x_y={scale:g}", "give 1 or more")
    head = Head(
        *before.shape[1:],
        anchors=tuple(anchors[index] for index in mask),
        scale_xy=scale,
        squared=section.flag("new_coords"),
    )
    return _close(drawing, section, before, "yolo", head)


def region(drawing: Drawing, section: Section, before: Flow) -> Flow:
    """Note the head of YOLOv2: anchors in cells, softmax over classes.

    Raises:
        NetworkError: when anchors, classes and what comes in do not suit each other, or an option cannot be built.
    """
    section.refuse(("background",))
    if "tree" in section.options:
        raise section.error("needs a tree of classes (tree=)", "only flat lists of classes are built")
    if not section.flag("softmax") or section.integer("coords", 4) != 4:
        raise section.error("is without softmax=1 and coords=4", "only those are decoded")
    rows, columns = before.shape[1:]
    wide, high = drawing.width / columns, drawing.height / rows
    anchors = tuple((w * wide, h * high) for w, h in _anchors(section, section.integer("num", 1, least=1, most=1024)))
    return _close(drawing, section, before, "region", Head(rows, columns, anchors))


def detection(drawing: Drawing, section: Section, before: Flow) -> Flow:
    """Note the head of the first YOLO: boxes are parts of the whole picture, their sizes' square roots with `sqrt`.

    Raises:
        NetworkError: when sides, classes and what comes in do not suit each other, or an option cannot be built.
    """
    section.refuse(("softmax", "reorg"))
    if section.integer("coords", 1) != 4 or not section.flag("sqrt"):
        raise section.error("is without coords=4 and sqrt=1", "only those are decoded")
    side = section.integer("side", 7, least=1, most=1024)
    boxes = section.integer("num", 1, least=1, most=1024)
    head = Head(side, side, ((float(drawing.width), float(drawing.height)),) * boxes)
    classes = section.integer("classes", 1, least=1)
    wanted = side * side * (classes + 5 * boxes)
    if before.count != wanted:
        raise section.error(f"takes {wanted} values, {before.count} come in", "check side, num and classes")
    drawing.found.append(Found("yolo-v1", head, classes, drawing.flat(before)))
    return replace(before, closed=section.title)


def _anchors(section: Section, total: int) -> tuple[tuple[float, float], ...]:
    numbers = section.numbers("anchors")
    if len(numbers) < 2 * total or min(numbers) <= 0:
        raise section.error(f"has {len(numbers)} numbers in anchors= for num={total}", "give a width and height each")
    return tuple(zip(numbers[: 2 * total : 2], numbers[1 : 2 * total : 2], strict=True))


def _close(drawing: Drawing, section: Section, before: Flow, decoder: Decoder, head: Head) -> Flow:
    classes = section.integer("classes", 20, least=1)
    wanted = len(head.anchors) * (classes + 5)
    if before.shape[0] != wanted or drawing.width == 0:
        raise section.error(
            f"takes {wanted} channels of a picture ({len(head.anchors)} boxes with 5 + {classes} values), "
            f"{' x '.join(map(str, before.shape))} come in",
            "check filters of the layer before, mask and classes",
        )
    drawing.found.append(Found(decoder, head, classes, drawing.maps(before)))
    return replace(before, closed=section.title)
