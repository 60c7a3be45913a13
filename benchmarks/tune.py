"""What tuning the recipe gains in training, beside the plain fp32 loop and the checklist that people are handed.

    python benchmarks/tune.py --shared ../shared/data --rows tune.rows --output results/tune.json

Networks on MNIST (idx files) and on JPEG files of CIFAR-10, each in its usual batch size:

    plain      fp32, NCHW, not compiled: the loop that most people write
    checklist  bf16 autocast, channels_last and torch.compile, whatever they do here
    tuned      what `chipwise tune` keeps

Steps of all three take turns on the clock; a ratio is of samples a second, with its 95% interval. Then each trains as
many epochs on as many samples, once a seed, and is tested; `train_s` is the wall time of those steps with compiling,
for which torch finds what it wrote to disk before.
An accuracy is the mean over seeds; differences from the plain loop are seed by seed, with a 95% t-interval.

The last line on stdout is one JSON document. Exit code 1 when the geometric mean of the tuned speed-ups over the
convolutional networks is below 1.8, or a tuned network is worse than the plain one beyond the seeds' interval.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import chipwise
from chipwise.api.transfer import begun, network_to_train
from chipwise.clock.interleave import interleave
from chipwise.clock.statistics import speedup, summarize
from chipwise.core.events import silent
from chipwise.core.tuning import in_words
from chipwise.datasets import load
from chipwise.datasets.dataset import make
from chipwise.training.compiled import many_compiled
from chipwise.training.process import memory_kept, threads
from chipwise.training.settings import Settings, resolve
from chipwise.training.train import train
from chipwise.training.tuning.steps import Stand, timed_step
from chipwise.training.tuning.steps import begun as first_step
from chipwise.views.terminal import TerminalProgress
from cifar_pictures import cifar_to_train
from document import command_line, give, here, remembered

if TYPE_CHECKING:
    import argparse

    from chipwise.core.events import Progress
    from chipwise.datasets.dataset import Dataset

WANTED = 1.8
PLAIN, CHECKLIST, TUNED = "plain", "checklist", "tuned"
LIST: dict[str, Any] = {"precision": "bf16", "channels_last": True, "compiled": True}
_SCALED = "mean=0.5,std=0.25"
# Two-sided 95% quantiles of Student's t with n - 1 degrees of freedom, by n.
_T = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}


@dataclass(frozen=True)
class Case:
    """A network, its data ("mnist" or "cifar"), and whether it has convolutions."""

    network: str
    data: str
    convolutional: bool = True
    preprocess: str | None = None
    input_shape: tuple[int, ...] | None = None


CASES = {
    "lenet5-caffe": Case("lenet5-caffe", "mnist"),
    "convnet-small": Case("convnet-small", "mnist"),
    "mlp-4096": Case("mlp-4096", "mnist", convolutional=False),
    "resnet20": Case("resnet20", "cifar"),
    "small-vgg": Case("small_vgg:small_vgg", "cifar", preprocess=_SCALED, input_shape=(3, 32, 32)),
}


def main() -> int:
    """Tune, time and train; 0 when what is wanted is reached."""
    options = parse()
    with TerminalProgress() as progress:
        rows = [remembered(options.rows, name, partial(measured, name, options, progress)) for name in options.networks]
    gains = [row["speed"][TUNED]["ratio"]["mid"] for row in rows if row["convolutional"]]
    gain = statistics.geometric_mean(gains) if gains else None
    worse = [row["network"] for row in rows if row["accuracy"] and row["accuracy"][TUNED]["difference_high"] < 0]
    document = {
        **here(),
        "samples": options.samples,
        "epochs": options.epochs,
        "seeds": options.seeds,
        "tuning_s": options.tuning,
        "networks": rows,
        "geometric_mean_convolutional": gain,
        "worse": worse,
        "ok": gain is not None and gain >= WANTED and not worse,
    }
    give("tune", document, options.output)
    return 0 if document["ok"] else 1


def parse() -> argparse.Namespace:
    """The command line."""
    parser = command_line(__doc__)
    parser.add_argument("--shared", type=Path, help="folder of the reference data; without it, digits for all of MNIST")
    parser.add_argument("--networks", nargs="+", choices=sorted(CASES), default=list(CASES))
    parser.add_argument("--rows", type=Path, help="keeps what is done, for an interrupted run to go on")
    parser.add_argument("--samples", type=int, default=10_000, help="of the training set; fewer make it quicker")
    parser.add_argument("--epochs", type=int, default=4, help="that each way trains")
    parser.add_argument("--seeds", type=int, default=5, choices=range(11))
    parser.add_argument("--tuning", type=float, default=240.0, help="seconds to tune each")
    parser.add_argument("--timing", type=float, default=60.0, help="seconds to time each")
    parser.add_argument("--threads", type=int, help="default: tuned, from the cores this process may use")
    return parser.parse_args()


def measured(name: str, options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """The row of one network."""
    case = CASES[name]
    data = data_of(case, options)
    given: dict[str, Any] = {} if options.threads is None else {"threads": options.threads}
    how: dict[str, Any] = {"preprocess": case.preprocess, "input_shape": case.input_shape}
    found = chipwise.tune(
        case.network, data, budget_s=options.tuning, epochs=options.epochs, progress=progress, **how, **given
    )
    usual: dict[str, Any] = found.settings
    changed: dict[str, Any] = found.changes
    plain = Settings(**usual)
    ways = {PLAIN: plain, CHECKLIST: replace(plain, **LIST), TUNED: replace(plain, **changed)}
    return {
        "network": name,
        "convolutional": case.convolutional,
        "data": data.name,
        "batch_size": found.batch_size,
        "tuned": in_words(found.changes),
        "changes": found.changes,
        "tuning": {"seconds": found.seconds, "speedup": None if found.speedup is None else asdict(found.speedup),
                   "rows": [asdict(row) for row in found.rows], "batches": [asdict(row) for row in found.batches],
                   "bound": None if found.bound is None else asdict(found.bound), "notes": found.notes},
        "speed": speeds(case, data, ways, options.timing, progress),
        "accuracy": accuracies(case, data, ways, options.seeds, progress),
    }  # fmt: skip


def data_of(case: Case, options: argparse.Namespace) -> Dataset:
    """The data, with so many samples to train on and the whole test set."""
    if options.shared is None:
        if case.data == "cifar":
            raise SystemExit("pictures of CIFAR-10 need --shared")
        return load("digits")
    whole = load(f"idx:{options.shared / 'mnist'}") if case.data == "mnist" else cifar_to_train(options.shared)
    tested = len(whole) - whole.test_count
    rows = np.random.default_rng(0).permutation(tested)[: options.samples]
    rows = np.concatenate([np.sort(rows), np.arange(tested, len(whole))])
    return make(whole.name, whole.arrays[rows], whole.labels[rows], whole.class_names, test_count=whole.test_count)


def speeds(
    case: Case, data: Dataset, ways: dict[str, Settings], budget_s: float, progress: Progress
) -> dict[str, dict[str, Any]]:
    """Steps of all ways in turns: medians, and samples a second over those of the plain loop."""
    loaded = network_to_train(case.network, None, case.input_shape, case.preprocess)
    start = begun(loaded, data, 0, silent)
    splits = data.split(seed=0)
    stand = Stand(start.module, start.network, splits)
    calls, compile_s, failed = {}, {}, {}
    torch.compiler.reset()
    with threads(None), memory_kept(), many_compiled():
        for name, way in ways.items():
            resolved = resolve(way, samples=len(splits.train), pictures=data.pictures)
            call, seconds, reason = first_step(partial(timed_step, stand, resolved))
            if call is None:
                failed[name] = reason
            else:
                calls[name], compile_s[name] = call, round(seconds, 2)
        samples = interleave(calls, budget_s=budget_s, min_rounds=9, progress=progress)
    rows: dict[str, dict[str, Any]] = {name: {"failed": reason} for name, reason in failed.items()}
    for name, values in samples.items():
        per_sample = values / ways[name].batch_size
        ratio = speedup(per_sample, samples[PLAIN] / ways[PLAIN].batch_size)
        rows[name] = {"step": asdict(summarize(values)), "ratio": asdict(ratio), "first_step_s": compile_s[name]}
    return rows


def accuracies(
    case: Case, data: Dataset, ways: dict[str, Settings], seeds: int, progress: Progress
) -> dict[str, dict[str, Any]]:
    """Test accuracy of every way after as many epochs, seed by seed; nothing where there are no seeds."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for seed in range(seeds):
        for place, (name, way) in enumerate(ways.items()):
            progress.update("training", (seed * len(ways) + place) / (seeds * len(ways)), f"{name}, seed {seed}")
            right, seconds = trained(case, data, replace(way, seed=seed))
            found[name].append(right)
            spent[name].append(round(seconds, 3))
    if not seeds:
        return {}
    progress.update("training", 1.0)
    return {
        name: {"accuracy": statistics.mean(right), "seeds": right, "train_s": spent[name], **difference(right, found)}
        for name, right in found.items()
    }


def trained(case: Case, data: Dataset, settings: Settings) -> tuple[float, float]:
    """Accuracy on the test split, and seconds of all training steps."""
    loaded = network_to_train(case.network, None, case.input_shape, case.preprocess)
    start = begun(loaded, data, settings.seed, silent)
    torch.compiler.reset()
    with tempfile.TemporaryDirectory() as folder, many_compiled():
        result = train(start.module, start.network, data, settings, Path(folder))
    assert result.test is not None
    return result.test.value, result.seconds


def difference(right: list[float], found: dict[str, list[float]]) -> dict[str, float]:
    """Mean difference from the plain loop over seeds, and its 95% t-interval; unbounded for one seed."""
    apart = [ours - theirs for ours, theirs in zip(right, found[PLAIN], strict=True)]
    mean = statistics.mean(apart)
    half = _T[len(apart)] * statistics.stdev(apart) / len(apart) ** 0.5 if len(apart) > 1 else 1.0
    return {"difference": mean, "difference_low": mean - half, "difference_high": mean + half}


if __name__ == "__main__":
    sys.exit(main())
