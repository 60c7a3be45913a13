"""What trained weights are worth when there are few pictures: the same network with them and from scratch, paired.

    python benchmarks/transfer_learning.py --mnist idx:DIR --cifar folder:DIR --weights resnet20-12fca82f.th

Three tasks, each with new pictures, order and fresh weights for every seed:

- "digits 5-9": convnet-small learns MNIST's digits 0 to 4 (all training pictures), then gets 20 pictures each of the
  digits 5 to 9, which it has never seen; tested on 3,000 of MNIST's test pictures of these.
- "digits in colour": ResNet-20, trained on CIFAR-10 by others, gets 500 of MNIST's training pictures (50 a class) as
  32x32 RGB; tested on 3,000 of MNIST's test pictures. Photographs say little about digits: this one is reported
  whichever way it comes out.
- "photographs": the same ResNet-20 gets 500 of CIFAR-10's test pictures as JPEG (50 a class) and a fresh head; tested
  on 3,000 of the other test pictures. The task is the one that its weights were made for (on other, uncompressed ones):
  this is what a good backbone gives at best, not what it gives for another task.

Both arms get the same pictures, epochs, augmentation, batch size, seed and optimizer. Transfer: `chipwise.train` with
weights=..., freeze="backbone" and everything else as it is by default (a third of the epochs for the new head, then
all, the backbone at a tenth of the rate). From scratch: all from the start, with every learning rate of `RATES`; the
one that is best on the test pictures stands for it, which favours it. A tenth of the given pictures chooses the epoch,
in both arms.

The last line on stdout is one JSON document; progress goes to stderr. Exit code 1 when the interval of the paired
difference touches zero in a task whose pictures are like those that the weights come from: the first and the third.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import chipwise
from chipwise import datasets
from chipwise.core.network import Network
from chipwise.datasets.dataset import Dataset, make
from chipwise.devices.detect import detect
from chipwise.networks.load import load
from document import command_line, give, here

RATES = (3e-3, 1e-2)
TRANSFER_RATE = 3e-3
MOST_TESTED = 3000
# Two-sided 95% quantiles of Student's t, by degrees of freedom (any table; NIST/SEMATECH e-Handbook 1.3.6.7.2).
T95 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}


@dataclass(frozen=True)
class Task:
    """One comparison.

    Attributes:
        network: with trained weights; its labels are none of the data's, so that the head begins anew.
        pool: where training pictures are drawn from, `each` of every class.
        test: what both arms are tested on; None for the rest of the pool.
        settings: of both arms.
        related: its pictures are like those that the weights come from.
    """

    name: str
    network: Network
    pool: Dataset
    each: int
    test: Dataset | None
    settings: dict[str, Any]
    related: bool = True


def main() -> int:
    """Measure, print progress on stderr and the result on stdout; 0 when transfer is better in every task."""
    options = parse()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        tasks = chosen_tasks(options, Path(folder))
        rows = [measured(task, options.seeds, Path(folder), options.threads) for task in tasks]
    document = {
        "tasks": rows,
        "rates_from_scratch": RATES,
        "rate_of_transfer": TRANSFER_RATE,
        "seconds": round(time.monotonic() - started, 1),
        **here(),
    }
    give("transfer_learning", document, options.output)
    return 0 if all(row["significant"] for row in rows if row["related"]) else 1


def parse() -> argparse.Namespace:
    """The command line."""
    parser = command_line(__doc__)
    parser.add_argument("--mnist", default="mnist", help='"mnist" (downloaded once) or "idx:DIR"')
    parser.add_argument("--cifar", help="folder:DIR with CIFAR-10's test pictures in class folders")
    parser.add_argument("--weights", type=Path, help="trained weights of resnet20 on CIFAR-10")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=detect().cores, help="default: the cores this process may use")
    parser.add_argument("--only", type=int, nargs="+", choices=(1, 2, 3), help="numbers of tasks")
    parser.add_argument("--quick", action="store_true", help="the first task alone, on built-in digits, in seconds")
    return parser.parse_args()


def chosen_tasks(options: argparse.Namespace, folder: Path) -> list[Task]:
    """Load what the tasks need; those whose data were not named are left out, and said so."""
    quick = options.quick
    mnist = datasets.load("digits" if quick else options.mnist)
    train, test = mnist.split().train, mnist.split().test
    if not quick:
        train = part(mnist, np.arange(len(mnist) - mnist.test_count))
    wanted = options.only or ([1] if quick else [1, 2, 3])
    tasks = [digits_task(train, test, folder, options.threads, quick=quick)] if 1 in wanted else []
    if options.weights is not None and not quick:
        network = load("resnet20", weights=options.weights)
        network = replace(network, task=replace(network.task, labels=("of somebody else's data",) * 10))
        settings = {"epochs": 25, "batch_size": 32, "channels_last": True}
        if 2 in wanted:
            tasks.append(Task("digits in colour", network, train, 50, test, settings, related=False))
        if 3 in wanted and options.cifar is not None:
            tasks.append(Task("photographs", network, datasets.load(options.cifar), 50, None, settings))
    if len(tasks) < len(wanted):
        print("without --weights and --cifar, tasks are left out", file=sys.stderr)
    return tasks


def digits_task(train: Dataset, test: Dataset, folder: Path, threads: int, *, quick: bool) -> Task:
    """Learn the digits 0 to 4, and set the task of learning 5 to 9."""
    low = part(train, np.flatnonzero(train.labels < 5), range(5))
    before = chipwise.train("convnet-small", low, folder=folder / "low", epochs=3 if quick else 2, threads=threads)
    print(f"digits 0-4: validation {before.history[-1].val_accuracy:.2%}", file=sys.stderr)
    high = [part(each, np.flatnonzero(each.labels >= 5), range(5, 10)) for each in (train, test)]
    settings: dict[str, Any] = {"epochs": 4 if quick else 60, "batch_size": 16}
    return Task("digits 5-9", load(str(folder / "low")), high[0], 20, high[1], settings)


def part(data: Dataset, rows: NDArray[np.int64], classes: Sequence[int] | None = None) -> Dataset:
    """Some rows of a data set, with only some of its classes."""
    first = classes[0] if classes else 0
    names = [data.class_names[number] for number in classes or range(data.classes)]
    return make(data.name, data.arrays[rows], data.labels[rows] - first, names)


def drawn(task: Task, seed: int) -> Dataset:
    """The pictures to learn from, and behind them those to be tested on, which the data set calls its test part."""
    order = np.random.default_rng(seed).permutation(len(task.pool))
    groups = [order[task.pool.labels[order] == label][: task.each] for label in range(task.pool.classes)]
    rows = np.sort(np.concatenate(groups))
    rest = np.setdiff1d(np.arange(len(task.pool)), rows)
    inputs, labels = (task.pool.inputs[rest], task.pool.labels[rest])
    if task.test is not None:
        inputs, labels = task.test.inputs, task.test.labels
    few = np.random.default_rng(seed).permutation(len(labels))[:MOST_TESTED]
    inputs, labels = inputs[few], labels[few]
    both = (np.concatenate([task.pool.inputs[rows], inputs]), np.concatenate([task.pool.labels[rows], labels]))
    return make(f"{task.name}, seed {seed}", *both, task.pool.class_names, test_count=len(labels))


def measured(task: Task, seeds: int, folder: Path, threads: int) -> dict[str, object]:
    """Both arms on every seed, and the paired difference with its 95% interval."""
    assert task.network.source is not None
    bare = replace(task.network, source=replace(task.network.source, weights=None), digest="")
    with_weights: list[float] = []
    scratch: dict[float, list[float]] = {rate: [] for rate in RATES}
    for seed in range(seeds):
        data = drawn(task, seed)
        usual = {**task.settings, "seed": seed, "threads": threads, "label_smoothing": 0.0, "weight_decay": 0.01}
        place = folder / f"{task.name}-{seed}"
        rates = {"learning_rate": TRANSFER_RATE, "freeze": "backbone"}
        with_weights.append(accuracy(task.network, data, place / "with", usual | rates))
        for rate, known in scratch.items():
            known.append(accuracy(bare, data, place / f"{rate}", usual | {"learning_rate": rate}))
        told = ", ".join(f"from scratch at {rate:g} {known[-1]:.2%}" for rate, known in scratch.items())
        print(f"{task.name}, seed {seed}: transfer {with_weights[-1]:.2%}, {told}", file=sys.stderr, flush=True)
    best = max(scratch, key=lambda rate: statistics.mean(scratch[rate]))
    differences = [one - other for one, other in zip(with_weights, scratch[best], strict=True)]
    low, high = interval(differences)
    example = drawn(task, 0)
    return {
        "task": task.name,
        "network": task.network.name,
        "pictures": len(example) - example.test_count,
        "classes": example.classes,
        "test_pictures": example.test_count,
        "related": task.related,
        "settings": task.settings,
        "transfer": with_weights,
        "from_scratch": {f"{rate:g}": known for rate, known in scratch.items()},
        "mean_transfer": statistics.mean(with_weights),
        "mean_from_scratch": statistics.mean(scratch[best]),
        "mean_difference": statistics.mean(differences),
        "interval_95": (low, high),
        "significant": low > 0,
    }


def accuracy(network: Network, data: Dataset, folder: Path, settings: dict[str, Any]) -> float:
    """Train once; the share of test pictures that are right."""
    result = chipwise.train(network, data, folder=folder, **settings)
    assert result.test is not None
    return result.test.value


def interval(values: Sequence[float]) -> tuple[float, float]:
    """95% interval of the mean of paired differences, by Student's t."""
    mean = statistics.mean(values)
    half = T95[len(values) - 1] * statistics.stdev(values) / math.sqrt(len(values))
    return mean - half, mean + half


if __name__ == "__main__":
    sys.exit(main())
