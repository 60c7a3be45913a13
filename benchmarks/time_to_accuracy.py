"""How long this machine takes to learn MNIST to 99.0% on the test set.

    python benchmarks/time_to_accuracy.py --data idx:DIR            # or --data mnist, which downloads it

Trains the zoo's `convnet-small` with `chipwise.training`, once a seed, and the same network for as many epochs in a
plain fp32 loop, in turns. The time is that of the training steps alone: shuffling, batches, forward, backward, update.
Reading the data, validation, testing and writing files are not in it; nothing is compiled.

The schedule was chosen on the validation split (10% of the training images), never on test. Mean validation accuracy
over 4 seeds after 2 epochs: label smoothing 0: 99.07%, 0.05: 99.25%, 0.1: 99.24%; learning rate 0.02: 99.24%; 64
instead of 96 last maps: 99.25% against 99.26%; 3 epochs: 99.28%. Batch-norm after pooling, and no padding, halved the
time of a step at equal accuracy.

The last line on stdout is one JSON document; progress goes to stderr. Exit code 1 when a seed misses the target.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import nn

from chipwise import datasets
from chipwise.core.network import Network
from chipwise.datasets.dataset import Dataset
from chipwise.devices.detect import detect, versions
from chipwise.networks.load import load
from chipwise.networks.torch_source import build_module
from chipwise.training.feed import feed_of
from chipwise.training.process import threads
from chipwise.training.seeds import seeded
from chipwise.training.settings import Settings, as_json
from chipwise.training.train import train
from document import command_line, give

NETWORK = "convnet-small"
SCHEDULE = Settings(
    learning_rate=0.01,
    batch_size=128,
    epochs=2,
    weight_decay=0.05,
    label_smoothing=0.05,
    augment="none",
    channels_last=True,
)
EXCLUDES = "reading the data, validation, testing, writing files; nothing is compiled"
NATIVE_BF16 = {"amx_bf16", "avx512_bf16"}


def main() -> int:
    """Measure, print progress on stderr and the result on stdout; 0 when every seed reached the target."""
    options = parse()
    machine = detect()
    settings = replace(
        SCHEDULE,
        precision=options.precision or ("bf16" if NATIVE_BF16 & set(machine.isa) else "fp32"),
        threads=options.threads or machine.cores,
    )
    network, data = load(NETWORK), datasets.load(options.data)
    load_before = os.getloadavg()[0]
    rows = []
    for seed in range(options.seeds):
        rows.append(measured(network, data, replace(settings, seed=seed), options.target))
        if seed < options.peer_seeds:
            rows[-1]["plain_fp32_s"] = plain_loop(network, data, replace(settings, seed=seed))
        tell(rows[-1])
    seconds = [float(str(row["seconds"])) for row in rows]
    document = {
        "network": NETWORK,
        "data": options.data.split(":")[0],
        "target": options.target,
        "reached": sum(bool(row["reached"]) for row in rows),
        "seeds": rows,
        "median_s": statistics.median(seconds),
        "slowest_s": max(seconds),
        "plain_fp32_over_this": ratio(rows),
        "excludes": EXCLUDES,
        "settings": {name: value for name, value in as_json(settings).items() if name != "seed"},
        "machine": asdict(machine),
        "load_average_before": round(load_before, 2),
        "versions": versions(),
    }
    give("time_to_accuracy", document, options.output)
    return 0 if document["reached"] == len(rows) else 1


def parse() -> argparse.Namespace:
    """The command line."""
    parser = command_line(__doc__)
    parser.add_argument("--data", default="mnist", help='"mnist" (downloaded once) or "idx:DIR"')
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--target", type=float, default=0.99, help="test accuracy, 0..1")
    parser.add_argument("--threads", type=int, help="default: the cores this process may use")
    parser.add_argument("--precision", choices=("fp32", "bf16"), help="default: bf16 where the processor has it")
    parser.add_argument("--peer-seeds", type=int, default=2, help="seeds that the plain loop runs, too")
    return parser.parse_args()


def measured(network: Network, data: Dataset, settings: Settings, target: float) -> dict[str, object]:
    """Train once; seconds of the training steps, CPU seconds of the whole call, and the accuracies."""
    with seeded(settings.seed, "weights"):
        module = build_module(network.source) if network.source else nn.Identity()
    with tempfile.TemporaryDirectory() as folder:
        before = time.process_time()
        result = train(module, network, data, settings, Path(folder))
        cpu_s = time.process_time() - before
    assert result.test is not None
    return {
        "seed": settings.seed,
        "seconds": round(result.seconds, 3),
        "cpu_s_with_validation_and_test": round(cpu_s, 2),
        "validation_accuracy": round(result.history[result.best_epoch - 1].val_accuracy, 5),
        "test_accuracy": round(result.test.value, 5),
        "reached": result.test.value >= target,
    }


def plain_loop(network: Network, data: Dataset, settings: Settings) -> float:
    """Seconds of the same steps as most people write them: fp32, default memory layout, stock AdamW and OneCycleLR."""
    feed = feed_of(data.split().train, network, what="training")
    with seeded(settings.seed, "weights"):
        module = build_module(network.source) if network.source else nn.Identity()
    criterion = nn.CrossEntropyLoss(label_smoothing=settings.label_smoothing)
    optimizer = torch.optim.AdamW(module.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    epochs, steps = settings.epochs or 1, len(feed) // settings.batch_size
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, total_steps=epochs * steps)
    module.train()
    with threads(settings.threads), seeded(settings.seed):
        start = time.perf_counter()
        for _ in range(epochs):
            for rows in torch.split(torch.randperm(len(feed)), settings.batch_size)[:steps]:
                optimizer.zero_grad()
                criterion(module(feed.inputs[rows]), feed.labels[rows]).backward()
                optimizer.step()
                schedule.step()
        return round(time.perf_counter() - start, 3)


def ratio(rows: list[dict[str, object]]) -> float | None:
    """Median over seeds of the plain loop's time over ours; None when the plain loop did not run."""
    both = [float(str(row["plain_fp32_s"])) / float(str(row["seconds"])) for row in rows if "plain_fp32_s" in row]
    return round(statistics.median(both), 2) if both else None


def tell(row: dict[str, object]) -> None:
    """One line a seed on stderr."""
    print(
        f"seed {row['seed']}: {row['seconds']} s, test {row['test_accuracy']:.2%}, "
        f"validation {row['validation_accuracy']:.2%}, plain fp32 loop {row.get('plain_fp32_s', '-')} s",
        file=sys.stderr,
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
