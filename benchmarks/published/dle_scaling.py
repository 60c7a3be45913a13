"""NVIDIA DeepLearningExamples: how training scales from 1 to 16 GPUs of a DGX.

NVIDIA/DeepLearningExamples, README files (collected at 729963dd47): rates of several GPUs beside those of one with the
same folder, heading, number format, batch and metric. Left out: rows of evaluation, and of more than 1.1 times n GPUs,
where the batch was another. `chipwise.cost.together` takes from them what a doubling of the copies loses: as links of
these machines are fast, that is waiting, and the host's part. Rows in PyTorch are held out; all others were fitted.

>>> round(efficiency(8, LOST[1]), 2)
0.91
"""

from __future__ import annotations

import csv
import gzip
import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

import numpy as np

from chipwise.cost.together import LOST
from published.dle import FILE

COUNTS = (1, 2, 4, 8, 16)
HELD_OUT = "PyTorch"
_RATES = re.compile(r"img|image|sequence|throughput|items|samples|token", re.IGNORECASE)
_MOST = 1.1


@dataclass(frozen=True, slots=True)
class Row:
    """Folder of the network, GPUs, and their rate over that of as many alone."""

    model: str
    gpus: int
    efficiency: float

    @property
    def held_out(self) -> bool:
        """Whether no number was fitted on it."""
        return self.model.startswith(f"{HELD_OUT}/")

    @property
    def lost(self) -> float:
        """Share of a step that each doubling of the GPUs lost."""
        return (1 / self.efficiency - 1) / math.log2(self.gpus)


def read(tables: Path) -> list[Row]:
    """All rows that have a row of one GPU beside them; `tables` is the folder of the file."""
    series: dict[tuple[str, ...], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    with gzip.open(tables / FILE, "rt", newline="") as file:
        for row in csv.DictReader(file):
            rate = _rate(row)
            if rate is not None:
                key = tuple(
                    row[name] for name in ("model_dir", "device_heading", "precision_guess", "batch", "seq_len")
                )
                series[(*key, row["metric"])][int(row["gpus"])].append(rate)
    found = []
    for (model, *_), rates in series.items():
        if len({len(each) for each in rates.values()}) > 1:  # rows of several tables, which do not pair
            continue
        for gpus in sorted(set(rates) - {1}):
            pairs = zip(rates.get(1, []), rates[gpus], strict=False)
            found += [Row(model, gpus, many / (gpus * one)) for one, many in pairs]
    return [row for row in found if row.efficiency <= _MOST]


def fit(rows: Sequence[Row]) -> tuple[float, float, float]:
    """What a doubling loses in a tenth, in half, and in nine tenths of the rows."""
    low, mid, high = np.quantile([row.lost for row in rows], (0.1, 0.5, 0.9))
    return float(low), float(mid), float(high)


def efficiency(gpus: int, lost: float) -> float:
    """Share of linear scaling that is left."""
    return 1 / (1 + lost * math.log2(gpus))


def summary(rows: Sequence[Row]) -> dict[str, float]:
    """Errors of the middle, of linear scaling, and the share of rows inside."""
    best, middle, worst = LOST
    inside = [efficiency(row.gpus, worst) <= row.efficiency <= efficiency(row.gpus, best) for row in rows]
    off = [abs(efficiency(row.gpus, middle) / row.efficiency - 1) for row in rows]
    return {
        "rows": len(rows),
        "median": round(median(off), 4),
        "mean": round(fmean(off), 4),
        "linear_median": round(median(abs(1 / row.efficiency - 1) for row in rows), 4),
        "inside": round(fmean(inside), 4),
    }


def _rate(row: dict[str, str]) -> float | None:
    """Items a second of a row of training in one machine; None for any other."""
    usual = row["mode"] == "train" and row["nodes"] in ("", "1") and "Evaluation" not in row["device_heading"]
    if not usual or row["gpus"] not in map(str, COUNTS) or not _RATES.search(row["metric"]):
        return None
    try:
        return float(row["value"])
    except ValueError:
        return None
