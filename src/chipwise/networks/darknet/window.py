r"""Darknet's layers without weights that read one picture: pooling, crop, upsample, reorg.

Source: src/maxpool_layer.c, src/avgpool_layer.c, src/crop_layer.c, src/upsample_layer.c, src/reorg_layer.c and
src/blas.c reorg_cpu of pjreddie/darknet; [reorg3d] is AlexeyAB's name for an honest reorg.

>>> from chipwise.networks.darknet.cfg import parse
>>> from chipwise.networks.darknet.drawing import Drawing
>>> drawing, pool = Drawing(416, 416), parse("[net]\n[maxpool]\nsize=2\nstride=1").layers[0]
>>> maxpool(drawing, pool, drawing.open("x", (512, 13, 13))).shape
(512, 13, 13)
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from chipwise.networks.darknet.cfg import Section
from chipwise.networks.darknet.convolution import LARGEST_WINDOW
from chipwise.networks.darknet.drawing import Drawing, Flow

_MOST_SCALE = 64


def maxpool(drawing: Drawing, section: Section, before: Flow) -> Flow:
    """Add max-pooling; `padding` is that of both sides together, and its smaller half comes first.

    Raises:
        NetworkError: when an option cannot be built.
    """
    section.refuse(("maxpool_depth", "antialiasing"))
    stride = section.integer("stride", 1, least=1)
    strides = (section.integer("stride_y", stride, least=1), section.integer("stride_x", stride, least=1))
    size = section.integer("size", stride, least=1, most=LARGEST_WINDOW)
    padding = section.integer("padding", size - 1)
    first, last = padding // 2, padding - padding // 2
    if last >= size:
        raise section.error(f"pads a window of {size} with {padding}: some windows see nothing", "pad with less")
    channels, rows, columns = before.shape
    shape = (channels, (rows + padding - size) // strides[0] + 1, (columns + padding - size) // strides[1] + 1)
    value = drawing.node(
        "MaxPool",
        "maxpool",
        [drawing.maps(before)],
        shape,
        kernel_shape=[size, size],
        strides=list(strides),
        pads=[first, first, last, last],
    )
    return Flow(value, shape)


def avgpool(drawing: Drawing, section: Section, before: Flow) -> Flow:  # noqa: ARG001 (every layer has this form)
    """Add the mean over each channel."""
    shape = (before.shape[0], 1, 1)
    return Flow(drawing.node("GlobalAveragePool", "avgpool", [drawing.maps(before)], shape), shape)


def crop(drawing: Drawing, section: Section, before: Flow) -> Flow:
    """Add what a crop does in inference: the middle, and 0..1 stretched to -1..1 unless `noadjust`.

    Raises:
        NetworkError: when it is larger than the picture.
    """
    channels, rows, columns = before.shape
    shape = (channels, section.integer("crop_height", 1, least=1), section.integer("crop_width", 1, least=1))
    if shape[1] > rows or shape[2] > columns:
        raise section.error(f"keeps {shape[1]} x {shape[2]} of {rows} x {columns}", "keep less than there is")
    starts = [(rows - shape[1]) // 2, (columns - shape[2]) // 2]
    ends = [starts[0] + shape[1], starts[1] + shape[2]]
    bounds = [
        drawing.constant(name, numbers, np.int64)
        for name, numbers in (("starts", starts), ("ends", ends), ("axes", [2, 3]))
    ]
    value = drawing.node("Slice", "crop", [drawing.maps(before), *bounds], shape)
    if not section.flag("noadjust"):
        value = drawing.node("Mul", "doubled", [value, drawing.constant("two", 2.0)], shape)
        value = drawing.node("Add", "centred", [value, drawing.constant("one", -1.0)], shape)
    return Flow(value, shape)


def upsample(drawing: Drawing, section: Section, before: Flow) -> Flow:
    """Add an upsampling that repeats each value `stride` times along both axes, times `scale`.

    Raises:
        NetworkError: when an option cannot be built.
    """
    stride, scale = section.integer("stride", 2, least=1, most=_MOST_SCALE), section.number("scale", 1.0)
    channels, rows, columns = before.shape
    shape = (channels, rows * stride, columns * stride)
    value = drawing.node(
        "Resize",
        "upsample",
        [drawing.maps(before), None, drawing.constant("scales", [1.0, 1.0, stride, stride])],
        shape,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    if scale != 1:
        value = drawing.node("Mul", "scaled", [value, drawing.constant("scale", scale)], shape)
    return Flow(value, shape)


def reorg(drawing: Drawing, section: Section, before: Flow) -> Flow:
    """Add Darknet's reorg, which is no space-to-depth.

    reorg_cpu is called with the shape of what comes in where that of the result is meant. So the values are read in
    their order as if they were [channels / s^2, rows * s, columns * s], space is turned to depth there, and what comes
    out is read as if it were [channels * s^2, rows / s, columns / s].

    Raises:
        NetworkError: when the sizes do not divide.
    """
    section.refuse(("flatten", "extra"))
    return _reorganised(drawing, section, before, honest=False)


def reorg3d(drawing: Drawing, section: Section, before: Flow) -> Flow:
    """Add AlexeyAB's [reorg3d]: space to depth, or depth to space with `reverse`.

    Raises:
        NetworkError: when the sizes do not divide.
    """
    return _reorganised(drawing, section, before, honest=True)


def _reorganised(drawing: Drawing, section: Section, before: Flow, *, honest: bool) -> Flow:
    """Space to depth, of the values as they are or as Darknet reads them; or depth to space, which both do alike."""
    stride = section.integer("stride", 1, least=1, most=_MOST_SCALE)
    square = stride * stride
    channels, rows, columns = before.shape
    reverse = section.flag("reverse")
    if (channels % square and (reverse or not honest)) or (not reverse and (rows % stride or columns % stride)):
        raise section.error(
            f"with stride {stride} does not divide {channels} x {rows} x {columns}", "give sizes that it divides"
        )
    small = channels // square
    value = drawing.maps(before)
    if reverse:
        shape = (small, rows * stride, columns * stride)
        return Flow(_regrouped(drawing, value, (stride, stride, small, rows, columns), (3, 4, 1, 5, 2), shape), shape)
    shape = (channels * square, rows // stride, columns // stride)
    read = (channels, *shape[1:]) if honest else (small, rows, columns)
    split = (read[0], read[1], stride, read[2], stride)
    return Flow(_regrouped(drawing, value, split, (3, 5, 1, 2, 4), shape), shape)


def _regrouped(
    drawing: Drawing,
    value: ir.Value,
    split: tuple[int, ...],
    order: tuple[int, ...],
    shape: tuple[int, int, int],
) -> ir.Value:
    """Read as `split`, put in another order (axes from 1, after the batch), read as `shape`."""
    value = drawing.node("Reshape", "split", [value, drawing.constant("split", [0, *split], np.int64)], split)
    moved = tuple(split[axis - 1] for axis in order)
    value = drawing.node("Transpose", "moved", [value], moved, perm=[0, *order])
    return drawing.node("Reshape", "reorg", [value, drawing.constant("joined", [0, *shape], np.int64)], shape)
