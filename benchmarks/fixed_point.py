"""Networks in fixed point: accuracy against float32, sample by sample, and the integer reference against ONNX Runtime.

    python benchmarks/fixed_point.py --shared ../shared/data                    # all
    python benchmarks/fixed_point.py --shared ../shared/data --only lenet5-caffe --rows rows.jsonl

LeNet-5 is trained here for two epochs on MNIST; the others come trained on CIFAR-10, whose pictures are JPEG files
here. Radix points are chosen on 500 samples of the training part; the validation part decides on fine-tuning; the test
part is used once. Every network is made with 8 bits, with a radix point for each channel of weights and with one for
each tensor, and with 16 bits.

The question is whether 8 bits with a radix point for each channel are within 0.3 points of float32 on the test part,
and whether the integers agree. The last line on stdout is one JSON document.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import chipwise
from chipwise.views.terminal import TerminalProgress
from document import command_line, give, here, remembered
from labelled import Labelled, networks

if TYPE_CHECKING:
    from chipwise.core.fixed_point import Per, Quantization
    from chipwise.core.measure import PairedDrop

NETWORKS = ("lenet5-caffe", "cifar-tutorial-cnn", "mlperf-tiny-resnet8", "resnet20")
WAYS: dict[str, tuple[int, Per]] = {"int8 per channel": (8, "channel"), "int8": (8, "tensor"), "int16": (16, "channel")}
JUDGED = "int8 per channel"
LIMIT = 0.003
SAMPLES = 500  # that the integer reference answers


def main() -> int:
    """Measure every network in every way."""
    parser = command_line(__doc__)
    parser.add_argument("--shared", type=Path, required=True, help="folder of the reference data")
    parser.add_argument("--only", nargs="*", default=NETWORKS, metavar="NAME", help="these networks")
    parser.add_argument("--rows", type=Path, help="file of rows, to go on where an interrupted run ended")
    options = parser.parse_args()
    known, rows = networks(options.shared), []
    with tempfile.TemporaryDirectory() as folder, TerminalProgress() as progress:
        # Trained weights are kept beside the rows, so that all rows of a network are of the same weights.
        kept = Path(folder) if options.rows is None else options.rows.with_suffix(".networks")
        kept.mkdir(parents=True, exist_ok=True)
        for name in options.only:
            path = known[name].network(kept, progress)
            for way in WAYS:
                made = partial(measure, (name, way), path, known[name], kept)
                rows.append(remembered(options.rows, f"{name} {way}", made))
    give("fixed_point", {**here(), "verdict": verdict(rows), "results": rows}, options.output)
    return 0


def measure(key: tuple[str, str], path: Path, labelled: Labelled, folder: Path) -> dict[str, Any]:
    """One network in one way."""
    name, way = key
    bits, per = WAYS[way]
    made = chipwise.quantize(
        path,
        labelled.data(),
        output=folder / f"{name}.onnx",
        bits=bits,
        per=per,
        compare=SAMPLES,
        preprocess=labelled.preprocess,
        augment="none",
    )
    return {"network": f"{name} {way}", "data": made.data.rpartition("/")[2], **row(made)}


def row(made: Quantization) -> dict[str, Any]:
    """Accuracies with their counts, agreement, and what each tensor became."""
    return {
        "bits": made.bits,
        "per": made.per,
        "calibrated": made.calibrated,
        "epochs": made.epochs,
        "kept": made.kept,
        "untuned": None if made.untuned is None else counts(made.untuned),
        "validation": counts(made.validation),
        "test": None if made.test is None else counts(made.test),
        "floating": made.floating,
        "agreement": asdict(made.agreement),
        "tensors": [{**asdict(each), "sqnr_db": min(round(each.sqnr_db, 2), 999.0)} for each in made.tensors],
        "seconds": round(made.seconds, 1),
    }


def counts(drop: PairedDrop) -> dict[str, Any]:
    """A paired comparison in counts and shares."""
    return {
        "samples": drop.source.count,
        "float_right": drop.source.correct,
        "fixed_right": drop.candidate.correct,
        "lost": drop.lost,
        "won": drop.won,
        "drop": drop.drop,
        "upper": drop.upper,
    }


def verdict(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What is met, of the rows that are judged."""
    judged = [each for each in rows if each["network"].endswith(JUDGED)]
    apart = [each["network"] for each in rows if each["agreement"]["equal"] != each["agreement"]["compared"]]
    return {
        "limit": LIMIT,
        "within": [each["network"] for each in judged if each["test"]["drop"] <= LIMIT],
        "beyond": [each["network"] for each in judged if each["test"]["drop"] > LIMIT],
        "shown_with_95_percent": [each["network"] for each in judged if each["test"]["upper"] <= LIMIT],
        "integers_apart": apart,
    }


if __name__ == "__main__":
    sys.exit(main())
