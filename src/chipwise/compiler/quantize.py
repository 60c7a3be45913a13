"""Static int8 quantization by ONNX Runtime's own quantizer: a QDQ graph that every runtime reads.

Activations are unsigned and asymmetric unless asked otherwise, weights signed; weights keep 7 bits where the processor
has no VNNI, whose predecessor saturates 16-bit sums (onnxruntime.quantization.quantize_static, "Choosing parameters for
CPU inference"). Calibration is done once; graphs that differ in what stays in float share it.
"""

from __future__ import annotations

import tempfile
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import create_calibrator
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

from chipwise.compiler.blocks import nodes_of
from chipwise.compiler.opset import feeds, quantizable
from chipwise.compiler.refusals import refusing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from chipwise.compiler.opset import Samples
    from chipwise.core.device import Machine

NAME = "onnxruntime"
_LIBRARY = "ONNX Runtime's quantizer"
# Int8 in name only: no runtime here has kernels for these, so they would round and gain nothing.
_FLOAT_OPS = {"LayerNormalization", "InstanceNormalization", "BatchNormalization", "TopK", "CumSum"}
_OPS = tuple(sorted({*QDQRegistry, *QLinearOpsRegistry} - _FLOAT_OPS))
_METHODS = {
    "minmax": (CalibrationMethod.MinMax, {}),
    "percentile": (CalibrationMethod.Percentile, {"symmetric": False, "percentile": 99.99}),
}
_CALLS_HELD = 8  # whose activations a histogram takes in at once: all of them held for 300 calls may fill the memory


def prepare(
    model: bytes,
    samples: Samples,
    machine: Machine,
    *,
    signed: bool = False,
    per_channel: bool = True,
    calibration: str = "minmax",
) -> Callable[[Collection[str]], bytes]:
    """Calibrate once, to quantize as often as wanted.

    Args:
        model: serialized float ONNX graph.
        samples: [C, B, ...] calibration inputs, one row a call; a tuple of such arrays for several inputs.
        machine: whose instruction set decides the range of the weights.
        signed: activations as symmetric int8, not as uint8 with a zero point.
        per_channel: one scale for each output channel of a weight.
        calibration: how ranges are found: "minmax", or "percentile", which cuts off 1 value in 10,000.

    Returns:
        a function from names of layers (or other nodes) that stay in float to the quantized graph.

    Raises:
        RuntimeUnavailableError: when the quantizer cannot handle this graph; also by the function that is returned.
    """
    proto = quantizable(model)
    with refusing(_LIBRARY):
        ranges = _ranges(proto, feeds(proto, samples), calibration)
    vnni = any("vnni" in flag for flag in machine.isa) or machine.architecture == "aarch64"

    def quantized(keep: Collection[str]) -> bytes:
        copy = onnx.ModelProto()
        copy.CopyFrom(proto)
        float_nodes = list(nodes_of(proto, keep))
        with refusing(_LIBRARY):
            quantizer = QDQQuantizer(
                copy,
                per_channel,
                not vnni,
                QuantType.QInt8,
                QuantType.QInt8 if signed else QuantType.QUInt8,
                ranges,
                [],
                float_nodes,
                _OPS,
                {"ActivationSymmetric": signed},
            )
            quantizer.quantize_model()
            quantizer.model.topological_sort()  # it appends its nodes, and the file must be valid ONNX
            made = quantizer.model.model
        _float_outputs(made)
        _float_norms(made)
        return bytes(made.SerializeToString(deterministic=True))

    return quantized


def quantize(model: bytes, samples: Samples, machine: Machine, keep: Collection[str] = (), **settings: Any) -> bytes:
    """Quantize a float graph; see `prepare` for arguments and errors."""
    return prepare(model, samples, machine, **settings)(keep)


def _ranges(proto: onnx.ModelProto, calls: Iterator[dict[str, NDArray[np.generic]]], method: str) -> Any:
    """The range of every float value over all calls."""
    kind, options = _METHODS[method]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "model.onnx"
        onnx.save_model(proto, source)
        calibrator = create_calibrator(
            source, _OPS, str(Path(folder) / "augmented.onnx"), calibrate_method=kind, extra_options=options
        )
        while some := list(islice(calls, _CALLS_HELD)):
            calibrator.collect_data(_Reader(some))
        return calibrator.compute_data()


class _Reader:
    """Feeds calibration inputs one by one, as the calibrator asks for them."""

    def __init__(self, calls: list[dict[str, NDArray[np.generic]]]) -> None:
        self._calls = iter(calls)

    def get_next(self) -> dict[str, NDArray[np.generic]] | None:
        return next(self._calls, None)


def _float_norms(proto: onnx.ModelProto) -> None:
    """Do not round what a batch-norm reads: it is computed in float whatever it is given.

    OpenVINO 2026.4 ends in a segmentation fault where a batch-norm reads a rounded concatenation, as in DenseNets.
    """
    graph = proto.graph
    makers = {output: node for node in graph.node for output in node.output}
    for node in graph.node:
        back = makers.get(node.input[0]) if node.op_type == "BatchNormalization" else None
        there = makers.get(back.input[0]) if back is not None and back.op_type == "DequantizeLinear" else None
        if there is not None and there.op_type == "QuantizeLinear":
            node.input[0] = there.input[0]
    for kind in ("DequantizeLinear", "QuantizeLinear"):
        read = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
        for node in [each for each in graph.node if each.op_type == kind and each.output[0] not in read]:
            graph.node.remove(node)


def _float_outputs(proto: onnx.ModelProto) -> None:
    """Do not round what the network answers: two classes whose scores round to the same number would tie.

    Only where the runtimes' int8 kernels may answer in float: products of matrices and what is no layer, but no
    convolution, which ONNX Runtime would then run in float.
    """
    graph = proto.graph
    makers = {output: node for node in graph.node for output in node.output}
    for output in graph.output:
        back = makers.get(output.name)
        there = makers.get(back.input[0]) if back is not None and back.op_type == "DequantizeLinear" else None
        if back is None or there is None or there.op_type != "QuantizeLinear":
            continue
        maker = makers.get(there.input[0])
        readers = [node for node in graph.node if {*there.output, *back.output, *there.input[:1]} & {*node.input}]
        if maker is None or maker.op_type in ("Conv", "ConvTranspose") or len(readers) != 2:
            continue
        maker.output[list(maker.output).index(there.input[0])] = output.name
        graph.node.remove(there)
        graph.node.remove(back)
