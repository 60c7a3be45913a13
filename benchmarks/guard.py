"""Whether a plan ever ships with a larger drop of accuracy than was allowed, on samples that had no say.

    python benchmarks/guard.py                                       # ten networks, on the built-in digits
    python benchmarks/guard.py --shared --epochs 1                   # on MNIST from ../shared: 10,000 test samples

Each network of the zoo is trained for a few epochs with a seed of its own and compiled with data for the smallest
plan, so that what stands between an int8 graph and the plan is the guard alone; then `chipwise.check` compares it with
its source on the test split. Some are made fragile first: one channel between two layers is made 1,000 times as large
and read with weights 1,000 times as small, which is the same function in float and ruins int8.

`exceeds` says that the drop that was counted on the test samples is above the limit; `upper` is the one-sided 95%
bound of the true one, which few samples leave wide. The last line on stdout is one JSON document; progress goes to
stderr. Exit code 1 when a plan exceeds the limit.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

import chipwise
from chipwise.core.plan import Manifest
from chipwise.views.terminal import TerminalProgress
from document import command_line, give, here

MNIST = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist"
FACTOR = 1000.0
# What is scaled between two layers: weight and bias before, weight behind.
BETWEEN = {
    "lenet5-caffe": ("0.weight", "0.bias", "2.weight"),
    "lenet5-keras": ("0.weight", "0.bias", "3.weight"),
    "lenet-300-100": ("0.weight", "0.bias", "2.weight"),
    "convnet-small": ("6.weight", "6.bias", "8.weight"),
}


@dataclass(frozen=True)
class Subject:
    """A network of the zoo, the seed of its training, and whether it is made fragile."""

    network: str
    seed: int
    fragile: bool = False


SUBJECTS = (
    Subject("lenet5", 0),
    Subject("lenet5-caffe", 1),
    Subject("lenet5-caffe", 2, fragile=True),
    Subject("lenet5-keras", 3),
    Subject("lenet5-keras", 4, fragile=True),
    Subject("lenet-300-100", 5),
    Subject("lenet-300-100", 6, fragile=True),
    Subject("convnet-small", 7),
    Subject("convnet-small", 8, fragile=True),
    Subject("mlp-4096", 9),
)


def main() -> int:
    """Measure; 0 when no plan exceeds the limit on the test samples."""
    options = parse()
    data = f"idx:{MNIST}" if options.shared else "digits"
    rows = []
    with tempfile.TemporaryDirectory() as folder, TerminalProgress() as progress:
        for number, subject in enumerate(SUBJECTS):
            rows.append(measure(subject, data, Path(folder) / str(number), options, progress))
            print(json.dumps(rows[-1]), file=sys.stderr)
    document = {
        **here(),
        "data": "MNIST" if options.shared else data,
        "epochs": options.epochs,
        "goal": options.goal,
        "limit": options.max_drop,
        "results": rows,
        "exceeded": sum(bool(row["exceeds"]) for row in rows),
        "ok": not any(row["exceeds"] for row in rows),
    }
    give("guard", document, options.output)
    return 0 if document["ok"] else 1


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = command_line(__doc__)
    parser.add_argument("--shared", action="store_true", help="MNIST from ../shared/data/mnist in the place of digits")
    parser.add_argument("--epochs", type=int, default=8, help="of training")
    parser.add_argument("--goal", default="size", help="of the plans")
    parser.add_argument("--max-drop", type=float, default=0.01, help="that is allowed, 0..1")
    parser.add_argument("--budget", type=float, default=30.0, help="seconds of each search")
    return parser.parse_args()


def measure(
    subject: Subject, data: str, folder: Path, options: argparse.Namespace, progress: TerminalProgress
) -> dict[str, object]:
    """Train, make fragile where that is wanted, compile and check."""
    network = subject.network
    chipwise.train(network, data, folder=folder, epochs=options.epochs, seed=subject.seed, progress=progress)
    weights, output = folder / "weights.safetensors", folder / "x.plan"
    if subject.fragile:
        weights = scaled(weights, folder / "fragile.safetensors", BETWEEN[network])
    plan = chipwise.compile(
        network, weights=weights, data=data, output=output, goal=options.goal, max_drop=options.max_drop,
        budget_s=options.budget, seed=subject.seed, progress=progress,
    )  # fmt: skip
    drop = chipwise.check(output, data).drop
    return {
        "network": network,
        "seed": subject.seed,
        "fragile": subject.fragile,
        **shipped(plan.manifest),
        "test_samples": drop.source.count,
        "accuracy": [drop.source.value, drop.candidate.value],
        "lost": drop.lost,
        "won": drop.won,
        "drop": drop.drop,
        "upper": drop.upper,
        "exceeds": drop.drop > options.max_drop,
    }


def shipped(facts: Manifest) -> dict[str, object]:
    """What was chosen, what the guard said of it, and what it turned away."""
    chosen = next(each for each in facts.candidates if each.status == "chosen")
    guarded = chosen.accuracy
    return {
        "choice": facts.choice.title,
        "label": facts.label,
        "in_float": list(facts.choice.kept),
        "guard_upper": None if guarded is None else guarded.upper,
        "turned_away": [
            {"choice": each.choice.title, "drop": each.accuracy.drop, "upper": each.accuracy.upper}
            for each in facts.candidates
            if each.status == "rejected" and each.accuracy is not None
        ],
    }


def scaled(weights: Path, target: Path, names: tuple[str, str, str]) -> Path:
    """Write the weights with the channel that carries most made FACTOR times as large, and read so much smaller."""
    state = load_file(weights)
    before, bias, behind = (state[name] for name in names)
    rows = before.abs().reshape(len(before), -1).sum(1)
    carried = rows * behind.abs().transpose(0, 1).reshape(len(before), -1).sum(1)
    channel = int(torch.argmax(carried))
    before[channel] *= FACTOR
    bias[channel] *= FACTOR
    behind[:, channel] /= FACTOR
    save_file(state, target)
    return target


if __name__ == "__main__":
    sys.exit(main())
