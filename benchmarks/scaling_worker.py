"""One process of a measurement of `scaling.py`, which torchrun starts: steps with and without talking, and messages.

python -m torch.distributed.run --nproc-per-node 2 benchmarks/scaling_worker.py mlp dp row.json 30
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn, optim
from torch.nn import functional

from chipwise.training.parallel.grid import let_go, make_grid
from chipwise.training.parallel.mesh import parse_mesh
from chipwise.training.parallel.strategy import Method, Strategy, build_strategy
from chipwise.training.parallel.traffic import Listening
from scaled_networks import BATCH, NETWORKS, samples

WARM = 3


def main(network: str, kind: str, file: str, steps: int) -> None:
    """Time steps with and without talking, and the exchange; the first process writes the row."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    row = measured(network, kind, steps)
    if dist.get_rank() == 0:
        Path(file).write_text(json.dumps(row))
    let_go()
    dist.destroy_process_group()


def measured(network: str, kind: str, steps: int) -> dict[str, Any]:
    """What the processes take together, and alone."""
    world, rank = dist.get_world_size(), dist.get_rank()
    torch.manual_seed(0)
    module = NETWORKS[network]()
    torch.manual_seed(rank)
    inputs, labels = samples(network, BATCH // world)
    quarter = len(labels) // 4
    weight_bytes = sum(value.nbytes for value in module.parameters())
    alone = strategy_of(NETWORKS[network](), "1", inputs)
    together = strategy_of(module, f"{kind}{world}", inputs)
    traffic = Listening()
    with traffic:
        step(together, inputs, labels)
    talking = timed(lambda: step(together, inputs, labels), steps)
    silent = timed(lambda: step(alone, inputs, labels), steps)
    return {
        "network": network,
        "kind": kind,
        "processes": world,
        "servers": 0,
        "weight_bytes": weight_bytes,
        "steps_per_s": 1 / talking,
        "step_s": talking,
        "compute_s": silent,
        "compute_quarter_s": timed(lambda: step(alone, inputs[:quarter], labels[:quarter]), steps),
        "communication_share": max(1 - silent / talking, 0.0),
        "sent": {each.kind: each.sent_bytes for each in traffic.heard},
        **exchanged(weight_bytes, steps),
    }


def strategy_of(module: nn.Module, mesh: str, inputs: Tensor) -> Strategy:
    """The network as it is trained with SGD on a mesh."""
    parsed = parse_mesh(mesh)
    method = Method(
        lambda given, wanted: (functional.cross_entropy(given, wanted),) * 2,
        optim.SGD,
        lambda part: ([*part.parameters()], {"lr": 1e-3, "foreach": False}),
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
    """What an all-reduce of so many bytes takes; and one message of them, and of next to nothing."""
    values = torch.zeros(size // 4)
    took = timed(lambda: dist.all_reduce(values), times)
    if dist.get_world_size() == 1:
        return {"exchange_s": took, "message_s": None, "empty_message_s": None}
    return {
        "exchange_s": took,
        "message_s": timed(lambda: message(values), times),
        "empty_message_s": timed(lambda: message(values[:1]), times),
    }


def message(values: Tensor) -> None:
    """From the first process to the second."""
    if dist.get_rank() == 0:
        dist.send(values, 1)
    elif dist.get_rank() == 1:
        dist.recv(values, 0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
