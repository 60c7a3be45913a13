"""What the source network computes, from a slow implementation that nobody tunes.

onnx's reference evaluator is the oracle. Where it lacks an operator, or the network is so large that plain NumPy would
take minutes, ONNX Runtime's default stands in: the second independent implementation on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from chipwise import runtimes
from chipwise.core.errors import RuntimeUnavailableError
from chipwise.runtimes.engine import EngineOptions

Arrays = Sequence[NDArray[np.generic]]
_REFERENCE_MAX_FLOPS = 2_000_000_000


def reference_outputs(model: bytes, inputs: Arrays, flops: int) -> list[NDArray[np.generic]]:
    """Compute the source graph's outputs.

    Args:
        model: serialized source graph.
        inputs: one array per input.
        flops: work of the network for these inputs, to choose the oracle.

    Raises:
        RuntimeUnavailableError: when neither oracle can run the graph.
    """
    if flops <= _REFERENCE_MAX_FLOPS:
        try:
            return runtimes.load("reference").build(model, EngineOptions()).run(inputs)
        except RuntimeUnavailableError:
            pass  # an operator that onnx has no reference for, such as a vendor's
    return runtimes.load("onnxruntime").build_default(model).run(inputs)


def relative_error(outputs: Arrays, expected: Arrays) -> float:
    """Largest absolute difference over the largest absolute expected value, the worst over all outputs.

    Returns:
        0 for equal outputs; infinity where shapes differ, or a value is not finite where a finite one is expected.
    """
    worst = 0.0
    for got, want in zip(outputs, expected, strict=True):
        if got.shape != want.shape:
            return float("inf")
        if not want.size:
            continue
        a, b = got.astype(np.float64), want.astype(np.float64)
        if not np.array_equal(np.isfinite(a), np.isfinite(b)):
            return float("inf")
        finite = np.isfinite(b)
        scale = float(np.abs(b[finite]).max(initial=0.0)) or 1.0
        worst = max(worst, float(np.abs(a[finite] - b[finite]).max(initial=0.0)) / scale)
    return worst
