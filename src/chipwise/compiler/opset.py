"""Bring an old graph to an opset in which it can be quantized: per-channel scales came with opset 13."""

from __future__ import annotations

import onnx
import onnx.version_converter

from chipwise.core.errors import RuntimeUnavailableError, first_line

QUANTIZABLE_OPSET = 17


def quantizable(model: bytes) -> onnx.ModelProto:
    """Read a serialized graph, converted to opset 17 where it is older than 13, with shapes inferred.

    Raises:
        RuntimeUnavailableError: when onnx has no way from its opset to that one.
    """
    proto = onnx.load_model_from_string(model)
    opset = next((each.version for each in proto.opset_import if each.domain in ("", "ai.onnx")), 1)
    try:
        if opset < 13:
            proto = onnx.version_converter.convert_version(proto, QUANTIZABLE_OPSET)
        return onnx.shape_inference.infer_shapes(proto)
    except (RuntimeError, ValueError) as error:  # the C++ converter's assertions arrive as RuntimeError
        reason = first_line(error)[:120]
        raise RuntimeUnavailableError(f"cannot bring opset {opset} to {QUANTIZABLE_OPSET}: {reason}") from error


def input_name(proto: onnx.ModelProto) -> str:
    """Name of the only input that is no initializer."""
    weights = {tensor.name for tensor in proto.graph.initializer}
    (name,) = (value.name for value in proto.graph.input if value.name not in weights)
    return str(name)
