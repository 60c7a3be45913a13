"""What explains the misses of NeuSight's training rows: the passes apart, and the driver's part of the forward pass.

The table's forward passes begin with an empty allocator, so that in training nearly every tensor is asked of the
driver. `errors` adds one number of the machine with the A100 of 80 GB, seconds of one request: the device waits where
requests take longer than its work. It is fitted on the forward passes of BERT (two rows); the other eight are held out.

>>> from published.transformers import NETWORKS, forward
>>> round(requests(forward(NETWORKS["bert_large"], 2, 512, head=True, dropout=True)))
253
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from chipwise.cost.ops import Op
from published.errors import Error
from published.neusight import DEVICES, FILE, operations, read, record
from published.transformers import NETWORKS, forward

__all__ = ["FILE", "TABLE", "errors", "pass_errors", "passes", "requests"]

TABLE = "NeuSight, requests for memory fitted on BERT"
MACHINE = "A100 PCIe 80GB"
_FITTED = "bert_large"
_VALUES = 2  # fp32, where operations are kept in 2-byte values
# PyTorch's allocator (c10/cuda/CUDACachingAllocator.cpp): tensors of 10 MiB are asked for one by one, those of 1 MiB
# taken from blocks of 20 MiB, smaller ones from blocks of 2 MiB.
_LARGE, _LARGE_BLOCK = 10 * 2**20, 20 * 2**20
_SMALL, _SMALL_BLOCK = 2**20, 2 * 2**20


def errors(tables: Path) -> list[Error]:
    """Training rows of the machine, whole steps, with the driver's part."""
    rows = [row for row in read(tables) if row["mode"] == "train" and DEVICES[row["device"]] == MACHINE]
    request_s = statistics.median(
        float(row["measured_fw_ms"]) / 1e3 / requests(passes(row)[0]) for row in rows if row["model"] == _FITTED
    )
    return [_with_requests(row, request_s) for row in rows]


def pass_errors(tables: Path) -> dict[str, list[Error]]:
    """Forward and backward passes of all training rows, each alone, without the driver's part."""
    found: dict[str, list[Error]] = {"forward": [], "backward": []}
    for row in read(tables):
        if row["mode"] == "train":
            for name, ops, column in zip(found, passes(row), ("measured_fw_ms", "measured_bw_ms"), strict=True):
                said = f"{row['model']} batch {row['batch']} {name}"
                found[name].append(record(row, said, ops, float(row[column]) / 1e3))
    return found


def passes(row: Mapping[str, str]) -> tuple[list[Op], list[Op]]:
    """Operations of the forward and of the backward pass of a training row."""
    ahead = forward(NETWORKS[row["model"]], int(row["batch"]), int(row["seqlen"]), head=True, dropout=True)
    return ahead, operations(row)[len(ahead) :]


def requests(ops: Sequence[Op]) -> float:
    """How often the driver is asked for memory when nothing that operations write is given back."""
    sizes = [_VALUES * op.write_bytes for op in ops]
    single = sum(size >= _LARGE for size in sizes)
    return (
        single
        + sum(size for size in sizes if _SMALL <= size < _LARGE) / _LARGE_BLOCK
        + sum(size for size in sizes if size < _SMALL) / _SMALL_BLOCK
    )


def _with_requests(row: Mapping[str, str], request_s: float) -> Error:
    ahead, back = passes(row)
    whole = record(row, f"{row['model']} batch {row['batch']} train", back, float(row["measured_e2e_ms"]) / 1e3)
    device_s = record(row, "", ahead, 1.0).predicted_s.mid or 0.0
    back_s = whole.predicted_s.mid or 0.0
    step_s = max(device_s, request_s * requests(ahead)) + back_s
    return replace(
        whole,
        table=TABLE,
        predicted_s=whole.predicted_s.times(step_s / back_s),
        held_out=row["model"] != _FITTED,
        published_s=float(row["neusight_e2e_ms"]) / 1e3,
        note=f"{1e3 * request_s:.2f} ms a request",
    )
