r"""Draw a cfg's layers one after another.

>>> from chipwise.networks.darknet.cfg import parse
>>> drawing = build(parse("[net]\nwidth=8\nheight=8\nchannels=3\n[convolutional]\nfilters=4\nsize=3\npad=1"))
>>> drawing.flows[-1].shape, [parameter.value.name for parameter in drawing.parameters]
((4, 8, 8), ['000.conv.bias', '000.conv.weight'])
"""

from __future__ import annotations

from collections.abc import Callable

from chipwise.core.errors import NetworkError
from chipwise.networks.darknet import convolution, dense, heads, joining, recurrent, window
from chipwise.networks.darknet.cfg import Cfg, Section
from chipwise.networks.darknet.drawing import Drawing, Flow

INPUT = "input"
_LARGEST_SIDE = 16384
_Draw = Callable[[Drawing, Section, Flow], Flow]

# As src/parser.c string_to_layer_type has them, short names included.
LAYERS: dict[str, _Draw] = {
    "activation": heads.activation,
    "avg": window.avgpool,
    "avgpool": window.avgpool,
    "conn": dense.connected,
    "connected": dense.connected,
    "conv": convolution.convolutional,
    "convolutional": convolution.convolutional,
    "cost": heads.nothing,
    "crop": window.crop,
    "detection": heads.detection,
    "dropout": heads.nothing,
    "gru": recurrent.gru,
    "local": dense.local,
    "lstm": recurrent.lstm,
    "max": window.maxpool,
    "maxpool": window.maxpool,
    "region": heads.region,
    "reorg": window.reorg,
    "reorg3d": window.reorg3d,
    "rnn": recurrent.rnn,
    "route": joining.route,
    "sam": joining.sam,
    "scale_channels": joining.scale_channels,
    "shortcut": joining.shortcut,
    "soft": heads.softmax,
    "softmax": heads.softmax,
    "upsample": window.upsample,
    "yolo": heads.yolo,
}


def build(cfg: Cfg, *, forked: bool = False) -> Drawing:
    """Draw a network; its parameters are declared, not filled.

    Args:
        cfg: its description.
        forked: the weights were written by AlexeyAB's Darknet.

    Raises:
        NetworkError: when a layer cannot be built, naming it and its line.
    """
    shape = _input_shape(cfg.options)
    _, height, width = shape if len(shape) == 3 else (0, 0, 0)
    drawing = Drawing(width, height, forked)
    flow = drawing.open(INPUT, shape)
    for index, section in enumerate(cfg.layers):
        draw = LAYERS.get(section.type)
        if draw is None:
            raise section.error("is not supported", f"supported layers: {', '.join(sorted(LAYERS))}")
        drawing.begin(index, section.title)
        flow = draw(drawing, section, flow)
        drawing.flows.append(flow)
    return drawing


def _input_shape(net: Section) -> tuple[int, ...]:
    """Channels, height and width, or the number of inputs where there is no picture."""
    sides = tuple(net.integer(key, 0, most=_LARGEST_SIDE) for key in ("channels", "height", "width"))
    if min(sides) > 0:
        return sides
    inputs = net.integer("inputs", 0)
    if not inputs:
        channels, height, width = sides
        raise NetworkError(
            f"{net.title} says neither inputs nor a picture: width={width}, height={height}, channels={channels}",
            hint="give width, height and channels, or inputs",
        )
    return (inputs,)
