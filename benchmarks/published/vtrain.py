"""vTrain's measured steps of transformers on 2 to 8 A100 of one machine, by data, tensor and pipeline parallelism.

github.com/VIA-Research/vTrain (Bang et al., "vTrain", MICRO 2024), Megatron-DeepSpeed in fp16: 1,440 combinations of
width 1024 and 2048, 12 to 24 layers, micro-batches of 1 to 8 sequences of 1024 tokens. A layer's time follows from its
sizes: products at a share of the peak, everything else at the memory's bandwidth, and no pass is quicker than the host
issues it. `chipwise.cost.mesh_step` makes a step of that. Numbers are fitted on the 240 rows of 2 GPUs; the 1,200 of 4
and 8 are held out. The bandwidth of sums is that of NCCL's table (`nccl`), fitted there.

The table says that activations were computed again; then products would have to run at 94% of the peak (fitted so, the
errors are as large), where 64% is what is known of such products. So the rows are read as without.

>>> round(predicted(Row(2, 32, 8, 2048, 24, tensor=1, copies=2, stages=1, step_s=0.963), NUMBERS, 218e9), 2)
0.96
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares

from chipwise.cost.mesh_step import Layout, Part, Wires, mesh_step
from chipwise.cost.parallel import Wire
from chipwise.devices.known import device

FILE = "vtrain_measured_single_node.csv"
FITTED = 2  # GPUs
GPU = "A100 SXM4 40GB"
_HEADS, _TOKENS, _VOCABULARY = 16, 1024, 51_200  # of all rows; the vocabulary is Megatron's, padded for 8 GPUs
_BYTES = 2
# Values that kernels of a layer read and write beside its products: of each value of a token's state, of those that the
# group shares, and of each score of attention (Megatron's fused kernels: norms, bias with dropout and sum, bias with
# GELU, transposed heads, masked softmax, dropout). The backward pass moves 1.6 times as much.
_OWN, _SHARED, _SCORES, _BACK = 11, 16, 4.5, 1.6
_HEAD_VALUES = 8  # of each logit, in both passes


@dataclass(frozen=True, slots=True)
class Row:
    """A measured step.

    Attributes:
        gpus, batch, micro: of all, of all, of one copy; hidden, layers: sizes.
        tensor, copies, stages: GPUs in each dimension.
        step_s: measured.
    """

    gpus: int
    batch: int
    micro: int
    hidden: int
    layers: int
    tensor: int
    copies: int
    stages: int
    step_s: float


@dataclass(frozen=True, slots=True)
class Numbers:
    """What was fitted.

    Attributes:
        peak: share of the peak that products reach; small: FLOPs that each product takes longer by.
        host_s: that the host takes to issue a forward pass of a layer; host_back: times as long for its backward pass.
        step_s: of what each step has once; latency_s: of a message.
    """

    peak: float
    small: float
    host_s: float
    host_back: float
    step_s: float
    latency_s: float


NUMBERS = Numbers(peak=0.642, small=20.3e9, host_s=1.12e-3, host_back=1.91, step_s=10.2e-3, latency_s=16.7e-6)


def read(tables: Path) -> list[Row]:
    """All rows; `tables` is the folder of the file."""
    with (tables / FILE).open(newline="") as file:
        return [
            Row(
                gpus=int(row["# GPUs"]),
                batch=int(row["global batch"]),
                micro=int(row["micro batch"]),
                hidden=int(row["hidden size"]),
                layers=int(row["# layers"]),
                tensor=int(row["tensor parallelism"]),
                copies=int(row["data parallelism"]),
                stages=int(row["pipeline parallelism"]),
                step_s=float(row["iteration time (ms)"]) / 1e3,
            )
            for row in csv.DictReader(file)
        ]


def predicted(row: Row, numbers: Numbers, bytes_s: float) -> float:
    """Seconds of a step.

    Args:
        row: its sizes.
        numbers: of the machine and its software.
        bytes_s: of a GPU's links.
    """
    wire = Wire(bytes_s, numbers.latency_s)
    layout = Layout(row.copies, row.tensor, row.stages, row.batch // (row.micro * row.copies))
    parts = [*[_layer(row, numbers)] * row.layers, _head(row, numbers)]
    each = row.layers // row.stages  # as Megatron cuts them; the output goes with the last ones
    bounds = [(first, first + each) for first in range(0, row.layers, each)]
    bounds[-1] = (bounds[-1][0], len(parts))
    return mesh_step(parts, layout, Wires(wire, wire, wire), bounds).step_s + numbers.step_s


def fit(rows: Sequence[Row], bytes_s: float) -> Numbers:
    """The numbers with the least error of the logarithm, single rows counting less (soft L1)."""
    scales = np.array([0.5, 10e9, 1e-3, 1.0, 5e-3, 10e-6])
    measured = np.array([row.step_s for row in rows])

    def off(values: np.ndarray) -> np.ndarray:
        numbers = Numbers(*map(float, np.abs(values) * scales))
        return np.log([predicted(row, numbers, bytes_s) for row in rows] / measured)

    found = least_squares(off, np.ones(len(scales)), loss="soft_l1", f_scale=0.1)
    return Numbers(*map(float, np.abs(found.x) * scales))


def rounded(numbers: Numbers) -> Numbers:
    """To three digits."""
    return Numbers(*(float(f"{value:.3g}") for value in astuple(numbers)))


def _layer(row: Row, numbers: Numbers) -> Part:
    """One layer on one GPU, for one micro-batch."""
    chip = device(GPU)
    peak, moved_s = chip.peak_flops["fp16"], chip.bandwidth_bytes_s or 0.0
    tokens, width, group = row.micro * _TOKENS, row.hidden, row.tensor
    scores = row.micro * _HEADS / group * _TOKENS**2
    products = [2.0 * tokens * width * width / group * times for times in (3, 1, 4, 4)]
    products += [2.0 * scores * width / _HEADS] * 2
    product_s = sum(flops + numbers.small for flops in products) / (peak * numbers.peak)
    values = tokens * width * (_OWN + _SHARED / group) + _SCORES * scores
    rest_s = _BYTES * values / moved_s
    weights = 12 * width * width / group
    return Part(
        forward_s=max(product_s + rest_s, numbers.host_s),
        backward_s=max(2 * product_s + _BACK * rest_s, numbers.host_back * numbers.host_s),
        exchanged_bytes=2.0 * _BYTES * tokens * width,
        exchanges=2,
        handed_bytes=float(_BYTES * tokens * width),
        gradient_bytes=_BYTES * weights,
    )


def _head(row: Row, numbers: Numbers) -> Part:
    """The output and its loss; the embedding shares its weights."""
    chip = device(GPU)
    logits = row.micro * _TOKENS * _VOCABULARY / row.tensor
    product_s = 2.0 * logits * row.hidden / (chip.peak_flops["fp16"] * numbers.peak)
    moved_s = _BYTES * _HEAD_VALUES * logits / (chip.bandwidth_bytes_s or 0.0)
    return Part(product_s, 2 * product_s + moved_s, gradient_bytes=_BYTES * _VOCABULARY * row.hidden / row.tensor)
