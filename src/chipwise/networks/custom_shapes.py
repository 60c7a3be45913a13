"""What custom layers give: nobody but their functions knows, so they are called once or twice on made-up inputs.

>>> import onnx.parser
>>> from chipwise.core.custom_layers import forget, register
>>> text = '<ir_version: 8, opset_import: ["doc": 1]> g (float[N, 3] x) => (y) { y = doc.Twice (x) }'
>>> model = onnx.parser.parse_model(text)
>>> register("doc::Twice", lambda x: np.concatenate([x, x]))
>>> kind = outputs(model.graph.node[0], {"x": model.graph.input[0].type}, {})[0]
>>> [dim.dim_value for dim in kind.tensor_type.shape.dim]
[0, 3]
>>> forget("doc::Twice")
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, NodeProto, TypeProto, helper, numpy_helper

from chipwise.core.custom_layers import call, function, title
from chipwise.core.errors import InputError

Constants = Mapping[str, onnx.TensorProto]

_MOST_ELEMENTS = 1 << 26  # of one made-up input: what is larger is not worth knowing at this price


def outputs(node: NodeProto, types: Mapping[str, TypeProto], constants: Constants) -> list[TypeProto]:
    """Types and shapes of a custom layer's outputs, its free dimensions as its function treats them.

    Args:
        node: one of a registered custom layer.
        types: of the values that are known so far, by name.
        constants: weights that are at hand.

    Returns:
        one for each output; empty where its inputs are not known, or its function will not have made-up ones.
    """
    layer = function(node.domain, node.op_type)
    names = [name for name in node.input if name]
    if layer is None or any(name not in constants and not _is_shaped(types.get(name)) for name in names):
        return []
    free = _free_dimensions([types[name] for name in names if name not in constants])
    made: list[tuple[NDArray[Any], ...]] = []
    for more in (0, len(free) + 1) if free else (0,):
        sizes = {dim: 2 + more + place for place, dim in enumerate(free)}
        arrays = [_array(name, types, constants, sizes, seed=more) if name else None for name in node.input]
        if any(array is None and name for array, name in zip(arrays, node.input, strict=True)):
            return []
        try:
            count = len(node.output)
            made.append(call(title(node.domain, node.op_type), layer, arrays, attributes(node), count))
        except InputError:
            return []  # it says so when it is run
    return [_type(each, free) for each in zip(*made, strict=True)]


def attributes(node: NodeProto) -> dict[str, Any]:
    """Attributes as a custom layer takes them: text as str, tensors as arrays."""
    return {each.name: _plain(each) for each in node.attribute}


def _plain(attribute: AttributeProto) -> Any:
    value = helper.get_attribute_value(attribute)
    if attribute.type == AttributeProto.TENSOR:
        return numpy_helper.to_array(value)
    if attribute.type == AttributeProto.STRING:
        return value.decode()
    if attribute.type == AttributeProto.STRINGS:
        return [each.decode() for each in value]
    return list(value) if isinstance(value, (list, tuple)) or hasattr(value, "__len__") else value


def _is_shaped(kind: TypeProto | None) -> bool:
    return kind is not None and kind.tensor_type.elem_type > 0 and kind.tensor_type.HasField("shape")


def _free_dimensions(kinds: list[TypeProto]) -> list[str]:
    """Names of the dimensions that are free, each once; the unnamed ones are all alike."""
    dims = (dim for kind in kinds for dim in kind.tensor_type.shape.dim)
    return list(dict.fromkeys(dim.dim_param for dim in dims if not dim.HasField("dim_value")))


def _array(
    name: str, types: Mapping[str, TypeProto], constants: Constants, sizes: dict[str, int], seed: int
) -> NDArray[Any] | None:
    if name in constants:
        return numpy_helper.to_array(constants[name])
    held = types[name].tensor_type
    shape = [dim.dim_value if dim.HasField("dim_value") else sizes[dim.dim_param] for dim in held.shape.dim]
    if math.prod(shape) > _MOST_ELEMENTS:
        return None
    rng, dtype = np.random.default_rng(seed), helper.tensor_dtype_to_np_dtype(held.elem_type)
    floating = np.issubdtype(dtype, np.floating)
    return (rng.random(shape) if floating else rng.integers(0, 2, shape)).astype(dtype)


def _type(made: tuple[NDArray[Any], ...], free: list[str]) -> TypeProto:
    """The type of arrays from one or two calls; a dimension that follows a free one by name has that name."""
    first, last = made[0], made[-1]
    dims: list[int | str | None] = []
    for axis, size in enumerate(first.shape if first.ndim == last.ndim else ()):
        other = last.shape[axis]
        place = size - 2
        follows = size != other and 0 <= place < len(free) and other - size == len(free) + 1
        dims.append(size if size == other else (free[place] or None) if follows else None)
    kind = helper.np_dtype_to_tensor_dtype(first.dtype)
    shape = dims if first.ndim == last.ndim else None
    return helper.make_tensor_type_proto(kind, shape)
