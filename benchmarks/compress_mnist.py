"""How small networks for MNIST become, in bytes of a file that runs, and what they lose: mean and worst of some seeds.

    python benchmarks/compress_mnist.py --data ../shared/data/mnist --target 200x
    python benchmarks/compress_mnist.py --data ../shared/data/mnist --network lenet-300-100 --target 60x
    python benchmarks/compress_mnist.py --data ../shared/data/mnist --classic       # prune, k-means and Huffman alone

For each seed a network is trained and compressed; 54,000 pictures are learned from, 6,000 choose, and the 10,000 test
pictures are looked at once, at the end. `--classic` is the recipe of Han, Mao and Dally (ICLR 2016) with nothing but
labels to learn from: 8% of the weights, codebooks of 5 bits, priced in Huffman codes with their positions.

Compressing trains, too. So `--longer 31` trains the source for as many epochs as its compression had, from the same
teacher (itself), on the same shifted pictures, and compares with that network as well.

Published: LeNet-5 39x and LeNet-300-100 40x by that recipe; LeNet-5 115x by DeepCABAC (2019).

The last line on stdout is one JSON document. Exit code 1 when a file is larger than was asked for.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import chipwise
from chipwise.api.settings import gentle_settings
from chipwise.api.shrinking import FINE
from chipwise.datasets.by_name import load as load_data
from chipwise.networks.load import load
from chipwise.tasks.metrics import upper_bound
from chipwise.views.terminal import TerminalProgress
from document import command_line, give, here, remembered
from taught import drops, taught

if TYPE_CHECKING:
    import argparse

    from chipwise.core.compression import Compression

CLASSIC: dict[str, Any] = {"density": 0.08, "bits": 5, "rounding": "codebook", "teacher_share": 0.0}


def main() -> int:
    """Measure; 0 when every file is as small as it was to be."""
    parser = command_line(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of MNIST's four files")
    parser.add_argument("--network", default="lenet5-caffe")
    parser.add_argument("--target", default="200x")
    parser.add_argument("--classic", action="store_true", help="the published three stages alone")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    parser.add_argument("--epochs", type=int, default=12, help="of the network's own training")
    parser.add_argument("--stage-epochs", type=int, default=12, help="of each stage")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"), help="of training")
    parser.add_argument("--channels-last", action="store_true", help="pictures in NHWC while training")
    parser.add_argument("--threads", type=int, help="of training; all cores where nothing is said")
    parser.add_argument("--longer", type=int, metavar="N", help="compare with the network after N more epochs as well")
    parser.add_argument("--folder", type=Path, help="where networks are kept for other targets; nowhere by default")
    parser.add_argument("--rows", type=Path, help="file of rows, to go on where an interrupted run ended")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder, TerminalProgress() as progress:
        for seed in options.seeds:
            made = partial(measured, options, seed, options.folder or Path(folder), progress)
            rows.append(remembered(options.rows, name_of(options, seed), made))
    found = {**here(), "results": rows, **summary(rows), "ok": all(row["met"] for row in rows)}
    give("compress_mnist", found, options.output)
    return 0 if found["ok"] else 1


def name_of(options: argparse.Namespace, seed: int) -> str:
    """What a row is called."""
    return f"{options.network} {'classic' if options.classic else options.target} seed {seed}"


def measured(options: argparse.Namespace, seed: int, folder: Path, progress: TerminalProgress) -> dict[str, Any]:
    """Train and compress a network with one seed."""
    data, run = f"idx:{options.data}", folder / f"{options.network}-{seed}"
    how: dict[str, Any] = {
        "augment": "shift",
        "seed": seed,
        "precision": options.precision,
        "channels_last": options.channels_last,
        "threads": options.threads,
        "progress": progress,
    }
    started = time.perf_counter()
    chipwise.train(options.network, data, folder=run, epochs=options.epochs, **how)
    train_s = time.perf_counter() - started
    recipe, name = CLASSIC if options.classic else {}, name_of(options, seed)
    small = folder / f"{name.replace(' ', '-')}.cwz"
    made = chipwise.compress(
        run, data, output=small, target=options.target, epochs=options.stage_epochs, **recipe, **how
    )
    assert made.test is not None, "MNIST has a test set"
    return {
        "network": name,
        "seed": seed,
        "met": made.met or options.classic,
        "bytes": made.file_bytes,
        "dense_bytes": made.dense_bytes,
        "ratio": made.ratio,
        "published_stages": stages(made),
        "error_before": 1 - made.test.source.value,
        "error_after": 1 - made.test.candidate.value,
        "lost": made.test.lost,
        "won": made.test.won,
        "test_samples": made.test.source.count,
        "validation": asdict(made.validation),
        "stages": [asdict(stage) for stage in made.stages],
        "ledger": {name: value for name, value in asdict(made.ledger).items() if name != "rows"},
        "train_s": train_s,
        "compress_s": made.seconds,
        "longer": None if options.longer is None else against_longer(options.longer, run, small, data, how),
    }


def against_longer(epochs: int, run: Path, small: Path, data: str, how: dict[str, Any]) -> dict[str, Any]:
    """Train the source for as long as its compression took, and compare that with the compressed network."""
    source, longer, progress = run.with_suffix(".onnx"), run.with_name(f"{run.name}-longer.onnx"), how["progress"]
    chipwise.export(run, output=source)
    settings = gentle_settings(load(str(run)).name, FINE, {name: how[name] for name in how if name != "progress"})
    dataset = load_data(data)
    taught(source, longer, dataset, replace(settings, epochs=epochs), progress, teacher=source)
    judged = drops({"longer": longer, "small": small}, dataset, None, ("longer",))
    return {"epochs": epochs, "error": 1 - judged["longer"]["accuracy"], **judged["small"]["against"]["longer"]}


def stages(made: Compression) -> dict[str, float]:
    """How many times smaller than the source all layers are after each published stage, biases as they were."""
    biases = made.dense_bytes - 4 * sum(layer.before for layer in made.layers)
    names = {"P": "pruned_bytes", "P+Q": "quantized_bytes", "P+Q+H": "huffman_bytes"}
    return {
        short: made.dense_bytes / (biases + sum(getattr(layer, name) for layer in made.layers))
        for short, name in names.items()
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Errors and sizes over all seeds; the drop is of all their answers together."""
    count, after = sum(row["test_samples"] for row in rows), [row["error_after"] for row in rows]
    longer = [row["longer"] for row in rows if row["longer"] is not None]
    compared = {}
    if len(longer) == len(rows):
        compared["mean_error_longer"] = float(np.mean([each["error"] for each in longer]))
        compared |= drop_of(longer, count, "_against_longer")
    return {
        "mean_error_before": float(np.mean([row["error_before"] for row in rows])),
        "mean_error_after": float(np.mean(after)),
        "worst_error_after": max(after),
        "least_ratio": min(row["ratio"] for row in rows),
        "mean_ratio": float(np.mean([row["ratio"] for row in rows])),
        **drop_of(rows, count, ""),
        **compared,
    }


def drop_of(rows: list[dict[str, Any]], count: int, name: str) -> dict[str, float]:
    """The drop of all answers together, in pairs, and its 95% bound."""
    lost, won = (sum(row[which] for row in rows) for which in ("lost", "won"))
    return {f"drop{name}": (lost - won) / count, f"drop{name}_upper_95": upper_bound(lost, won, count)}


if __name__ == "__main__":
    sys.exit(main())
