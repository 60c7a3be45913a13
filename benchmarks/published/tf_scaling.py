"""TensorFlow's benchmarks of May 2017: how training scales to 8 GPUs of a machine, and to 8 machines of 8.

tensorflow/docs_src/performance/benchmarks.md (Apache-2.0) says for each platform and network how variables were
updated; `chipwise.cost.parallel` turns that into seconds, from the published rate of one GPU, the bytes of the
gradients, and the stated bandwidth of the links (`chipwise devices`).

Held out, before anything was fitted: ResNet-50, ResNet-152 and AlexNet everywhere, all rows of several machines, and
all rows with real data, whose pictures are also read and decoded. Fitted, on what is left (InceptionV3 and VGG16 with
synthetic data in one machine, 30 rows), by least mean error: two numbers.

* `LINK_SHARE`: what share of its stated bandwidth any link reaches.
* `BOARD`: how much longer a chip of a K80 computes where others run, too; two share one board's power and its lanes.

Linear scaling and the mean of the fitted rows are told beside it: most of these rows are near 1, so that a small error
says little by itself.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import chipwise
from chipwise.core.layer import Layer
from chipwise.cost.parallel import Stretch, Wire, data_parallel_step, efficiency, ring_s, served_s, stretches_of
from chipwise.devices.known import link
from published.tf2017 import FILE, NETWORKS

LINK_SHARE, BOARD = 0.17, 0.055
FITTED = ("InceptionV3", "VGG16")
_PCIE, _NVLINK, _ETHERNET = "PCIe 3.0 x16", "NVLink 1", "Ethernet 10G"
_NVLINKS = 4  # of a P100, one to each of its neighbours, which NVLink 1's figure is the sum of
_ON_A_LINK = 2  # GPUs behind each x16 of the host: chips of a K80's board; pairs of a DGX-1 behind a switch
_MACHINE = 8
# Parameter servers of 8 machines where they are not 8: network and batch.
_SERVERS = {("InceptionV3", 64): 6, ("InceptionV3", 32): 6, ("ResNet-50", 32): 4, ("ResNet-152", 32): 4}


@dataclass(frozen=True, slots=True)
class Row:
    """A published rate of several GPUs, beside that of one.

    Attributes:
        platform, model, data: as published; gpus, batch: of each GPU.
        alone_s: of a step on one GPU of that platform; step_s: on all.
    """

    platform: str
    model: str
    gpus: int
    batch: int
    data: str
    alone_s: float
    step_s: float

    @property
    def efficiency(self) -> float:
        """As published."""
        return efficiency(self.alone_s, self.step_s)

    @property
    def fitted(self) -> bool:
        """Whether the two numbers were fitted on it."""
        return self.model in FITTED and self.data == "synthetic" and not self.distributed

    @property
    def distributed(self) -> bool:
        """Whether it is of the table of several machines."""
        return "distributed" in self.platform

    @property
    def way(self) -> str:
        """How variables were updated: "host", "gpus", "ring" or "machines"."""
        if self.distributed:
            return "machines"
        if "DGX" in self.platform:
            return "ring" if self.model in {"AlexNet", "VGG16"} else "host"
        return "host" if "GCE" in self.platform or self.model == "InceptionV3" else "gpus"


def read(tables: Path) -> list[Row]:
    """All rows of two GPUs and more in `tables`, the folder of the file."""
    with (tables / FILE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    alone = {_key(row): int(row["batch_per_gpu"]) / float(row["throughput"]) for row in rows if row["gpus"] == "1"}
    found = []
    for row in rows:
        gpus, batch = int(row["gpus"]), int(row["batch_per_gpu"])
        if gpus > 1:
            step_s = gpus * batch / float(row["throughput"])
            found.append(Row(row["platform"], row["model"], gpus, batch, row["data"], alone[_key(row)], step_s))
    return found


def predicted(row: Row, share: float = LINK_SHARE, board: float = BOARD) -> float:
    """The efficiency that the cost model gives."""
    compute_s = _compute_s(row, share)
    slower = 1 + board if "DGX" not in row.platform else 1.0
    return efficiency(row.alone_s, _step_s(row, row.gpus, compute_s * slower, share))


def fit(rows: Sequence[Row]) -> tuple[float, float]:
    """The two numbers with the least mean error of the efficiency on some rows, by trying them on a grid."""
    grid = [(share / 100, board / 1000) for share in range(8, 41, 1) for board in range(30, 71, 5)]
    return min(grid, key=lambda pair: sum(abs(predicted(row, *pair) / row.efficiency - 1) for row in rows))


def exchange_s(row: Row, gpus: int, share: float) -> tuple[float, float]:
    """Seconds of what the backward pass hides, and of what the forward pass hides, each as far as it can."""
    size = float(sum(each.size for each in _layers_of(row.model, 1.0)))
    lanes = Wire(link(_PCIE).bandwidth_bytes_s * share)
    shared = Wire(lanes.bytes_s / _ON_A_LINK)
    if row.way == "host":  # each x16 of the host is a server's wire, whatever lies behind it
        one_way_s = _pairs_s(size, gpus, lanes)
        return one_way_s, one_way_s
    if row.way == "ring":  # along as many links as there are neighbours
        wire = Wire(link(_NVLINK).bandwidth_bytes_s / _NVLINKS * share * min(max(gpus - 1, 1), _NVLINKS))
        return ring_s(size, gpus, wire), 0.0
    inside = min(gpus, _MACHINE)
    one_way_s = served_s(size * (inside - 1) / inside, inside, inside, shared)
    if row.way == "gpus":  # variables, or their sums, are spread over the GPUs
        return one_way_s, one_way_s
    machines = max(gpus // _MACHINE, 1)
    servers = _SERVERS.get((row.model, row.batch), machines) if machines == _MACHINE else machines
    network = Wire(link(_ETHERNET).bandwidth_bytes_s * share)
    away_s = served_s(size * (machines - 1) / machines, machines, servers, network)
    return 2 * one_way_s + 2 * away_s, 0.0


def _pairs_s(size: float, gpus: int, lanes: Wire) -> float:
    return served_s(size, gpus, -(-gpus // _ON_A_LINK), lanes)


def _compute_s(row: Row, share: float) -> float:
    """Compute of the step of one GPU: what is left of it without the exchange that it has, too; by halving."""
    low, high = 0.0, row.alone_s
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if _step_s(row, 1, middle, share) > row.alone_s else (middle, high)
    return high


def _step_s(row: Row, gpus: int, compute_s: float, share: float) -> float:
    reduce_s, fetch_s = exchange_s(row, gpus, share)
    return data_parallel_step(_layers_of(row.model, compute_s), reduce_s, fetch_s).step_s


def _layers_of(model: str, compute_s: float) -> list[Stretch]:
    return stretches_of(_rows_of(model), compute_s)


@cache
def _rows_of(model: str) -> tuple[Layer, ...]:
    return tuple(chipwise.inspect(NETWORKS[model]).layers)


def _key(row: dict[str, str]) -> tuple[str, ...]:
    return row["platform"], row["model"], row["batch_per_gpu"], row["data"]
