"""Read a `.prototxt`: the layers that inference runs, old and new spelling alike, and the inputs.

>>> text = 'input: "x" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8 layers { name: "r" type: RELU bottom: "x" }'
>>> net = parse(text, "one.prototxt")
>>> net.inputs, [layer.type for layer in net.layers]
({'x': (1, 3, 8, 8)}, ['ReLU'])
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from google.protobuf import text_format  # type: ignore[import-untyped]

from chipwise.core.errors import NetworkError, first_line
from chipwise.core.layer import Shape
from chipwise.networks.caffe import schema

LIMIT_BYTES = 2_000_000  # the longest published one, of Inception-ResNet v2, has 0.2 MB
_MOST_LAYERS = 4096  # that of Inception-ResNet v2 has 800
_MOST_DIMENSIONS, _LARGEST = 8, 2**20
# Old names that are not the new one in capitals.
_RENAMED = {
    "ABSVAL": "AbsVal",
    "BNLL": "BNLL",
    "INNER_PRODUCT": "InnerProduct",
    "LRN": "LRN",
    "RELU": "ReLU",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "TANH": "TanH",
}


@dataclass(frozen=True, slots=True)
class CaffeLayer:
    """One layer: its name, its type by the new spelling, what it reads and writes, and its message."""

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    message: Any

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"layer {self.name!r} ({self.type})"

    def error(self, reason: str, hint: str = "") -> NetworkError:
        """An error about this layer."""
        return NetworkError(f"{self.title} {reason}", hint=hint)


@dataclass(frozen=True, slots=True)
class CaffeNet:
    """A network's inputs with their whole shapes, and its layers in order; Input layers are among the inputs."""

    inputs: dict[str, Shape]
    layers: tuple[CaffeLayer, ...]


def parse(text: str, title: str) -> CaffeNet:
    """Read a network's description as inference (phase TEST) sees it.

    Args:
        text: of the prototxt.
        title: of the file, for messages.

    Raises:
        NetworkError: with the line that cannot be read, or what the network lacks.
    """
    net = schema.network()
    try:
        text_format.Parse(text, net, allow_unknown_field=True)
    except (text_format.ParseError, RecursionError, ValueError) as error:
        raise NetworkError(f"{title} is no prototxt: {first_line(error)[:200]}") from error
    if len(net.layers) + len(net.layer) > _MOST_LAYERS:
        raise NetworkError(
            f"{title} has {len(net.layers) + len(net.layer):,} layers", hint=f"at most {_MOST_LAYERS:,} are supported"
        )
    state = net.state
    found = [_layer(each) for each in (*net.layers, *net.layer) if _included(each, state)]
    inputs = _inputs(net, title)
    for layer in found:
        if layer.type == "Input":
            shapes = [tuple(shape.dim) for shape in layer.message.input_param.shape]
            if len(shapes) not in (1, len(layer.tops)):
                raise layer.error(f"gives {len(shapes)} shapes for {len(layer.tops)} inputs")
            inputs |= dict(zip(layer.tops, shapes if len(shapes) > 1 else shapes * len(layer.tops), strict=True))
    layers = tuple(layer for layer in found if layer.type != "Input")
    for name, shape in inputs.items():
        if not 0 < len(shape) <= _MOST_DIMENSIONS or not all(0 < size <= _LARGEST for size in shape):
            raise NetworkError(
                f"{title}: input {name!r} has the shape {list(shape)}", hint="give input_shape { dim: ... }"
            )
    if not inputs or not layers:
        missing = "input" if layers else "layer"
        raise NetworkError(
            f"{title} has no {missing}", hint="give the deploy prototxt: the one for training reads files"
        )
    return CaffeNet(inputs, layers)


def _inputs(net: Any, title: str) -> dict[str, Shape]:
    shapes = [tuple(shape.dim) for shape in net.input_shape]
    dims = tuple(net.input_dim)
    if not shapes:
        shapes = [dims[start : start + 4] for start in range(0, len(dims), 4)]
    if len(shapes) != len(net.input):
        raise NetworkError(f"{title} has {len(net.input)} inputs and {len(shapes)} input shapes")
    return dict(zip(net.input, shapes, strict=True))


def _layer(message: Any) -> CaffeLayer:
    kind = message.type
    if isinstance(kind, int):
        old = schema.type_name(kind)
        kind = _RENAMED.get(old, old.title().replace("_", ""))
    return CaffeLayer(message.name, kind, tuple(message.bottom), tuple(message.top), message)


def _included(layer: Any, state: Any) -> bool:
    if layer.include:
        return any(_met(rule, state) for rule in layer.include)
    return not any(_met(rule, state) for rule in layer.exclude)


def _met(rule: Any, state: Any) -> bool:
    """As Caffe's Net::StateMeetsRule; the phase is always TEST, of which 1 is the number."""
    if rule.HasField("phase") and rule.phase != 1:
        return False
    if rule.HasField("min_level") and state.level < rule.min_level:
        return False
    if rule.HasField("max_level") and state.level > rule.max_level:
        return False
    return set(rule.stage) <= set(state.stage) and not set(rule.not_stage) & set(state.stage)
