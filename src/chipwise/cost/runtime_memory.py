"""Resident memory of a process that loads a network and runs it with ONNX Runtime or OpenVINO on a CPU.

The forms were found by measuring (benchmarks/peak_memory.py; ONNX Runtime 1.31 and OpenVINO 2026.4, Linux, glibc); the
factors are fitted on networks whose families benchmarks/published/split.py does not hold out. They explain:

- Both keep the graph's weights, and packed copies of those of products; OpenVINO also those that it folds a batch
  normalization into, and code that it compiles for every layer.
- What ONNX Runtime frees while it rewrites weights stays with the process: glibc returns neither holes nor up to twice
  its largest freed block, so the largest convolution counts several times. Blocks beyond 32 MiB are given back.
- ONNX Runtime's first call takes activations one by one from its arena; later calls take one planned block, while the
  arena keeps the first ones. OpenVINO plans once.

>>> from chipwise.core.estimate import Workload
>>> from chipwise.core.layer import Layer
>>> row = Layer("fc", "Gemm", ((1, 1000),), ((1, 1000),), 1_000_000, write_bytes=4000)
>>> of_runtime([row], Workload(runtime="openvino")).weights
4000000
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from chipwise.core.estimate import MemoryUse, Workload
from chipwise.core.formats import ROW_BYTES, value_bytes
from chipwise.core.layer import Layer
from chipwise.cost.liveness import input_bytes, most_alive, output_bytes, packed, planned

RUNTIMES = ("onnxruntime", "openvino")
# Relative half-width around the middle that held four of five held-out measurements of whole processes.
SPREAD = 0.12
_MB = 10**6
# Python 3.11 with NumPy takes 26 MB; importing ONNX Runtime 20 more and its first session 11, OpenVINO 31 and 46.
_CONTEXT = {"onnxruntime": (26 + 20 + 11) * _MB, "openvino": (26 + 31 + 46) * _MB}
# ONNX Runtime: what stays of rewriting weights, per byte of convolutions' weights, of the largest of them, and of other
# products'; and the share of the largest other product's that is there twice for a moment.
_ORT_CONVOLUTION, _ORT_LARGEST, _ORT_PRODUCT, _ORT_MOMENT = 1.22, 4.29, 1.12, 0.86
_MMAP_MOST = 32 * 2**20  # DEFAULT_MMAP_THRESHOLD_MAX of glibc's malloc on 64-bit systems
# OpenVINO: copies per byte of products' weights and of those with a folded normalization, and bytes a layer.
_OV_PRODUCT, _OV_FOLDED, _OV_LAYER = 1.03, 0.91, 111_000
_CONVOLUTIONS = frozenset(("Conv", "ConvTranspose"))
_PRODUCTS = frozenset(("Gemm", "MatMul"))


@dataclass(frozen=True, slots=True)
class _Weights:
    """Float32 bytes of the weights of each kind of layer."""

    all: int
    convolutions: tuple[int, ...]
    products: tuple[int, ...]
    folded: int


def of_runtime(layers: Sequence[Layer], workload: Workload) -> MemoryUse:
    """Bytes of each part at the peak of the process, loading included.

    Args:
        layers: rows of inference for `workload.batch` items.
        workload: `runtime` is one of RUNTIMES; the precision scales what is not the file's own weights.

    Returns:
        copies: packed and rewritten weights, with the freed memory that the process keeps. workspace: compiled code
        (OpenVINO), the arena's second block (ONNX Runtime).
    """
    scale = value_bytes(workload.precision) / ROW_BYTES
    made = _onnxruntime if workload.runtime == "onnxruntime" else _openvino
    return made(layers, _weights(layers), scale)


def _onnxruntime(layers: Sequence[Layer], weights: _Weights, scale: float) -> MemoryUse:
    block = scale * packed(layers)
    used = 2 * block + scale * input_bytes(layers)
    largest = max(weights.convolutions, default=0)
    small = sum(size for size in weights.products if size <= _MMAP_MOST)
    moment = _ORT_MOMENT * max((size for size in weights.products if size > _MMAP_MOST), default=0)
    kept = _ORT_CONVOLUTION * sum(weights.convolutions) + _ORT_LARGEST * largest + _ORT_PRODUCT * small
    # Activations smaller than the largest freed block lie in what was freed.
    buffers = max((buffer.size for buffer in planned(layers, fused=True)), default=0)
    reused = min(used, 2 * largest, kept) if buffers < largest else 0.0
    copies = max(kept - reused, kept + moment - used, 0.0)
    return MemoryUse(
        weights=math.ceil(scale * weights.all),
        activations=math.ceil(used - block),
        copies=math.ceil(scale * copies),
        workspace=math.ceil(block),
        context=_CONTEXT["onnxruntime"],
    )


def _openvino(layers: Sequence[Layer], weights: _Weights, scale: float) -> MemoryUse:
    packed_bytes = scale * _OV_PRODUCT * (sum(weights.convolutions) + sum(weights.products))
    alive = most_alive(layers, fused=True) + input_bytes(layers) + output_bytes(layers)
    return MemoryUse(
        weights=weights.all,  # the graph stays as the file has it, whatever the precision
        activations=math.ceil(scale * alive),
        copies=math.ceil(packed_bytes + _OV_FOLDED * weights.folded),
        workspace=_OV_LAYER * len(layers),
        context=_CONTEXT["openvino"],
    )


def _weights(layers: Sequence[Layer]) -> _Weights:
    made = {layer.name: layer for layer in layers}
    before = (made.get(layer.after[0]) for layer in layers if layer.op == "BatchNormalization" and layer.after)
    return _Weights(
        all=ROW_BYTES * sum(layer.parameters for layer in layers),
        convolutions=tuple(ROW_BYTES * layer.parameters for layer in layers if layer.op in _CONVOLUTIONS),
        products=tuple(ROW_BYTES * layer.parameters for layer in layers if layer.op in _PRODUCTS),
        folded=ROW_BYTES * sum(layer.parameters for layer in before if layer and layer.op in _CONVOLUTIONS),
    )
