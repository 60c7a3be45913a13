"""What torch and the CUDA driver take beside tensors: the context, the allocator's rounding, scratch memory.

>>> from chipwise.core.device import Device
>>> context_bytes(Device("A100", "gpu", vendor="NVIDIA", year=2020)) > context_bytes(Device("example", "tpu"))
True
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from chipwise.core.device import Device
from chipwise.core.formats import ROW_BYTES
from chipwise.core.layer import Layer

_MIB = 2**20
# CUDA context with torch's kernels. Up to CUDA 11.6 all kernels of a library were loaded at once: a GTX 1080 (CUDA
# 10.1) lost 721 MB and an RTX 3090 (CUDA 11.1) 1,687 MB to `torch.Tensor(1).cuda()` (pytorch/pytorch issue 55277,
# 2022-04-12). Since CUDA 11.7 they are loaded as they are used, and about 300 MB remain (issue 107667, 2023-08-28); a
# V100 of AWS with CUDA 10 lost 300 to 400 MB to a first tensor (issue 20532, 2019-05-15). The figure for lazy loading
# is used for all cards: it is what software of today does.
_CUDA_CONTEXT = 300 * 10**6
# Resident set of Python 3.11 with torch 2.13 (CPU build) after a first convolution, measured on Linux.
_PROCESS = 235 * 10**6
# torch's caching allocator (c10/cuda/CUDACachingAllocator.cpp): blocks of 512 bytes; requests to 1 MiB are cut from
# segments of 2 MiB, to 10 MiB from segments of 20 MiB, larger ones are rounded to 2 MiB.
_BLOCK, _SMALL, _SMALL_SEGMENT = 512, _MIB, 2 * _MIB
_LARGE, _LARGE_SEGMENT, _ROUND_LARGE = 10 * _MIB, 20 * _MIB, 2 * _MIB
# cuBLAS keeps 2 x 4,096 KiB + 8 x 16 KiB a handle (":4096:2:16:8", torch's default), and 32 MiB from compute capability
# 9 on (aten/src/ATen/cuda/CublasHandlePool.cpp): Hopper and Blackwell, but not Ada, which came out in the same years.
_CUBLAS, _CUBLAS_HOPPER = (4096 * 2 + 16 * 8) * 1024, 32 * _MIB
_HOPPER = ("H100", "H200", "B100", "B200", "RTX 50", "Blackwell")


def context_bytes(device: Device, runtime: str = "") -> int:
    """Bytes gone before the first tensor; 0 where nothing is known of them.

    Args:
        device: on a GPU, the driver's context; its host's memory is not counted.
        runtime: "torch" on a CPU counts the process as well.
    """
    if device.kind == "cpu":
        return _PROCESS if runtime == "torch" else 0
    return _CUDA_CONTEXT if _is_cuda(device) else 0


def workspace_bytes(layers: Sequence[Layer], device: Device, scale: float) -> int:
    """Scratch memory of the hungriest layer, at most.

    On a GPU a convolution multiplies without writing its columns out (implicit product) and the vendor's libraries
    keep a buffer. On a CPU oneDNN needs none that torch's own allocations would show (tests/cost/test_memory.py). On
    small devices the columns of one item (im2col) bound what is needed; kernels of 1x1 need none.
    """
    if _is_cuda(device):
        return cublas_bytes(device.name)
    if device.kind != "edge":
        return 0
    return math.ceil(ROW_BYTES * scale * max(map(_columns, layers), default=0))


def cublas_bytes(name: str) -> int:
    """What cuBLAS keeps of a graphics processor's memory, by the name of the card."""
    return _CUBLAS_HOPPER if any(each in name for each in _HOPPER) else _CUBLAS


def rounding_bytes(layers: Sequence[Layer], device: Device, tensors: int, scale: float) -> int:
    """What torch's caching allocator holds beyond the tensors' own bytes; 0 where there is no such allocator."""
    if not _is_cuda(device) or not layers:
        return 0
    weights = [ROW_BYTES * scale * layer.parameters for layer in layers if layer.parameters]
    small = sum(_rounded(size, _BLOCK) for size in weights if size <= _SMALL)
    middle = sum(_rounded(size, _BLOCK) for size in weights if _SMALL < size <= _LARGE)
    large = sum(_rounded(size, _ROUND_LARGE) for size in weights if size > _LARGE)
    held = _rounded(small, _SMALL_SEGMENT) + _rounded(middle, _LARGE_SEGMENT) + large
    rest = tensors - sum(weights)
    return max(0, math.ceil(held - sum(weights) + _rounded(rest, _LARGE_SEGMENT) - rest))


def _is_cuda(device: Device) -> bool:
    return device.kind == "gpu" and device.vendor.upper() in ("NVIDIA", "")


def _rounded(size: float, step: int) -> int:
    return math.ceil(size / step) * step


def _columns(layer: Layer) -> int:
    """Values of one item's columns: input channels x window x output positions, per group."""
    if layer.op != "Conv" or math.prod(layer.kernel) <= 1 or not layer.inputs or not layer.outputs:
        return 0
    channels = layer.inputs[0][1] // max(layer.groups, 1)
    return channels * math.prod(layer.kernel) * math.prod(layer.outputs[0][2:])
