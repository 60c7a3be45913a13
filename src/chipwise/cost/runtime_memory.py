"""Resident memory of a process that runs a network with ONNX Runtime or OpenVINO on a CPU.

Found out by measuring (benchmarks/peak_memory.py; ONNX Runtime 1.31, OpenVINO 2026.4, Linux, glibc), on half of the
networks; the rest checks it.

>>> from chipwise.core.estimate import Workload
>>> from chipwise.core.layer import Layer
>>> row = Layer("fc", "Gemm", ((1, 1000),), ((1, 1000),), 1_000_000, write_bytes=4000)
>>> of_runtime([row], Workload(runtime="openvino")).weights
4000000
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from chipwise.core.estimate import MemoryUse, Workload
from chipwise.core.layer import Layer
from chipwise.cost.formats import ROW_BYTES, value_bytes
from chipwise.cost.liveness import input_bytes, most_alive

RUNTIMES = ("onnxruntime", "openvino")
SPREAD = 0.15
_MB = 10**6
_CONTEXT = {"onnxruntime": 58 * _MB, "openvino": 106 * _MB}


def of_runtime(layers: Sequence[Layer], workload: Workload) -> MemoryUse:
    """Bytes of each part at the peak, loading included; `workload.runtime` is one of RUNTIMES."""
    scale = value_bytes(workload.precision) / ROW_BYTES
    weights = ROW_BYTES * sum(layer.parameters for layer in layers)
    packed = ROW_BYTES * sum(layer.parameters for layer in layers if layer.op in ("Conv", "Gemm", "MatMul"))
    alive = most_alive(layers, in_place=True) + input_bytes(layers)
    return MemoryUse(
        weights=math.ceil(scale * weights),
        activations=math.ceil(scale * alive),
        copies=packed,
        context=_CONTEXT[workload.runtime],
    )
