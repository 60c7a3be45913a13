"""Whether networks trained in bf16 or fp16 answer as well as those trained in fp32: several seeds, answers in pairs.

    python benchmarks/mixed_precision.py --shared ../shared/data
    python benchmarks/mixed_precision.py --shared ../shared/data --half fp16 --networks lenet-300-100 --seeds 0 1

Each network is trained from the same weights, on the same pictures in the same order, once in fp32 and once in bf16,
or in fp16 with scaling of the loss (autocast: products in 2 bytes; weights, sums, optimizer in fp32). Both are then
run in fp32 on the test set. The drop is of all seeds' answers together, in pairs; the spread of the seeds' own
differences is given beside it, for what two runs differ by is mostly which way rounding sends them.

The last line on stdout is one JSON document. Exit code 1 when a network's mean accuracy in 2 bytes is more than 0.2
point lower.
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

import chipwise
from chipwise.datasets.by_name import load as load_data
from chipwise.tasks.metrics import upper_bound
from chipwise.views.terminal import TerminalProgress
from cifar_pictures import PREPROCESS, cifar_to_train
from document import command_line, give, here, remembered
from labelled import CIFAR
from taught import drops

if TYPE_CHECKING:
    import argparse

    from chipwise.core.events import Progress
    from chipwise.datasets.dataset import Dataset

MOST = 0.002  # of the test answers
# What each is trained on, and with which settings beside its usual ones. ResNet-20 begins with its published weights:
# from scratch, two runs of a few epochs differ in so many answers that nothing could be told.
CONTESTANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "lenet5-caffe": ("mnist", {"epochs": 4, "augment": "shift"}),
    "lenet-300-100": ("mnist", {"epochs": 8}),
    "convnet-small": ("mnist", {"epochs": 3}),
    "resnet20": (
        "cifar",
        {"epochs": 3, "augment": "shift,flip", "batch_size": 128, "preprocess": PREPROCESS["resnet20"]},
    ),
}


def main() -> int:
    """Train and compare; 0 when no network loses more than it may."""
    parser = command_line(__doc__)
    parser.add_argument("--shared", type=Path, required=True, help="folder of the reference data")
    parser.add_argument("--networks", nargs="+", choices=sorted(CONTESTANTS), default=sorted(CONTESTANTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--half", choices=("bf16", "fp16"), default="bf16", help="what is compared with fp32")
    parser.add_argument("--threads", type=int, help="of training; all cores where nothing is said")
    parser.add_argument("--rows", type=Path, help="file of rows, to go on where an interrupted run ended")
    options = parser.parse_args()
    networks = {}
    with TerminalProgress() as progress:
        for name in options.networks:
            rows = []
            for seed in options.seeds:
                made = partial(compared, name, seed, options, progress)
                rows.append(remembered(options.rows, f"{name} seed {seed}", made))
            networks[name] = {**summary(rows, options.half), "seeds": rows}
    ok = all(each["drop"] <= MOST for each in networks.values())
    give("mixed_precision", {**here(), "most": MOST, "networks": networks, "ok": ok}, options.output)
    return 0 if ok else 1


def compared(name: str, seed: int, options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """Train a network twice and judge both on the test set."""
    on, settings = CONTESTANTS[name]
    data, network = pictures(on, options.shared), str(options.shared / CIFAR[name][0]) if on == "cifar" else name
    with tempfile.TemporaryDirectory() as folder:
        paths, seconds = {}, {}
        for precision in ("fp32", options.half):
            run, paths[precision] = Path(folder) / precision, Path(folder) / f"{precision}.onnx"
            trained = chipwise.train(
                network, data, folder=run, seed=seed, precision=precision, channels_last=True, threads=options.threads,
                progress=progress, **settings,
            )  # fmt: skip
            chipwise.export(run, output=paths[precision])
            seconds[precision] = trained.seconds
        judged = drops(paths, data, settings.get("preprocess"), ("fp32",))
    return {
        "network": f"{name} seed {seed}",
        "seed": seed,
        "data": data.name,
        "test_samples": data.test_count,
        "accuracy": {precision: judged[precision]["accuracy"] for precision in paths},
        "train_s": seconds,
        **judged[options.half]["against"]["fp32"],
    }


def pictures(on: str, shared: Path) -> Dataset:
    """MNIST, or CIFAR-10 as JPEG files."""
    return cifar_to_train(shared) if on == "cifar" else load_data(f"idx:{shared / 'mnist'}")


def summary(rows: list[dict[str, Any]], half: str) -> dict[str, Any]:
    """Over all seeds: mean accuracies, the drop of all answers together, and how single seeds differ."""
    lost, won, count = (sum(row[name] for row in rows) for name in ("lost", "won", "test_samples"))
    each = [row["drop"] for row in rows]
    return {
        "mean_accuracy": {name: mean(row["accuracy"][name] for row in rows) for name in ("fp32", half)},
        "drop": (lost - won) / count,
        "drop_upper_95": upper_bound(lost, won, count),
        "drop_standard_error_over_seeds": stdev(each) / len(each) ** 0.5 if len(each) > 1 else None,
    }


if __name__ == "__main__":
    sys.exit(main())
