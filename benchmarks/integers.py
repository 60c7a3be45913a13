"""Whether a pass leaves a network's answers as they are to the last bit, in integers on the reference evaluator.

Rounding hides what a pass does wrong by little. Weights of -1, 0 and 1, few of them for each output, keep all sums of a
deep network below 2^53, where float64 is exact: equal means equal. What was zero stays zero.

>>> text = '<ir_version: 8, opset_import: ["": 17]> g (float[1, 2] x) => (float[1, 2] y) { y = MatMul(x, w) }'
>>> model = onnx.parser.parse_model(text)
>>> model.graph.initializer.append(numpy_helper.from_array(np.ones((2, 2), np.float32), "w"))
>>> equal_after(model.SerializeToString(), "drop_noops")
True
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from chipwise import runtimes
from chipwise.compiler.graphs import serialized
from chipwise.optimize.pipeline import PASSES, name_of, optimize
from chipwise.runtimes.engine import EngineOptions

_TAPS = 3  # weights that are not zero, for each output of a layer
_LAYERS = ("Conv", "Gemm", "MatMul")


def equal_after(model: bytes, each: str, step: int = 1) -> bool:
    """True when a network drawn with integers answers the same after a pass, bit for bit.

    Args:
        model: serialized; its weights say which are zero.
        each: name of a pass that `PASSES` has.
        step: widths that are left where channels are removed.

    Raises:
        ValueError: the pass does nothing to it, or the answers say nothing: they are alike for all inputs.
    """
    before = integers(onnx.load_model_from_string(model))
    others = [name_of(other) for other in PASSES if name_of(other) not in (each, "drop_unused")]
    after, said = optimize(ir.serde.deserialize_model(before), without=others, step=step)
    if not said:
        raise ValueError(f"{each} finds nothing to do")
    build, options = runtimes.load("reference").build, EngineOptions()
    engines = [build(graph, options) for graph in (before.SerializeToString(), serialized(after))]
    rng, specs = np.random.default_rng(0), engines[0].inputs
    one, other = ([rng.integers(-3, 4, spec.concrete()).astype(np.float64) for spec in specs] for _ in range(2))
    expected = engines[0].run(one)
    if all(map(np.array_equal, expected, engines[0].run(other))):
        raise ValueError("this network answers the same to all inputs")
    return all(map(np.array_equal, engines[1].run(one), expected))


def integers(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same network in float64 with weights that are small integers, zero where they were zero.

    Pictures of 224 become 256, so that means are of 8x8 places and not of 7x7, and slopes a half: both are exact.
    """
    rng, drawn = np.random.default_rng(0), onnx.ModelProto()
    drawn.CopyFrom(model)
    layers: dict[str, None] = {}
    norms: dict[str, None] = {}
    for node in drawn.graph.node:
        if node.op_type in _LAYERS:
            layers |= dict.fromkeys(node.input[1:2])
        elif node.op_type == "BatchNormalization":
            norms |= dict.fromkeys((node.input[1], node.input[4]))
            del node.attribute[:]
            node.attribute.append(onnx.helper.make_attribute("epsilon", 0.0))
        elif node.op_type == "LeakyRelu":
            del node.attribute[:]
            node.attribute.append(onnx.helper.make_attribute("alpha", 0.5))
    for tensor in drawn.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32:
            whole = few(array, rng) if tensor.name in layers else np.ones_like(array)
            if tensor.name not in layers and tensor.name not in norms:
                whole = np.round(array) if array.ndim == 0 else np.sign(array)
            tensor.CopyFrom(numpy_helper.from_array(whole.astype(np.float64), tensor.name))
    del drawn.graph.value_info[:]
    for value in (*drawn.graph.input, *drawn.graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.DOUBLE
        for side in value.type.tensor_type.shape.dim[2:]:
            side.dim_value += 32 * (side.dim_value == 224)  # what networks for ImageNet take
    return onnx.shape_inference.infer_shapes(drawn)


def few(array: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Weights of -1 and 1 at a few places of each output that had a weight there."""
    rows = np.zeros_like(array).reshape(len(array), -1)
    for row, old in zip(rows, array.reshape(len(array), -1), strict=True):
        places = np.flatnonzero(old)
        if len(places):
            row[rng.choice(places, min(_TAPS, len(places)), replace=False)] = rng.choice(
                [-1.0, 1.0], min(_TAPS, len(places))
            )
    return rows.reshape(array.shape)
