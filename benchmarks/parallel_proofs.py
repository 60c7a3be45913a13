"""Training in 2, 4 and 8 processes against training in one, by every strategy: the largest difference of each.

    python benchmarks/parallel_proofs.py

CNNs (Caffe's LeNet-5, and a small one with batch-norms) on the built-in digits, and a transformer of six layers on
random samples, in float64 with SGD: four steps from the initial weights, then a checkpoint that one process reads, two
steps, a checkpoint that half of the processes read, two steps. The difference is of losses and weights after every
step, and as read.

The last line on stdout is one JSON document; progress goes to stderr. Exit code 1 when a proof does not hold.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import torch
from torch import Tensor, nn

import chipwise
from document import command_line, give, here

CNN, NORMED, RESIDUAL = "lenet5-caffe", "convnet-small", "resnet20"
TRANSFORMER = "parallel_proofs:transformer"
RUNS: tuple[tuple[str, str, str], ...] = (
    *((CNN, mesh, "1f1b") for mesh in ("dp2", "zero12", "zero22", "fsdp2", "tp2", "pp2")),
    *(
        (CNN, mesh, "1f1b")
        for mesh in ("dp4", "zero14", "fsdp4", "dp2,fsdp2", "tp4", "fsdp2,tp2", "dp2,tp2", "dp2,pp2")
    ),
    (CNN, "pp2", "interleaved"),
    *((CNN, mesh, "1f1b") for mesh in ("sph2,spw2", "sph4", "dp2,sph2")),
    (NORMED, "sph2,spw2", "1f1b"),
    (NORMED, "dp4", "1f1b"),
    *((CNN, mesh, "1f1b") for mesh in ("oc2", "dp2,oc2", "fsdp2,oc2", "oc2,tp2", "pp2,oc2")),
    *((NORMED, mesh, "1f1b") for mesh in ("oc2", "oc4")),
    *((RESIDUAL, mesh, "1f1b") for mesh in ("oc2", "oc4", "dp2,oc2")),
    (TRANSFORMER, "pp2,tp2", "gpipe"),
    (TRANSFORMER, "pp4", "1f1b"),
    (CNN, "dp8", "1f1b"),
    (CNN, "fsdp8", "1f1b"),
    (TRANSFORMER, "fsdp4,tp2", "1f1b"),
    (TRANSFORMER, "tp8", "1f1b"),
    (TRANSFORMER, "pp8", "1f1b"),
    (TRANSFORMER, "dp2,pp2,tp2", "1f1b"),
    (TRANSFORMER, "fsdp2,pp2,tp2", "1f1b"),
)


class Mean(nn.Module):
    """Over the sequence."""

    def forward(self, x: Tensor) -> Tensor:
        """[N, T, D] to [N, D]."""
        return x.mean(1)


def transformer() -> nn.Module:
    """Six encoder layers of torch's own, width 16, between two Linear layers; takes [N, 6, 8], gives [N, 5]."""
    layers = (nn.TransformerEncoderLayer(16, 2, 32, batch_first=True) for _ in range(6))
    module = nn.Sequential(nn.Linear(8, 16), *layers, Mean(), nn.Linear(16, 5))
    module.example_input = torch.zeros(1, 6, 8)
    return module


def main() -> int:
    """Prove all runs; 0 when all hold."""
    options = command_line(__doc__).parse_args()
    rows = [measured(*run) for run in RUNS]
    give("parallel_proofs", {**here(), "rows": rows}, options.output)
    return 0 if all(row["holds"] for row in rows) else 1


def measured(network: str, mesh: str, schedule: str) -> dict[str, Any]:
    """One run as a row."""
    start = time.perf_counter()
    proof = chipwise.prove(network, mesh, "digits" if network in (CNN, NORMED) else None, schedule=schedule)
    row = {
        "network": network,
        "mesh": mesh,
        "schedule": proof.schedule,
        "processes": proof.legs[0].processes,
        "then": [leg.mesh for leg in proof.legs[1:]],
        "largest_difference": max(leg.largest for leg in proof.legs),
        "holds": proof.holds,
        "running": [*proof.legs[0].running],
        "seconds": round(time.perf_counter() - start, 1),
    }
    print(row, file=sys.stderr, flush=True)
    return row


if __name__ == "__main__":
    sys.exit(main())
