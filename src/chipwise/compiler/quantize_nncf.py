"""Static int8 quantization by NNCF on the ONNX graph: per-channel weights and bias correction.

NNCF reports usage to its maker unless told otherwise; chipwise sends nothing, so it is told before it is imported.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

os.environ.setdefault("NNCF_CI", "1")  # nncf.definitions.NNCF_CI_ENV_VAR_NAME: a stub instead of telemetry

import nncf

from chipwise.compiler.opset import input_name, quantizable
from chipwise.compiler.quiet import quiet
from chipwise.core.errors import RuntimeUnavailableError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from chipwise.core.device import Machine

NAME = "nncf"


def quantize(model: bytes, samples: NDArray[np.generic], machine: Machine) -> bytes:  # noqa: ARG001
    """Quantize a float graph with one input.

    Args:
        model: serialized float ONNX graph.
        samples: [C, B, ...] calibration inputs, one row a call.
        machine: not needed here; NNCF's CPU scheme is safe with and without VNNI.

    Raises:
        RuntimeUnavailableError: when NNCF cannot handle this graph.
    """
    proto = quantizable(model)
    name = input_name(proto)
    dataset = nncf.Dataset(list(samples), lambda row: {name: row})
    try:
        with quiet():
            quantized = nncf.quantize(proto, dataset, subset_size=len(samples), target_device=nncf.TargetDevice.CPU)
    except (ValueError, RuntimeError, KeyError, AttributeError, TypeError, IndexError, nncf.ValidationError) as error:
        raise RuntimeUnavailableError(f"NNCF refuses this graph: {error}") from error
    return bytes(quantized.SerializeToString())
