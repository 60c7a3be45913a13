"""Static int8 quantization by NNCF on the ONNX graph: per-channel weights and bias correction.

NNCF reports usage to its maker unless told otherwise; chipwise sends nothing, so it is told before it is imported.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

os.environ.setdefault("NNCF_CI", "1")  # nncf.definitions.NNCF_CI_ENV_VAR_NAME: a stub instead of telemetry

import nncf
import onnx

from chipwise.compiler.blocks import nodes_of
from chipwise.compiler.opset import feeds, quantizable
from chipwise.compiler.refusals import refusing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from chipwise.compiler.opset import Samples
    from chipwise.core.device import Machine

NAME = "nncf"
# NNCF would give what a depthwise convolution reads a scale for each channel: ONNX Runtime then runs it, and what comes
# before it, in float, at several times the latency.
_PER_TENSOR = nncf.quantization.advanced_parameters.QuantizationParameters(per_channel=False)
_OWN = tuple(kind for kind in vars(nncf.errors).values() if isinstance(kind, type) and issubclass(kind, Exception))


def prepare(
    model: bytes, samples: Samples, machine: Machine, *, asymmetric: bool = False, accurate: bool = False
) -> Callable[[Collection[str]], bytes]:
    """Make ready to quantize; NNCF calibrates anew each time.

    Args:
        model: serialized float ONNX graph.
        samples: [C, B, ...] calibration inputs, one row a call; a tuple of such arrays for several inputs.
        machine: whose instruction set decides the range of the weights.
        asymmetric: activations have a zero point (NNCF's preset "mixed"); otherwise they are symmetric ("performance").
        accurate: correct biases layer by layer from what really arrives there, which takes several times as long.

    Returns:
        a function from names of layers (or other nodes) that stay in float to the quantized graph.

    Raises:
        RuntimeUnavailableError: when NNCF cannot handle this graph; also by the function that is returned.
    """
    proto = quantizable(model)
    rows = list(feeds(proto, samples))
    vnni = any("vnni" in flag for flag in machine.isa) or machine.architecture == "aarch64"
    preset = nncf.QuantizationPreset.MIXED if asymmetric else nncf.QuantizationPreset.PERFORMANCE
    kind = nncf.ModelType.TRANSFORMER if _attends(proto) else None

    def quantized(keep: Collection[str]) -> bytes:
        copy = onnx.ModelProto()
        copy.CopyFrom(proto)
        overflow = nncf.OverflowFix.DISABLE if vnni else nncf.OverflowFix.ENABLE
        float_nodes = nncf.IgnoredScope(names=list(nodes_of(proto, keep)), validate=False)
        with refusing("NNCF", *_OWN):
            made = nncf.quantize(
                copy,
                nncf.Dataset(rows),
                subset_size=len(rows),
                preset=preset,
                target_device=nncf.TargetDevice.CPU,
                fast_bias_correction=not accurate,
                model_type=kind,
                ignored_scope=float_nodes,
                advanced_parameters=nncf.AdvancedQuantizationParameters(
                    overflow_fix=overflow, activations_quantization_params=_PER_TENSOR
                ),
            )
        return bytes(made.SerializeToString(deterministic=True))

    return quantized


def quantize(model: bytes, samples: Samples, machine: Machine, keep: Collection[str] = (), **settings: Any) -> bytes:
    """Quantize a float graph; see `prepare` for arguments and errors."""
    return prepare(model, samples, machine, **settings)(keep)


def _attends(proto: onnx.ModelProto) -> bool:
    """True when what was computed is multiplied with what was computed, as attention does."""
    weights = {tensor.name for tensor in proto.graph.initializer}
    return any(node.op_type == "MatMul" and not weights & {*node.input} for node in proto.graph.node)
