"""Training in 1, 2 and 4 processes: steps a second, what of a step goes into talking, and what exchanging weights costs.

    python benchmarks/scaling.py --output benchmarks/results/scaling.json --picture docs/images/scaling.svg

A CNN and an MLP, by copies (dp) and by parts of weights (fsdp), the batch of all processes the same (strong scaling), a
thread a process. Three questions, each measured beside what arithmetic says:

* Speed: a step in n processes over the same step in one; no more than the cores of the machine can give.
* Communication: the same processes learn the same shares once more, all at the same time, without a word to each
  other; what a step takes beyond that is talking and waiting. Bytes are those that torch's collectives are given.
* Exchange: an all-reduce of as many bytes as the gradients have. A ring moves 2 (n-1)/n of them through each process
  (Patarasuk & Yuan 2009), at the rate that two processes reach with one message of that size.

The last line on stdout is one JSON document; progress goes to stderr. With the arguments "--worker ..." it is one of the
processes, which `torchrun` starts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.distributed as dist
from matplotlib.figure import Figure
from torch import Tensor, nn, optim
from torch.nn import functional

from chipwise.core.errors import MachineError
from chipwise.devices.detect import detect
from chipwise.networks.zoo import mlp, resnet
from chipwise.training.parallel.grid import make_grid, share_of
from chipwise.training.parallel.mesh import parse_mesh
from chipwise.training.parallel.strategy import Method, build_strategy
from chipwise.training.parallel.traffic import Listening
from chipwise.views.ink import Palette, as_file, quiet_axes
from document import command_line, give, here

BATCH = 64
WORLDS = (1, 2, 4)
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {}


def main() -> int:
    """Measure all, or be one process of a measurement."""
    parser = command_line(__doc__)
    parser.add_argument("--picture", type=Path, help="draw the speed-up against the number of processes here (.png, .svg)")
    parser.add_argument("--steps", type=int, default=30, help="timed steps of each kind")
    parser.add_argument("--worlds", type=int, nargs="+", default=WORLDS, help="numbers of processes")
    parser.add_argument("--worker", nargs=3, metavar=("NETWORK", "KIND", "FILE"), help="one process: used by torchrun")
    options = parser.parse_args()
    if options.worker:
        worker(*options.worker, options.steps)
        return 0
    rows = []
    for network in NETWORKS:
        for kind in ("dp", "fsdp"):
            for world in options.worlds:
                rows.append(measured(network, kind, world, options.steps))
                print(rows[-1], file=sys.stderr, flush=True)
    rows = [row | {"speed_up": speed_up(rows, row)} for row in rows]
    if options.picture:
        options.picture.parent.mkdir(parents=True, exist_ok=True)
        options.picture.write_bytes(picture(rows, options.picture.suffix))
    note = f"a thread a process on {detect().cores} cores: more processes than cores share them"
    give("scaling", {**here(), "batch": BATCH, "note": note, "rows": rows}, options.output)
    return 0
