"""The quantizers by name, and which of them are worth trying for a network on a machine, in what order.

>>> QUANTIZERS["onnxruntime"].precision
'int8'
>>> QUANTIZERS["weights-int4"].needs_data
False
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import onnx

from chipwise.compiler.blocks import LAYER_OPS
from chipwise.core.errors import RuntimeUnavailableError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from chipwise.compiler.opset import Samples
    from chipwise.core.device import Machine

_MATRIX_HEAVY = 1_000_000  # values in matrices: 4 MB, which is about when they no longer stay in a core's own cache


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way to quantize.

    Attributes:
        module: of the quantizer, with `prepare`.
        settings: its keyword arguments.
        precision: of the weights: "int8" or "int4".
        needs_data: True when it must be calibrated.
        library: that must be installed besides chipwise's own; empty for none.
        runtimes: that run its graphs fast; empty for all.
    """

    module: str
    settings: dict[str, Any] = field(default_factory=dict)
    precision: Literal["int8", "int4"] = "int8"
    needs_data: bool = True
    library: str = ""
    runtimes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Weights:
    """How many values the constant weights of a graph have.

    Attributes:
        convolutions: in convolutions.
        matrices: in products of matrices.
        layers: how many convolutions and products have constant float weights.
    """

    convolutions: int
    matrices: int
    layers: int


_ORT, _NNCF = "chipwise.compiler.quantize", "chipwise.compiler.quantize_nncf"
_WEIGHTS = "chipwise.compiler.quantize_weights"
QUANTIZERS: dict[str, Recipe] = {
    "onnxruntime": Recipe(_ORT),
    "onnxruntime-s8s8": Recipe(_ORT, {"signed": True}),
    "onnxruntime-per-tensor": Recipe(_ORT, {"per_channel": False}),
    "onnxruntime-percentile": Recipe(_ORT, {"calibration": "percentile"}),
    "nncf": Recipe(_NNCF, library="nncf"),
    "nncf-accurate": Recipe(_NNCF, {"asymmetric": True, "accurate": True}, library="nncf"),
    "weights-int8": Recipe(_WEIGHTS, {"bits": 8, "block": 128}, needs_data=False),
    "weights-int4": Recipe(_WEIGHTS, {"bits": 4, "block": 32}, "int4", needs_data=False),
}


def weights_of(model: bytes) -> Weights:
    """Count the constant weights of a serialized graph that are float, or made so by DequantizeLinear."""
    graph = onnx.load_model_from_string(model).graph
    shapes = {t.name: int(np.prod(t.dims)) for t in graph.initializer}
    sizes = {t.name: shapes[t.name] for t in graph.initializer if t.data_type == onnx.TensorProto.FLOAT}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in shapes:
            sizes[node.output[0]] = shapes[node.input[0]]
    found = {
        op: [sizes[node.input[1]] for node in graph.node if node.op_type == op and node.input[1] in sizes]
        for op in LAYER_OPS
    }
    convolutions = found["Conv"] + found["ConvTranspose"]
    matrices = found["Gemm"] + found["MatMul"]
    return Weights(sum(convolutions), sum(matrices), len(convolutions) + len(matrices))


def usable(machine: Machine, has_data: bool, weights: Weights) -> tuple[str, ...]:
    """Names of the recipes that can be used and may pay, those that most often win first.

    Unsigned activations where the processor is x86: its byte products take one unsigned and one signed factor. Signed
    ones first on ARM, last elsewhere (seen here: 2 to 4 times slower). One scale for a whole tensor gains next to no
    time and may lose accuracy. Weights alone where most weights are matrices too large for a core's cache.

    Args:
        machine: where the network will run.
        has_data: whether there are calibration inputs.
        weights: of the network.
    """
    if not weights.layers:
        return ()
    order = ["onnxruntime", "nncf", "onnxruntime-percentile", "nncf-accurate", "onnxruntime-per-tensor"]
    if machine.architecture in ("aarch64", "arm64"):
        order.insert(0, "onnxruntime-s8s8")
    elif not any("vnni" in flag for flag in machine.isa):
        order.append("onnxruntime-s8s8")
    if weights.matrices >= max(_MATRIX_HEAVY, weights.convolutions):
        order = ["weights-int8", "weights-int4", *order]
    return tuple(
        name
        for name in order
        if (has_data or not QUANTIZERS[name].needs_data)
        and (not QUANTIZERS[name].library or importlib.util.find_spec(QUANTIZERS[name].library) is not None)
    )


def prepare(name: str, model: bytes, samples: Samples | None, machine: Machine) -> Callable[[Collection[str]], bytes]:
    """Calibrate where the recipe can do so once, to quantize as often as wanted.

    Args:
        name: of a recipe.
        model: serialized float ONNX graph.
        samples: [C, B, ...] calibration inputs, one row a call; a tuple of such arrays for several inputs.
        machine: where the network will run.

    Returns:
        a function from names of layers (or other nodes) that stay in float to the quantized graph, serialized.

    Raises:
        UnknownNameError: no such recipe; by the function, no such layer.
        RuntimeUnavailableError: the recipe needs data and there is none, or its library refuses this graph.
    """
    if name not in QUANTIZERS:
        raise unknown_name("quantizer", name, QUANTIZERS)
    recipe = QUANTIZERS[name]
    if recipe.needs_data and samples is None:
        raise RuntimeUnavailableError(f"{name} needs calibration inputs", hint="give --data")
    module = importlib.import_module(recipe.module)
    made: Callable[[Collection[str]], bytes] = module.prepare(model, samples, machine, **recipe.settings)
    return made


def quantize(name: str, model: bytes, samples: Samples | None, machine: Machine, keep: Collection[str] = ()) -> bytes:
    """Quantize a float graph, but for the layers in `keep`; see `prepare`."""
    return prepare(name, model, samples, machine)(keep)
