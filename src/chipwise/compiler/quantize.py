"""Static int8 quantization by ONNX Runtime's own quantizer: a QDQ graph that every runtime reads.

Activations are unsigned and asymmetric, weights signed; weights keep 7 bits where the processor has no VNNI, whose
predecessor saturates 16-bit sums (onnxruntime.quantization.quantize_static, "Choosing parameters for CPU inference").
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from chipwise.compiler.opset import input_name, quantizable
from chipwise.compiler.quiet import quiet
from chipwise.core.errors import RuntimeUnavailableError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from chipwise.core.device import Machine

NAME = "onnxruntime"


def quantize(model: bytes, samples: NDArray[np.generic], machine: Machine) -> bytes:
    """Quantize a float graph with one input.

    Args:
        model: serialized float ONNX graph.
        samples: [C, B, ...] calibration inputs, one row a call.
        machine: whose instruction set decides the range of the weights.

    Raises:
        RuntimeUnavailableError: when the quantizer cannot handle this graph.
    """
    vnni = any("vnni" in flag for flag in machine.isa) or machine.architecture == "aarch64"
    proto = quantizable(model)
    with tempfile.TemporaryDirectory() as folder, quiet():
        quantized = Path(folder) / "quantized.onnx"
        try:
            quantize_static(
                proto,
                str(quantized),
                _Samples(input_name(proto), samples),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                reduce_range=not vnni,
            )
        except (ValueError, RuntimeError, KeyError, AttributeError, TypeError, IndexError) as error:
            raise RuntimeUnavailableError(f"ONNX Runtime's quantizer refuses this graph: {error}") from error
        return quantized.read_bytes()


class _Samples(CalibrationDataReader):  # type: ignore[misc]
    """Feeds the calibration inputs one by one, as the quantizer asks for them."""

    def __init__(self, name: str, samples: NDArray[np.generic]) -> None:
        self._name = name
        self._rows = iter(samples)

    def get_next(self) -> dict[str, NDArray[np.generic]] | None:
        row = next(self._rows, None)
        return None if row is None else {self._name: row}
