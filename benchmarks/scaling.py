"""Training in 1, 2 and 4 processes: steps a second, how much of a step is talking, what exchanging weights costs.

    python benchmarks/scaling.py --output benchmarks/results/scaling.json --picture docs/images/scaling.svg

A CNN and an MLP, by copies (dp) and by parts of weights (fsdp), the batch of all processes the same (strong scaling), a
thread a process. Three questions, each measured beside what arithmetic says:

* Speed: steps a second over those of one process; the cores of the machine are as much as can be had.
* Communication: the same processes learn the same shares once more, all at the same time, without a word to each
  other; what a step takes beyond that is talking and waiting, and what wrappers cost by themselves, which the row of
  one process shows. Bytes are those that torch's collectives are given.
* Exchange: an all-reduce of as many bytes as the gradients have. A ring moves 2 (n-1)/n of them through each process
  (Patarasuk & Yuan 2009); the rate is that of one message of that size between two processes.

The last line on stdout is one JSON document; progress goes to stderr. With "--worker" it is one of the processes, which
`torchrun` starts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.distributed as dist
from matplotlib.figure import Figure
from torch import Tensor, nn, optim
from torch.nn import functional

from chipwise.devices.detect import detect
from chipwise.training.parallel.grid import make_grid
from chipwise.training.parallel.mesh import parse_mesh
from chipwise.training.parallel.strategy import Method, Strategy, build_strategy
from chipwise.training.parallel.traffic import Listening
from chipwise.views.ink import Palette, as_file, quiet_axes
from document import command_line, give, here

BATCH, CLASSES, WARM = 64, 10, 3
WORLDS = (1, 2, 4)
KINDS = ("dp", "fsdp")


def cnn() -> tuple[nn.Module, tuple[int, ...]]:
    """Few weights, much arithmetic: four convolutions, and the shape of an input."""
    widths = (3, 32, 64, 64, 128)
    layers: list[nn.Module] = []
    for given, made in pairwise(widths):
        layers += [nn.Conv2d(given, made, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, CLASSES)), (3, 32, 32)


def mlp() -> tuple[nn.Module, tuple[int, ...]]:
    """Many weights, little arithmetic: 3.7 million of them, and the shape of an input."""
    layers = (nn.Linear(784, 1536), nn.ReLU(), nn.Linear(1536, 1536), nn.ReLU(), nn.Linear(1536, CLASSES))
    return nn.Sequential(*layers), (784,)


NETWORKS = {"cnn": cnn, "mlp": mlp}


def main() -> int:
    """Measure all, or be one process of a measurement."""
    parser = command_line(__doc__)
    parser.add_argument("--picture", type=Path, help="draw the speed-up here (.png, .svg)")
    parser.add_argument("--steps", type=int, default=30, help="timed steps of each kind")
    parser.add_argument("--worlds", type=int, nargs="+", default=WORLDS, help="numbers of processes")
    parser.add_argument("--worker", nargs=3, metavar=("NETWORK", "KIND", "FILE"), help="for torchrun")
    options = parser.parse_args()
    if options.worker:
        work(*options.worker, steps=options.steps)
        return 0
    rows = []
    for network in NETWORKS:
        for kind in KINDS:
            for world in options.worlds:
                rows.append(measured(network, kind, world, options.steps))
                print(rows[-1], file=sys.stderr, flush=True)
    rows = [row | {"speed_up": speed_up(rows, row)} for row in rows]
    if options.picture:
        options.picture.parent.mkdir(parents=True, exist_ok=True)
        options.picture.write_bytes(picture(rows, options.picture.suffix))
    note = f"one thread a process, {detect().cores} cores: more processes than cores share them"
    give("scaling", {**here(), "batch": BATCH, "note": note, "rows": rows}, options.output)
    return 0


def measured(network: str, kind: str, world: int, steps: int) -> dict[str, Any]:
    """One row, from processes that torchrun starts."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "row.json"
        run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(world)]
        subprocess.run(
            [*run, __file__, "--steps", str(steps), "--worker", network, kind, str(file)],
            check=True,
            stdout=subprocess.DEVNULL,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        return dict(json.loads(file.read_text()))


def speed_up(rows: list[dict[str, Any]], row: dict[str, Any]) -> float | None:
    """Steps a second over those of one process; None where that was not measured."""
    same = (each for each in rows if (each["network"], each["kind"]) == (row["network"], row["kind"]))
    one = next((each for each in same if each["processes"] == 1), None)
    return None if one is None else round(row["steps_per_s"] / one["steps_per_s"], 3)


def work(network: str, kind: str, file: str, *, steps: int) -> None:
    """Be one process: time steps with and without talking, and the exchange; the first writes the row."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    world, rank = dist.get_world_size(), dist.get_rank()
    torch.manual_seed(0)
    module, shape = NETWORKS[network]()
    torch.manual_seed(rank)
    inputs = torch.randn(BATCH // world, *shape)
    labels = torch.randint(0, CLASSES, (BATCH // world,))
    weight_bytes = sum(value.nbytes for value in module.parameters())
    alone = strategy_of(NETWORKS[network]()[0], "1", inputs)
    together = strategy_of(module, f"{kind}{world}", inputs)
    traffic = Listening()
    with traffic:
        step(together, inputs, labels)
    talking = timed(lambda: step(together, inputs, labels), steps)
    silent = timed(lambda: step(alone, inputs, labels), steps)
    row = {
        "network": network,
        "kind": kind,
        "processes": world,
        "weight_bytes": weight_bytes,
        "steps_per_s": 1 / talking,
        "step_s": talking,
        "step_alone_s": silent,
        "communication_share": max(1 - silent / talking, 0.0),
        "sent": {each.kind: each.sent_bytes for each in traffic.heard},
        **exchanged(weight_bytes, steps),
    }
    if rank == 0:
        Path(file).write_text(json.dumps(row))
    dist.destroy_process_group()


def strategy_of(module: nn.Module, mesh: str, inputs: Tensor) -> Strategy:
    """The network as it is trained with AdamW on a mesh."""
    parsed = parse_mesh(mesh)
    method = Method(
        lambda given, wanted: (functional.cross_entropy(given, wanted),) * 2,
        optim.AdamW,
        lambda part: ([*part.parameters()], {"lr": 1e-4, "foreach": False}),
    )
    grid = make_grid(parsed) if parsed.sizes else None
    return build_strategy(module, parsed, method, grid, inputs)


def step(strategy: Strategy, inputs: Tensor, labels: Tensor) -> None:
    """Learn a batch."""
    strategy.optimizers[0].zero_grad(set_to_none=True)
    strategy.learn(inputs, labels)
    strategy.optimizers[0].step()


def timed(act: Callable[[], object], times: int) -> float:
    """Median seconds, of the slowest process each time: all begin together."""
    found = []
    for number in range(WARM + times):
        dist.barrier()
        start = time.perf_counter()
        act()
        spent = torch.tensor(time.perf_counter() - start, dtype=torch.float64)
        dist.all_reduce(spent, dist.ReduceOp.MAX)
        found.append(float(spent) if number >= WARM else 0.0)
    return median(found[WARM:])


def exchanged(size: int, times: int) -> dict[str, Any]:
    """What an all-reduce of so many bytes takes, and what a ring would at the rate of one message."""
    world, rank = dist.get_world_size(), dist.get_rank()
    values = torch.zeros(size // 4)
    took = timed(lambda: dist.all_reduce(values), times)
    if world == 1:
        return {"exchange_s": took, "exchange_bytes": 0, "message_bytes_per_s": None, "exchange_predicted_s": None}

    def message() -> None:
        if rank == 0:
            dist.send(values, 1)
        elif rank == 1:
            dist.recv(values, 0)

    rate = size / timed(message, times)
    through = 2 * (world - 1) / world * size
    return {
        "exchange_s": took,
        "exchange_bytes": through,
        "message_bytes_per_s": rate,
        "exchange_predicted_s": through / rate,
    }


def picture(rows: list[dict[str, Any]], suffix: str) -> bytes:
    """Speed-up and share of communication against the number of processes."""

    def draw(figure: Figure, palette: Palette) -> None:
        colours = {"cnn": palette.accent, "mlp": palette.peer}
        worlds = sorted({row["processes"] for row in rows})
        panels = (
            ("speed_up", "Speed-up over one process"),
            ("communication_share", "Share of a step beyond the same without a word"),
        )
        for axes, (name, title) in zip(figure.subplots(1, 2), panels, strict=True):
            quiet_axes(axes, palette)
            for network in NETWORKS:
                for kind in KINDS:
                    own = [row for row in rows if (row["network"], row["kind"]) == (network, kind)]
                    places, values = [row["processes"] for row in own], [row[name] for row in own]
                    dash = "-" if kind == "dp" else "--"
                    axes.plot(places, values, dash, marker="o", color=colours[network], label=f"{network}, {kind}")
            if name == "speed_up":
                axes.plot(worlds, worlds, ":", color=palette.muted, label="linear")
            axes.set_xticks(worlds)
            axes.set_ylim(bottom=0)
            axes.set_title(title, fontsize=9, color=palette.ink, loc="left")
            axes.set_xlabel("processes", fontsize=8, color=palette.muted)
            axes.legend(fontsize=7, frameon=False, labelcolor=palette.muted)

    return as_file(draw, (9.4, 3.2), suffix, "scaling", "Speed-up and communication against the number of processes")


if __name__ == "__main__":
    sys.exit(main())
