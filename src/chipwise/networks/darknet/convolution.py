"""Darknet's [convolutional]: Conv, BatchNormalization where asked for, and the activation.

Source: src/parser.c parse_convolutional and load_convolutional_weights, src/convolutional_layer.c, src/blas.c
normalize_cpu of pjreddie/darknet and AlexeyAB/darknet.

>>> window_size(416, size=3, stride=2, padding=1)
208
"""

from __future__ import annotations

import onnx_ir as ir

from chipwise.core.layer import Shape
from chipwise.networks.darknet.activations import activate, activation_of
from chipwise.networks.darknet.cfg import Section
from chipwise.networks.darknet.drawing import Drawing, Flow

# pjreddie divides by sqrt(variance) + 1e-6, AlexeyAB by sqrt(variance + 1e-5), readers of these files (OpenCV, this
# one) by sqrt(variance + 1e-6): trained variances are far larger, so that answers differ by rounding.
EPSILON = 1e-6
LARGEST_WINDOW = 255
_NOT_BUILT = (
    "antialiasing", "assisted_excitation", "bin_output", "binary", "cbn", "coordconv", "dontload", "dontloadscales",
    "rotate", "stretch", "stretch_sway", "sway", "xnor",
)  # fmt: skip


def window_size(length: int, size: int, stride: int, padding: int) -> int:
    """How many windows fit along an axis; `padding` is on both sides."""
    return (length + 2 * padding - size) // stride + 1


def convolutional(drawing: Drawing, section: Section, before: Flow) -> Flow:
    """Add a convolution.

    Raises:
        NetworkError: when an option cannot be built or contradicts what comes in.
    """
    section.refuse(_NOT_BUILT)
    if "share_index" in section.options:
        raise section.error("shares its weights with another layer (share_index)", "only layers of their own are built")
    filters, groups = section.integer("filters", 1, least=1), section.integer("groups", 1, least=1)
    channels, rows, columns = before.shape
    if channels % groups or filters % groups:
        raise section.error(
            f"has {groups} groups, which do not divide its {channels} input channels and {filters} filters evenly",
            "give groups that divide both",
        )
    size = section.integer("size", 1, least=1, most=LARGEST_WINDOW)
    stride = section.integer("stride", 1, least=1)
    strides = (section.integer("stride_y", stride, least=1), section.integer("stride_x", stride, least=1))
    padding, dilation = _padding(section, size)
    shape = (
        filters,
        window_size(rows, size, strides[0], padding),
        window_size(columns, size, strides[1], padding),
    )
    normalized = section.flag("batch_normalize")
    bias = drawing.parameter("bn.bias" if normalized else "conv.bias", (filters,))
    norm = norm_parameters(drawing, "bn", filters) if normalized else None
    taps = (channels // groups, size, size)
    weight = drawing.parameter(
        "conv.weight",
        (filters, *taps),
        "normal",
        taps[0] * size * size,
        "always" if section.flag("flipped") else "",
    )
    value = drawing.node(
        "Conv",
        "convolutional",
        [drawing.maps(before), weight, *([] if norm else [bias])],
        shape,
        kernel_shape=[size, size],
        strides=list(strides),
        pads=[padding * dilation] * 4,
        dilations=[dilation, dilation],
        group=groups,
    )
    if norm is not None:
        value = normalize(drawing, value, shape, bias, norm)
    return Flow(activate(drawing, value, shape, activation_of(section)), shape)


def norm_parameters(drawing: Drawing, name: str, channels: int) -> tuple[ir.Value, ir.Value, ir.Value]:
    """Scale, mean and variance, as they follow one another in the file."""
    scale = drawing.parameter(f"{name}.scale", (channels,), "ones")
    mean = drawing.parameter(f"{name}.mean", (channels,))
    return scale, mean, drawing.parameter(f"{name}.var", (channels,), "ones")


def normalize(
    drawing: Drawing, value: ir.Value, shape: Shape, bias: ir.Value, norm: tuple[ir.Value, ir.Value, ir.Value]
) -> ir.Value:
    """Add the batch-norm of inference to [batch, *shape]."""
    scale, mean, variance = norm
    return drawing.node("BatchNormalization", "batchnorm", [value, scale, bias, mean, variance], shape, epsilon=EPSILON)


def _padding(section: Section, size: int) -> tuple[int, int]:
    """Padding before dilation, and dilation: pad=1 means half the window; AlexeyAB's src/im2col.c dilates both."""
    dilation = section.integer("dilation", 1, least=1, most=LARGEST_WINDOW) if size > 1 else 1
    given = section.integer("padding", 0, most=LARGEST_WINDOW)
    padding = size // 2 if section.flag("pad") else given
    if dilation > 1 and 2 * padding != size - 1:
        raise section.error(
            f"has dilation={dilation} without padding half its window: Darknet's sizes contradict each other there",
            "give an odd size and pad=1",
        )
    return padding, dilation
