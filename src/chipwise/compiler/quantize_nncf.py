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
from chipwise.compiler.quiet import quiet
from chipwise.core.errors import RuntimeUnavailableError, first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from chipwise.compiler.opset import Samples
    from chipwise.core.device import Machine

NAME = "nncf"
_REFUSALS = (ValueError, RuntimeError, KeyError, AttributeError, TypeError, IndexError, nncf.ValidationError)


def prepare(
    model: bytes, samples: Samples, machine: Machine, *, signed: bool = False, accurate: bool = False
) -> Callable[[Collection[str]], bytes]:
    """Make ready to quantize; NNCF calibrates anew each time.

    Args:
        model: serialized float ONNX graph.
        samples: [C, B, ...] calibration inputs, one row a call; a tuple of such arrays for several inputs.
        machine: whose instruction set decides the range of the weights.
        signed: symmetric activations (NNCF's preset "performance"), not asymmetric ones ("mixed").
        accurate: correct biases layer by layer from what really arrives there, which takes several times as long.

    Returns:
        a function from names of layers (or other nodes) that stay in float to the quantized graph.

    Raises:
        RuntimeUnavailableError: when NNCF cannot handle this graph; also by the function that is returned.
    """
    proto = quantizable(model)
    rows = list(feeds(proto, samples))
    vnni = any("vnni" in flag for flag in machine.isa) or machine.architecture == "aarch64"
    preset = nncf.QuantizationPreset.PERFORMANCE if signed else nncf.QuantizationPreset.MIXED

    def quantized(keep: Collection[str]) -> bytes:
        copy = onnx.ModelProto()
        copy.CopyFrom(proto)
        overflow = nncf.OverflowFix.DISABLE if vnni else nncf.OverflowFix.ENABLE
        try:
            with quiet():
                made = nncf.quantize(
                    copy,
                    nncf.Dataset(rows),
                    subset_size=len(rows),
                    preset=preset,
                    target_device=nncf.TargetDevice.CPU,
                    fast_bias_correction=not accurate,
                    ignored_scope=nncf.IgnoredScope(names=list(nodes_of(proto, keep)), validate=False),
                    advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=overflow),
                )
        except _REFUSALS as error:
            raise RuntimeUnavailableError(f"NNCF refuses this graph: {first_line(error)}") from error
        return bytes(made.SerializeToString(deterministic=True))

    return quantized


def quantize(
    model: bytes, samples: Samples, machine: Machine, keep: Collection[str] = (), **settings: Any
) -> bytes:
    """Quantize a float graph; see `prepare` for arguments and errors."""
    return prepare(model, samples, machine, **settings)(keep)
