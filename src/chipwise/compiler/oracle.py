"""What the source network computes, from a slow implementation that nobody tunes.

onnx's reference evaluator is the oracle. Where it lacks an operator, reads an old one by newer rules, multiplies in
half precision, or the network is so large that plain NumPy would take minutes, ONNX Runtime's default stands in: the
second independent implementation on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from chipwise import runtimes
from chipwise.compiler.parts import build_default
from chipwise.core.errors import RuntimeUnavailableError
from chipwise.runtimes.engine import EngineOptions
from chipwise.runtimes.formats import own_format

Arrays = Sequence[NDArray[np.generic]]
_REFERENCE_MAX_FLOPS = 2_000_000_000
_HALF = ("fp16", "bf16")
# Seen in onnx 1.23: softmax once flattened what follows its axis, which the evaluator does for no version; its
# batch-norm before version 14 normalizes by the batch instead of by the stored mean and variance.
_RULES_SINCE = {"Softmax": 13, "LogSoftmax": 13, "Hardmax": 13, "BatchNormalization": 14}


def reference_outputs(model: bytes, inputs: Arrays, flops: int) -> list[NDArray[np.generic]]:
    """Compute the source graph's outputs.

    Args:
        model: serialized source graph.
        inputs: one array per input.
        flops: work of the network for these inputs, to choose the oracle.

    Raises:
        RuntimeUnavailableError: when neither oracle can run the graph.
    """
    if flops <= _REFERENCE_MAX_FLOPS and own_format(model) not in _HALF and not _misread(model):
        try:
            return runtimes.load("reference").build(model, EngineOptions()).run(inputs)
        except RuntimeUnavailableError:
            pass  # an operator that onnx has no reference for, such as a vendor's
    return build_default("onnxruntime", model).run(inputs)


def _misread(model: bytes) -> bool:
    """True when the graph has an operator that onnx's evaluator computes as a later operator set defines it."""
    proto = onnx.load_model_from_string(model)
    version = next((opset.version for opset in proto.opset_import if opset.domain in ("", "ai.onnx")), 1)
    return any(version < _RULES_SINCE.get(node.op_type, 0) for node in proto.graph.node)


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
