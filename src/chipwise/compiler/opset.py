"""Bring an old graph to an opset in which it can be quantized: per-channel scales came with opset 13."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import onnx
import onnx.version_converter
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from chipwise.compiler.blocks import name_nodes
from chipwise.core.errors import RuntimeUnavailableError, first_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Samples: TypeAlias = NDArray[np.generic] | tuple[NDArray[np.generic], ...]

QUANTIZABLE_OPSET = 17
_ROUNDING = ("QuantizeLinear", "DynamicQuantizeLinear", "QLinear", "ConvInteger", "MatMulInteger")


def quantizable(model: bytes) -> onnx.ModelProto:
    """Read a serialized graph, converted to opset 17 where it is older than 13: nodes have names, values have shapes.

    Raises:
        RuntimeUnavailableError: when onnx has no way from its opset to that one.
    """
    proto = onnx.load_model_from_string(model)
    opset = next((each.version for each in proto.opset_import if each.domain in ("", "ai.onnx")), 1)
    try:
        if opset < 13:
            proto = onnx.version_converter.convert_version(proto, QUANTIZABLE_OPSET)
        _unpack_weights(proto)
        name_nodes(proto)
        return onnx.shape_inference.infer_shapes(proto)
    except (RuntimeError, ValueError) as error:  # the C++ converter's assertions arrive as RuntimeError
        reason = first_line(error)[:120]
        raise RuntimeUnavailableError(f"cannot bring opset {opset} to {QUANTIZABLE_OPSET}: {reason}") from error


def _unpack_weights(proto: onnx.ModelProto) -> None:
    """Make weights that are stored in 8 bits and computed with in float float again: quantizers look for float ones."""
    graph = proto.graph
    constants = {tensor.name: tensor for tensor in graph.initializer} | dict.fromkeys(
        (v.name for v in graph.input), None
    )
    unused: set[str] = set()
    for node in [node for node in graph.node if node.op_type == "DequantizeLinear"]:
        if all(constants.get(name) is not None for name in node.input):
            arrays = {name: numpy_helper.to_array(constants[name]) for name in node.input}
            (array,) = ReferenceEvaluator(node).run(None, arrays)
            graph.initializer.append(numpy_helper.from_array(np.asarray(array), node.output[0]))
            graph.node.remove(node)
            unused |= {*node.input}
    unused -= {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name in unused]:
        graph.initializer.remove(tensor)


def rounds(model: bytes) -> bool:
    """True when a serialized graph computes in integers already: stored weights alone do not count."""
    proto = onnx.load_model_from_string(model)
    return any(node.op_type.startswith(_ROUNDING) for node in proto.graph.node)


def feeds(proto: onnx.ModelProto, samples: Samples) -> Iterator[dict[str, NDArray[np.generic]]]:
    """What one call takes after the other: arrays by the names of the inputs that are no initializers.

    Args:
        proto: the graph.
        samples: [C, B, ...] one row a call, or one such array per input.
    """
    weights = {tensor.name for tensor in proto.graph.initializer}
    names = [value.name for value in proto.graph.input if value.name not in weights]
    arrays = samples if isinstance(samples, tuple) else (samples,)
    for rows in zip(*arrays, strict=True):
        yield dict(zip(names, rows, strict=True))
