"""Weights of matrix products in 8 or 4 bits, in blocks with a scale each; activations stay float in the graph.

For networks whose time goes into reading matrices: at batch 1 every weight is read once and used once. ONNX Runtime
rounds activations to int8 block by block as it multiplies (accuracy level 4 of com.microsoft.MatMulNBits, which
OpenVINO reads too); without that, its 8-bit kernel is many times slower than float.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from chipwise.compiler.blocks import nodes_of
from chipwise.compiler.opset import quantizable
from chipwise.compiler.refusals import refusing
from chipwise.core.errors import RuntimeUnavailableError

_handler = logging.NullHandler()
logging.root.addHandler(_handler)  # the import calls logging.basicConfig, which spares a root that has a handler
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer  # noqa: E402

logging.root.removeHandler(_handler)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from numpy.typing import NDArray

    from chipwise.compiler.opset import Samples
    from chipwise.core.device import Machine

NAME = "weights"
_LEAST_VALUES = 4096  # a smaller matrix lies in the first cache whatever its format
_INT8_ACTIVATIONS = 4  # accuracy level of MatMulNBits


def prepare(
    model: bytes,
    samples: Samples | None,  # noqa: ARG001
    machine: Machine,  # noqa: ARG001
    *,
    bits: int = 8,
    block: int = 128,
) -> Callable[[Collection[str]], bytes]:
    """Make ready to quantize.

    Args:
        model: serialized float ONNX graph.
        samples: not needed here.
        machine: not needed here.
        bits: of a weight, 8 or 4.
        block: how many weights of a column share a scale.

    Returns:
        a function from names of layers that stay in float to the graph with quantized weights.

    Raises:
        RuntimeUnavailableError: when onnx cannot convert the graph; by the function, when no matrix is left.
    """
    proto = quantizable(model)

    def quantized(keep: Collection[str]) -> bytes:
        copy = onnx.ModelProto()
        copy.CopyFrom(proto)
        chosen = _as_products(copy, set(nodes_of(proto, keep)))
        if not chosen:
            raise RuntimeUnavailableError(f"no product with {_LEAST_VALUES} weights or more is left to quantize")
        others = [node.name for node in copy.graph.node if node.name not in chosen]
        with refusing("ONNX Runtime's quantizer of weights"):
            quantizer = MatMulNBitsQuantizer(
                copy,
                bits=bits,
                block_size=block,
                is_symmetric=True,
                accuracy_level=_INT8_ACTIVATIONS,
                nodes_to_exclude=others,
            )
            quantizer.process()
            made = quantizer.model.model
        return bytes(made.SerializeToString(deterministic=True))

    return quantized


def quantize(
    model: bytes, samples: Samples | None, machine: Machine, keep: Collection[str] = (), **settings: Any
) -> bytes:
    """Quantize the weights of a float graph; see `prepare` for arguments and errors."""
    return prepare(model, samples, machine, **settings)(keep)


def _as_products(proto: onnx.ModelProto, keep: Collection[str]) -> set[str]:
    """Write Gemms as MatMul and Add and give each matrix to be quantized a name of its own; names of its products."""
    graph = proto.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    given = {value.name for value in graph.input}
    chosen: set[str] = set()
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        tensor = None
        if node.name not in keep and len(node.input) > 1 and node.input[1] not in given:
            tensor = weights.get(node.input[1])
        matrix = None if tensor is None else _matrix(node, tensor)
        if matrix is None:
            nodes.append(node)
            continue
        name = f"{node.name}_matrix"
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(matrix), name))
        bias = node.input[2] if node.op_type == "Gemm" and len(node.input) > 2 else ""
        product = f"{node.output[0]}_product" if bias else node.output[0]
        nodes.append(helper.make_node("MatMul", [node.input[0], name], [product], node.name))
        if bias:
            nodes.append(helper.make_node("Add", [product, bias], list(node.output), f"{node.name}_bias"))
        chosen.add(node.name)
    del graph.node[:]
    graph.node.extend(nodes)
    return chosen


def _matrix(node: onnx.NodeProto, tensor: onnx.TensorProto) -> NDArray[np.float32] | None:
    """The [K, N] float32 matrix that a node multiplies by; None where it is none, or too small."""
    if tensor.data_type != onnx.TensorProto.FLOAT or len(tensor.dims) != 2:
        return None
    if np.prod(tensor.dims) < _LEAST_VALUES or node.op_type not in ("MatMul", "Gemm"):
        return None
    found = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    if found.get("transA") or found.get("alpha", 1.0) != 1.0 or found.get("beta", 1.0) != 1.0:
        return None
    array = numpy_helper.to_array(tensor)
    return array.T if found.get("transB") else array
