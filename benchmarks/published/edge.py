"""Small devices at batch 1: Coral's Edge TPU and its hosts, Jetson Nano, Movidius sticks, Raspberry Pis.

Sources stand in the table's rows (coral.ai, google-coral/edgetpu, aallan/benchmarking-ml-on-the-edge).

The Edge TPU is priced by `chipwise.cost.systolic`. For the others no kernel was ever published and makers print no
peaks of what their runtimes reach, so one number is fitted for each pair of device and framework: how many operations a
second it does, where a byte that is moved counts as several (one more number for all of them). The rule, set
before fitting: of Coral's two processors those networks that `split.held_out` does not name, by name of the network;
elsewhere, where two networks were timed, the smaller one (SSD MobileNet v1 0.75); the other rows are the test.

>>> [round(work("mobilenet-v2-ssd", byte) / 1e9, 1) for byte in (0, 10)]
[1.5, 2.6]
"""

from __future__ import annotations

import csv
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from chipwise.core.device import Device
from chipwise.core.estimate import Interval
from chipwise.cost.measured_model import error_bound
from chipwise.cost.ops import PRODUCTS
from chipwise.devices.known import device
from chipwise.networks.layers import layer_rows
from chipwise.networks.load import load
from published.edge_tpu import ENDS_ON_HOST, PUBLISHED, SPREAD, predicted_s
from published.errors import Error
from published.pricing import zoo_operations
from published.split import held_out

TABLE = "edge"
FILE = "edge_latency.csv"
# As the tables call them, and as the zoo does; EfficientNet-EdgeTPU is not in it.
NETWORKS = {
    "Unet Mv2": "unet-mobilenet-v2",
    "DeepLab V3": "deeplab-v3-mobilenet-v2",
    "DenseNet": "densenet121",
    "Inception v1": "googlenet",
    "inception_v1": "googlenet",
    "Inception v4": "inception-v4",
    "inception_v4": "inception-v4",
    "Inception-ResNet V2": "inception-resnet-v2",
    "MobileNet v1": "mobilenet-v1",
    "mobilenet_v1": "mobilenet-v1",
    "MobileNet v2": "mobilenet-v2",
    "mobilenet_v2": "mobilenet-v2",
    "MobileNet v1 SSD": "mobilenet-v1-ssd",
    "ssd_mobilenet_v1_coco": "mobilenet-v1-ssd",
    "MobileNet v2 SSD": "mobilenet-v2-ssd",
    "SSD MobileNet v1 0.75": "mobilenet-v1-ssd:width=0.75",
    "SSD MobileNet v2": "mobilenet-v2-ssd",
    "ResNet-50 V1": "resnet50:size=299",
    "ResNet-50 V2": "resnet50:size=299",
    "ResNet-152 V2": "resnet152:size=299",
    "SqueezeNet": "squeezenet1.0",
    "VGG16": "vgg16",
    "VGG19": "vgg19",
}
_SMALLER = "SSD MobileNet v1 0.75"
_COVERAGE = 0.8
_BYTES = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
_ENDS_ON_HOST = {row.network for row in PUBLISHED if row.why == ENDS_ON_HOST}


@dataclass(frozen=True)
class Row:
    """One published latency."""

    machine: str
    model: str
    network: str
    measured_s: float
    fitted: bool


def errors(tables: Path) -> list[Error]:
    """One record a row whose network is known here, those that were fitted on among them, in `tables`, their folder."""
    rows = read(tables / FILE)
    tpus, others = [row for row in rows if _link(row.machine)], [row for row in rows if not _link(row.machine)]
    return [*map(_on_tpu, tpus), *_elsewhere(others)]


def read(path: Path) -> list[Row]:
    """The rows of a table whose network is in the zoo."""
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    return [_row(line) for line in lines if line["model"] in NETWORKS]


def _row(line: Mapping[str, str]) -> Row:
    coral = "coral.ai" in line["source"]
    framework = "TFLite" if coral else line["framework"]
    model = line["model"]
    fitted = not held_out(NETWORKS[model]) if coral else model == _SMALLER
    return Row(f"{line['device']}, {framework}", model, NETWORKS[model], float(line["value"]) / 1e3, fitted)


def _link(machine: str) -> str:
    """How an Edge TPU is connected; empty for what is none. USB 2 is left to the others: its rate was not fitted."""
    if "USB2" in machine or not re.search(r"edge ?tpu|accelerator", machine, re.IGNORECASE):
        return ""
    return "PCIe 2.0 x1" if "Dev Board" in machine else "USB 3.0"


@cache
def _tpu(link: str) -> Device:
    return replace(device("Coral Edge TPU"), host_link=link)


def _on_tpu(row: Row) -> Error:
    mid = predicted_s(layer_rows(load(row.network), 1), _tpu(_link(row.machine)))
    return Error(
        table=TABLE,
        device=row.machine,
        row=row.model,
        predicted_s=Interval(mid / SPREAD, mid, mid * SPREAD, _COVERAGE),
        measured_s=row.measured_s,
        held_out=held_out(row.network),
        note="its end runs on the host" if row.network.split(":")[0] in _ENDS_ON_HOST else "",
    )


@cache
def work(network: str, byte: float) -> float:
    """FLOPs of one item, and `byte` for every byte of activations that products read and write in fp32."""
    ops = zoo_operations(network, 1)
    moved = 2.0 * sum(op.read_bytes + op.write_bytes for op in ops if op.kind in PRODUCTS)
    return sum(op.flops for op in ops) + byte * moved


def _elsewhere(rows: Sequence[Row]) -> list[Error]:
    fitted = [row for row in rows if row.fitted]
    byte = min(_BYTES, key=lambda each: statistics.fmean(map(abs, _residuals(fitted, each))))
    half = error_bound(_residuals([row for row in fitted if _several(row, fitted)], byte), _COVERAGE)
    rates = {machine: _rate(machine, fitted, byte) for machine in dict.fromkeys(row.machine for row in fitted)}
    found = []
    for row in rows:
        mid = work(row.network, byte) / rates[row.machine]
        interval = Interval(mid * math.exp(-half), mid, mid * math.exp(half), _COVERAGE)
        note = f"{rates[row.machine] / 1e9:.3g} G/s, a byte counts as {byte:g}"
        found.append(Error(TABLE, row.machine, row.model, interval, row.measured_s, held_out=not row.fitted, note=note))
    return found


def _several(row: Row, rows: Sequence[Row]) -> bool:
    return sum(each.machine == row.machine for each in rows) > 1


def _rate(machine: str, rows: Sequence[Row], byte: float) -> float:
    return statistics.median(work(row.network, byte) / row.measured_s for row in rows if row.machine == machine)


def _residuals(rows: Sequence[Row], byte: float) -> list[float]:
    """Logarithm of measured over predicted, each machine at its own rate."""
    return [math.log(row.measured_s * _rate(row.machine, rows, byte) / work(row.network, byte)) for row in rows]
