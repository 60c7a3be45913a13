"""MLPerf inference on one NVIDIA GPU: ResNet-50 and BERT-large in TensorRT, int8, closed division.

mlcommons/cm4mlperf-results@84d8b84c6d; the median of all submissions for a card, a network and a scenario. No table of
TensorRT in int8 is there to fit a profile on, so what is tested is how far the roofline carries from card to card:

    seconds = share x floor + start

with one share a network (how many times longer than the roofline's floor) and one start a network for a single item.
The rule, set before fitting: cards where the first byte of the SHA-256 of the name is even are fitted on, the others
are the test. BERT's sequences have 384 places at most and TensorRT skips what is padding, which its share holds.

>>> fitted_on("Tesla T4"), fitted_on("L4")
(False, True)
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from chipwise.core.device import Device
from chipwise.core.estimate import Interval
from chipwise.core.profile import Profile, WorkClass
from chipwise.cost.fused import kernels
from chipwise.cost.measured_model import error_bound
from chipwise.cost.ops import PRODUCTS, Op
from chipwise.devices.known import device
from chipwise.networks.layers import layer_rows
from chipwise.networks.load import load
from published.errors import Error
from published.pricing import priced
from published.transformers import NETWORKS, forward

TABLE = "MLPerf inference"
FILE = "mlperf_inference.csv.gz"
CARDS = {
    "NVIDIA L4": "L4",
    "NVIDIA A10": "A10",
    "NVIDIA A30": "A30",
    "NVIDIA A40": "A40",
    "NVIDIA T4": "Tesla T4",
    "Tesla T4": "Tesla T4",
    "NVIDIA A100-PCIe-80GB": "A100 PCIe 80GB",
    "NVIDIA A100-SXM-80GB": "A100 SXM4 80GB",
    "NVIDIA H100-PCIe-80GB": "H100 PCIe 80GB",
    "NVIDIA H100-SXM-80GB": "H100 SXM5 80GB",
    "NVIDIA GeForce RTX 4090": "GeForce RTX 4090",
    "NVIDIA GeForce RTX 4090 (Ada Lovelace)": "GeForce RTX 4090",
    "NVIDIA Jetson AGX Orin 64G": "Jetson AGX Orin 64GB",
}
MODELS = ("resnet50", "bert-99")
SCENARIOS = {"Offline": 64, "SingleStream": 1}  # and the batch that the floor is of
_LENGTH = 384
_COVERAGE = 0.8
# The floor: every peak reached in full, neighbours merged.
FLOOR = Profile(
    name="floor",
    kind="gpu",
    runtime="",
    phase="inference",
    precision="int8",
    compiled=True,
    classes={kind: WorkClass(compute=0.0, sharpness=64.0) for kind in PRODUCTS} | {"ew": WorkClass(sharpness=64.0)},
    widths=(1, 1),
    fused=True,
)


@dataclass(frozen=True)
class Row:
    """One card's median; seconds of an item."""

    card: Device
    model: str
    scenario: str
    measured_s: float
    floor_s: float


def errors(tables: Path) -> list[Error]:
    """One record a card, network and scenario in `tables`, their folder; those that were fitted on among them."""
    rows = read(tables / FILE)
    found = []
    for model in MODELS:
        of_model = [row for row in rows if row.model == model]
        fitting = [row for row in of_model if fitted_on(row.card.name)]
        share = statistics.median(row.measured_s / row.floor_s for row in fitting if row.scenario == "Offline")
        single = [row.measured_s - share * row.floor_s for row in fitting if row.scenario == "SingleStream"]
        start = max(0.0, statistics.median(single)) if single else 0.0
        found += _errors(of_model, share, start)
    return found


def fitted_on(card: str) -> bool:
    """Whether rows of this card may be fitted on."""
    return hashlib.sha256(card.encode()).digest()[0] % 2 == 0


def read(path: Path) -> list[Row]:
    """Medians of the rows of one card in the catalogue whose int8 peak is known."""
    with gzip.open(path, "rt", newline="") as file:
        lines = [line for line in csv.DictReader(file) if _fits(line)]
    groups: dict[tuple[str, str, str], list[float]] = {}
    for line in lines:
        perf = float(line["perf"])
        seconds = 1 / perf if line["scenario"] == "Offline" else perf / 1e3
        groups.setdefault((CARDS[line["accelerator"]], line["model"], line["scenario"]), []).append(seconds)
    return [
        Row(device(card), model, scenario, statistics.median(values), _floor_s(device(card), model, scenario))
        for (card, model, scenario), values in groups.items()
        if "int8" in device(card).peak_flops
    ]


@cache
def operations(model: str, batch: int) -> tuple[Op, ...]:
    """What a network runs, in 2-byte values; ResNet-50 without what TensorRT folds into convolutions."""
    if model != "resnet50":
        return tuple(forward(NETWORKS["bert_large"], batch, _LENGTH))
    found = kernels(layer_rows(load("resnet50"), batch))
    return tuple(Op("mm" if each.flops else "ew", each.flops, read_bytes=2 * each.values) for each in found)


def _fits(line: Mapping[str, str]) -> bool:
    alone = line["accels_per_node"] in ("1", "1.0") and line["nodes"] in ("1", "1.0")
    named = line["accelerator"] in CARDS and line["model"] in MODELS and line["scenario"] in SCENARIOS
    return alone and named and line["division"] == "closed" and "TensorRT" in line["framework"] and bool(line["perf"])


def _floor_s(card: Device, model: str, scenario: str) -> float:
    batch = SCENARIOS[scenario]
    return (priced(operations(model, batch), card, FLOOR).mid or math.nan) / batch


def _errors(rows: Sequence[Row], share: float, start: float) -> list[Error]:
    predicted = [share * row.floor_s + (start if row.scenario == "SingleStream" else 0.0) for row in rows]
    fitting = [math.log(r.measured_s / p) for r, p in zip(rows, predicted, strict=True) if fitted_on(r.card.name)]
    half = error_bound(fitting, _COVERAGE)
    return [
        Error(
            table=TABLE,
            device=row.card.name,
            row=f"{row.model} {row.scenario}",
            predicted_s=Interval(mid * math.exp(-half), mid, mid * math.exp(half), _COVERAGE),
            measured_s=row.measured_s,
            held_out=not fitted_on(row.card.name),
            zero_shot=not fitted_on(row.card.name),
            note=f"{share:.2f} x floor" + (f" + {1e3 * start:.2f} ms" if row.scenario == "SingleStream" else ""),
        )
        for row, mid in zip(rows, predicted, strict=True)
    ]
