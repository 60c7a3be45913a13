"""ONNX Runtime's CUDA provider: the engine of `chipwise.runtimes.onnxruntime` on the first graphics processor.

Inputs and outputs are the host's arrays, copied each call. fp32 is fp32: the provider's own default multiplies in TF32.
What the provider cannot do runs on the processor, as ONNX Runtime arranges it; that it did not fall back to the
processor altogether, which it does with no more than a line in its log, is checked.

>>> from chipwise.runtimes.onnxruntime_cuda import NAME, obstacle
>>> NAME, obstacle() == "" or "CUDA" in obstacle()
('onnxruntime-cuda', True)
"""

from __future__ import annotations

from typing import Any

import onnxruntime as ort

from chipwise.core.device import Machine
from chipwise.runtimes import onnxruntime
from chipwise.runtimes.engine import EngineOptions, refusal
from chipwise.runtimes.formats import own_format
from chipwise.runtimes.lanes import lane_count
from chipwise.runtimes.onnxruntime import OnnxRuntimeDefault, OnnxRuntimeEngine, optimizing, plain_settings, version

__all__ = [
    "NAME",
    "NEEDS",
    "ORACLE",
    "WAYS",
    "build",
    "build_default",
    "node_times",
    "obstacle",
    "precisions",
    "version",
]

NAME = "onnxruntime-cuda"
NEEDS: tuple[str, ...] = ()
ORACLE = False
WAYS: dict[str, Any] = {}
node_times = None  # the profiler's kernel times on a graphics processor are those of the launches

_PROVIDER = "CUDAExecutionProvider"
_FP32 = (_PROVIDER, {"use_tf32": "0"})


def obstacle() -> str:
    """Say what is missing: the provider in the installed package; empty when it is there."""
    there = ort.get_available_providers()
    if _PROVIDER in there:
        return ""
    return (
        f"the installed onnxruntime {version()} has no {_PROVIDER} (it has {', '.join(there)}): "
        "replace the package onnxruntime by onnxruntime-gpu, on a machine with an NVIDIA driver"
    )


def precisions(machine: Machine) -> tuple[str, ...]:  # noqa: ARG001 (the same verbs in every adapter)
    """Only "fp32": a session computes in the formats of its graph."""
    return ("fp32",)


def build(model: bytes, options: EngineOptions) -> OnnxRuntimeEngine:
    """Build a session as `chipwise.runtimes.onnxruntime.build` does, on the graphics processor.

    Raises:
        NetworkError: the bytes are no ONNX graph.
        RuntimeUnavailableError: no such provider, no graphics processor, or the vendor's reason.
    """
    if options.precision not in ("fp32", "int8"):
        raise refusal(NAME, ValueError(f"it runs a graph's own formats only, not {options.precision}"))
    own = own_format(model)
    session = _session(model, optimizing(options), _FP32)
    return OnnxRuntimeEngine(session, own, lane_count(options.streams, options.threads), NAME)


def build_default(model: bytes) -> OnnxRuntimeDefault:
    """Build `InferenceSession(model, providers=["CUDAExecutionProvider", "CPUExecutionProvider"])`.

    Raises:
        NetworkError, RuntimeUnavailableError: as `build`.
    """
    own = own_format(model)
    return OnnxRuntimeDefault(_session(model, plain_settings(), _PROVIDER), own)


def _session(model: bytes, settings: ort.SessionOptions, provider: object) -> ort.InferenceSession:
    reason = obstacle()
    if reason:
        raise refusal(NAME, RuntimeError(reason))
    made = onnxruntime.session(model, settings, [provider, "CPUExecutionProvider"], NAME)
    if _PROVIDER not in made.get_providers():
        raise refusal(NAME, RuntimeError(f"{_PROVIDER} did not start: its CUDA libraries or the device are missing"))
    return made
