"""What networks lose under every number format: accuracy with intervals, and how much was out of each format's range.

    python benchmarks/formats_accuracy.py --shared ../shared/data                  # all three
    python benchmarks/formats_accuracy.py --shared ../shared/data --only lenet5 --formats int8 posit-8-1
    python benchmarks/formats_accuracy.py --shared ../shared/data --rows rows.jsonl  # goes on where it was interrupted

LeNet-5 and a network of two layers of 4,096 are trained here for two epochs on MNIST; ResNet-20 comes trained on
CIFAR-10, whose pictures are JPEG files here, which costs it some points in any format. The samples are of the test
part, evenly spread; 100 of the training part set the scales of formats that have one. Every format answers the same
samples, but for slow ones (fp16-sums: 62 of 500), and is compared with float32 pair by pair. Johnson's figures for
ResNet-50 on ImageNet stand beside (arXiv 1811.01721): another network and other data, so the question is the order.

The last line on stdout is one JSON document.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import chipwise
from chipwise.api import format_names
from chipwise.datasets.dataset import Dataset
from chipwise.views.terminal import TerminalProgress
from document import command_line, give, here, remembered
from labelled import Labelled, networks

if TYPE_CHECKING:
    from chipwise.core.format_report import FormatScore

NETWORKS = ("lenet5", "mlp-4096", "resnet20")
# Points of top-1 that ResNet-50 loses on ImageNet, of 76.13% in float32, without retraining.
PUBLISHED_RESNET50 = {
    "log-8-1-5-5-7": -0.90,
    "posit-7-1": -4.63,
    "posit-8-0": -76.03,
    "posit-8-1": -0.87,
    "posit-8-2": -2.20,
    "posit-9-1": -0.30,
}
SLOW = {"fp16-sums": 8}  # formats whose sums are made one product after the other: so many times fewer samples


def main() -> int:
    """Measure every format on every network."""
    parser = command_line(__doc__)
    parser.add_argument("--shared", type=Path, required=True, help="folder of the reference data")
    parser.add_argument("--only", nargs="*", default=NETWORKS, metavar="NAME", help="these networks")
    parser.add_argument("--formats", nargs="*", metavar="F", help="these formats; all by default")
    parser.add_argument("--samples", type=int, default=500, help="samples of each network's test part")
    parser.add_argument("--rows", type=Path, help="file of rows, to go on where an interrupted run ended")
    options = parser.parse_args()
    known, rows = networks(options.shared), []
    with tempfile.TemporaryDirectory() as folder, TerminalProgress() as progress:
        # Trained weights are kept beside the rows, so that all rows of a network are of the same weights.
        kept = Path(folder) if options.rows is None else options.rows.with_suffix(".networks")
        kept.mkdir(parents=True, exist_ok=True)
        for name in options.only:
            labelled, data = known[name], known[name].data()
            path = labelled.network(kept, progress)
            for form in options.formats or format_names():
                count = max(1, options.samples // SLOW.get(form, 1))
                made = partial(measure, (name, form), path, labelled, data, count)
                rows.append(remembered(options.rows, f"{name} {form}", made))
    give("formats_accuracy", {**here(), "published_resnet50": PUBLISHED_RESNET50, "results": rows}, options.output)
    return 0


def measure(key: tuple[str, str], path: Path, labelled: Labelled, data: Dataset, count: int) -> dict[str, Any]:
    """One network under one format."""
    name, form = key
    report = chipwise.formats(form, network=path, data=data, samples=count, preprocess=labelled.preprocess)
    assert report.source is not None, "a network was given"
    return {
        "network": f"{name} {form}",
        "data": data.name.rpartition("/")[2],
        "float32": asdict(report.source) | {"value": report.source.value},
        **row(report.scores[0]),
    }


def row(score: FormatScore) -> dict[str, Any]:
    """Accuracy with its interval, the paired change, and layer by layer what was out of range."""
    return {
        "accuracy": asdict(score.accuracy) | {"value": score.accuracy.value},
        "change": -score.drop.drop,
        "lost": score.drop.lost,
        "won": score.drop.won,
        "p_value": score.drop.p_value,
        "layers": {
            layer.layer: {
                part: [counted.saturated_share, counted.tiny_share]
                for part, counted in (("weights", layer.weights), ("inputs", layer.inputs), ("outputs", layer.outputs))
                if counted.count
            }
            for layer in score.layers
        },
        "seconds": round(score.seconds, 2),
    }


if __name__ == "__main__":
    sys.exit(main())
