"""Let a network take uint8 pictures: `(pixel * scale - mean) / std` becomes part of it, most of it of its weights.

A caller hands over a quarter of the bytes and computes nothing; the first layer, which reads the pixels anyway, has the
factors in its weights. The subtraction too where no padding surrounds the picture. Where it does, one is left: the
border is zero after the subtraction, not before it.

    x -> Conv   =>   x uint8 -> [Transpose ->] Cast -> [Sub mean / scale ->] Conv with W scale / std

Resizing, cropping and the order of channels stay with the caller.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from chipwise.core.errors import NetworkError
from chipwise.optimize import fold_scales
from chipwise.optimize.rewrite import add_weights, is_op, shape_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chipwise.core.task import Preprocess

LABEL = "close"
_FLOATS = {ir.DataType.FLOAT: np.float32, ir.DataType.DOUBLE: np.float64}


def absorb(model: ir.Model, preprocess: Preprocess, *, channels_last: bool = False) -> tuple[ir.Model, Preprocess, str]:
    """A network for uint8 pictures that answers as `model` does for what `preprocess` makes of them.

    Args:
        model: of one float32 or float64 input; is not changed.
        preprocess: of that input.
        channels_last: take [N, H, W, C], as pictures are decoded, where the network takes [N, C, H, W]. Not for a
            network that answers with pictures: their layout is told from the input's.

    Returns:
        the network, what is left to do before it (`prepare` with element type "uint8"), and what was done, in one line.

    Raises:
        NetworkError: when the network has several inputs, or one that is not float or not of the layout.
    """
    made = model.clone()
    fold_scales.apply(made)
    before = _elementwise(made)
    old = _checked(made, preprocess)
    turned = channels_last and preprocess.layout == "NCHW"
    _put_in_front(made.graph, old, preprocess, turned)
    fold_scales.apply(made)
    left = _elementwise(made) - before
    rest = replace(preprocess, scale=1.0, mean=(0.0,), std=(1.0,), layout="NHWC" if turned else preprocess.layout)
    scaled = f"{left} of its steps {'stays' if left == 1 else 'stay'}" if left > 0 else "all of it in the weights"
    return made, rest, f"took preprocessing of uint8 pictures into the network, {scaled}"


def _checked(model: ir.Model, preprocess: Preprocess) -> ir.Value:
    """The input for pictures."""
    inputs = [value for value in model.graph.inputs if value.name not in model.graph.initializers]
    if len(inputs) != 1 or inputs[0].is_graph_output():
        raise NetworkError(f"the network has {len(inputs)} inputs, and a uint8 picture can be only one")
    shape, flat = shape_of(inputs[0]), preprocess.layout == "flat"
    size = preprocess.channels * (preprocess.height * preprocess.width if flat else 1)
    axis = 3 if preprocess.layout == "NHWC" else 1
    fits = shape is not None and len(shape) == (2 if flat else 4) and shape[axis] in (size, None)
    if inputs[0].dtype not in _FLOATS or not fits:
        hint = f"it should be float, {preprocess.layout} with {size} at axis {axis}"
        raise NetworkError(f"the network's input {inputs[0].name!r} is {inputs[0].dtype} {inputs[0].shape}", hint=hint)
    return inputs[0]


def _put_in_front(graph: ir.Graph, old: ir.Value, preprocess: Preprocess, turned: bool) -> None:
    """Cast, subtraction and scaling before all that read `old`, and an input of its name in its place."""
    dtype, shape = old.dtype, old.shape
    assert dtype is not None, "checked"
    assert shape is not None, "checked"
    sizes = [shape[axis] for axis in (0, 2, 3, 1)] if turned else list(shape)
    new = ir.Value(name=old.name, type=ir.TensorType(ir.DataType.UINT8), shape=ir.Shape(sizes))
    nodes = [ir.node("Transpose", [new], {"perm": (0, 3, 1, 2)})] if turned else []
    nodes.append(ir.node("Cast", [nodes[0].outputs[0] if turned else new], {"to": dtype}))
    scale, mean, std = (np.array(each, np.float64) for each in (preprocess.scale, preprocess.mean, preprocess.std))
    for op, numbers, neutral in (("Sub", mean / scale, 0.0), ("Mul", scale / std, 1.0)):
        if (numbers != neutral).any():
            constant = add_weights(graph, _aligned(np.asarray(numbers), preprocess).astype(_FLOATS[dtype]), "pixel")
            nodes.append(ir.node(op, [nodes[-1].outputs[0], constant]))
    for node in nodes:
        kind = ir.DataType.UINT8 if node.op_type == "Transpose" else dtype
        node.outputs[0].type, node.outputs[0].shape = ir.TensorType(kind), ir.Shape(list(shape))
    first = graph[0]
    old.replace_all_uses_with(nodes[-1].outputs[0])
    graph.inputs[list(graph.inputs).index(old)] = new
    graph.insert_before(first, nodes)


def _aligned(numbers: NDArray[np.float64], preprocess: Preprocess) -> NDArray[Any]:
    """One number for all channels, or one for each in a shape that broadcasts with the input."""
    if numbers.size == 1 or (numbers == numbers.flat[0]).all():
        return np.array(numbers.flat[0])
    if preprocess.layout == "flat":
        return np.tile(numbers, preprocess.height * preprocess.width)
    return numbers.reshape(-1, 1, 1) if preprocess.layout == "NCHW" else numbers


def _elementwise(model: ir.Model) -> int:
    return sum(is_op(node, "Mul", "Div", "Add", "Sub") for node in model.graph)
