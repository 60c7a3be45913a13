"""NCCL's all-reduce among 2 to 8 GPUs of one machine, 1 MB to 1 GB: how near the formula of a ring is.

vTrain's tables (github.com/VIA-Research/vTrain) of A100, whose switch joins all GPUs alike, and of V100, whose links in
machines of 8 form a hybrid cube mesh. Two numbers a kind of GPU, bandwidth and latency, are fitted on rows of 4 GPUs
by least squares of the relative error; all others are held out.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from chipwise.cost.parallel import Wire, ring_s

FILE = "nccl_allreduce_a100_v100.csv.gz"
FITTED = 4  # GPUs

Row = tuple[int, int, float]  # GPUs, bytes, seconds


def read(tables: Path) -> dict[str, list[Row]]:
    """Rows by kind of GPU; `tables` is the folder of the file."""
    found: dict[str, list[Row]] = {}
    with gzip.open(tables / FILE, "rt", newline="") as file:
        for row in csv.DictReader(file):
            seconds = float(row["time_out_of_place_ns"]) * 1e-9
            found.setdefault(row["gpu"], []).append((int(row["n_gpus"]), int(row["size_bytes"]), seconds))
    return found


def fit(rows: Sequence[Row]) -> Wire:
    """Bandwidth and latency of a ring from rows of several sizes."""
    unit = Wire(1.0, 0.0)
    terms = [(2 * (gpus - 1) / seconds, ring_s(size, gpus, unit) / seconds) for gpus, size, seconds in rows]
    latency_s, per_byte_s = np.linalg.lstsq(np.array(terms), np.ones(len(terms)), rcond=None)[0]
    return Wire(1 / float(per_byte_s), float(latency_s))


def errors(rows: Sequence[Row], wire: Wire) -> dict[int, float]:
    """Median of |predicted / measured - 1| by number of GPUs."""
    off: dict[int, list[float]] = {}
    for gpus, size, seconds in rows:
        off.setdefault(gpus, []).append(abs(ring_s(size, gpus, wire) / seconds - 1))
    return {gpus: float(np.median(found)) for gpus, found in off.items()}
