"""NeuSight's single-kernel latencies: one GPU operation of PyTorch 2.1 at a time, in fp32, on five GPUs.

sitar-lab/NeuSight, scripts/asplos/data (MIT). A row is the time from calling an operation to its end, on an idle
device, so that it holds what a call costs on the host; in a network the host runs ahead and that part is hidden. The
floor of a kind (the fastest percent of its rows) is that part, and rows well above it say what the device does.

>>> operation("linear", {"B": "1", "M": "64", "N": "32", "K": "16"})
Op(kind='mm', flops=65536.0, read_bytes=4096.0, weight_bytes=2048.0, write_bytes=8192.0, dims=(64.0, 32.0, ...
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chipwise.core.errors import DataError
from chipwise.cost.ops import Op

VALUE_BYTES = 4
# Devices by the name in the files, as the catalogue calls them. Convolutions of the A100 were timed on the 80 GB card.
DEVICES = {
    "Tesla_P4": "Tesla P4",
    "Tesla_P100-PCIE-16GB": "Tesla P100 PCIe 16GB",
    "Tesla_T4": "Tesla T4",
    "Tesla_V100-PCIE-32GB": "Tesla V100 PCIe 32GB",
    "NVIDIA_A100-PCIE-40GB": "A100 PCIe 40GB",
}
_ELSEWHERE = {("conv", "NVIDIA_A100-PCIE-40GB"): "NVIDIA_A100_80GB_PCIe"}
# Kinds of kernels in the files, and how many tensors each elementwise one reads ("u": the other one is a constant).
_READS = {
    "add": 2,
    "div": 2,
    "mul": 2,
    "pow": 2,
    "addu": 1,
    "divu": 1,
    "mulu": 1,
    "powu": 1,
    "gelu": 1,
    "relu": 1,
    "tanh": 1,
}
KINDS = ("linear", "bmm", "conv", "softmax", "ln", *_READS)
# Rows below this many times the floor say more about the call than about the device.
_ABOVE_FLOOR = 3.0
# What remains of a call when the host runs ahead: the device's own start of a kernel.
LAUNCH_S = 3e-6


@dataclass(frozen=True)
class Kernel:
    """One measured operation; `device_s` without what the call costs."""

    op: Op
    device_s: float


@dataclass(frozen=True)
class Table:
    """Kernels of one kind on one device, and the least time that a call takes there."""

    kind: str
    floor_s: float
    kernels: tuple[Kernel, ...]


def read(folder: Path, device: str, kind: str) -> Table:
    """Kernels of one kind whose time is well above the floor of calls.

    Raises:
        DataError: there is no such file.
    """
    where = folder / f"train__{kind}__{_ELSEWHERE.get((kind, device), device)}.csv.gz"
    if not where.is_file():
        raise DataError(f"there is no {where.name} in {folder}", hint="give the folder of NeuSight's kernels")
    with gzip.open(where, "rt", newline="") as file:
        rows = [(operation(kind, row), float(row["Latency"]) / 1e3) for row in csv.DictReader(file)]
    floor = float(np.percentile([seconds for _, seconds in rows], 1))
    if kind == "conv":  # all of them are long
        floor = LAUNCH_S
    found = [Kernel(op, s - floor + LAUNCH_S) for op, s in rows if s > _ABOVE_FLOOR * floor]
    return Table(kind, floor, tuple(found))


def operation(kind: str, row: Mapping[str, str]) -> Op:
    """A row as an operation, in 4-byte values; `bmm` stands for products of two activations, row-major both."""
    if kind == "conv":
        return _convolution(row)
    if kind in ("linear", "bmm"):
        groups, m, n, k = (float(row[each]) for each in ("B", "M", "N", "K"))
        flops, written = 2 * groups * m * n * k, VALUE_BYTES * groups * m * n
        if kind == "linear":
            return Op("mm", flops, VALUE_BYTES * groups * m * k, VALUE_BYTES * n * k, written, (groups * m, n, k, 1.0))
        return Op("bmm", flops, VALUE_BYTES * groups * (m * k + n * k), 0.0, written, (m, n, k, groups))
    values = float(row["B"]) * float(row["H"]) * VALUE_BYTES
    name = {"softmax": "sm", "ln": "ln"}.get(kind, "ew")
    return Op(name, read_bytes=_READS.get(kind, 1) * values, write_bytes=values)


def _convolution(row: Mapping[str, str]) -> Op:
    names = ("B", "Input_Channel", "Output_Channel", "Kernel_Szie", "Input_Size", "Stride", "Padding")
    items, inputs, outputs, window, size, stride, padding = (int(row[each]) for each in names)
    side = (size + 2 * padding - window) // stride + 1
    m, k = float(items * side * side), float(inputs * window * window)
    read, weights = items * inputs * size * size, outputs * k
    return Op(
        "ck", 2 * m * outputs * k, VALUE_BYTES * read, VALUE_BYTES * weights, VALUE_BYTES * m * outputs,
        (m, float(outputs), k, 1.0),
    )  # fmt: skip
