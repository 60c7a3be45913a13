"""What pruning gains on a CPU: channels by a measured table of latencies, against as many single weights.

    python benchmarks/structured_pruning.py --shared ../shared/data --folder runs/ --train     # trains, times nothing
    python benchmarks/structured_pruning.py --shared ../shared/data --folder runs/             # and then times

A network of CIFAR-10 that came trained is trained on JPEG files of it (`benchmarks/cifar_pictures.py`): that is the
dense one. From it `chipwise compress --faster` takes channels away, once for each factor that is asked for; from it as
many single weights as the first of these lost are set to zero, by magnitude; and it is trained for as many epochs more,
with the same teacher, itself (`--alone` leaves that out). All are compiled (plans that answer alike, the same seconds
each), and the plans take turns on the clock. Accuracies are on pictures of the test set, in pairs. What was trained is
kept in `--folder`, so that an interrupted run goes on, and networks trained with other numbers of epochs may lie there.

    python benchmarks/structured_pruning.py ... --network resnet56 --faster 2.2 2 --epochs 16 --alone

The last line on stdout is one JSON document. Exit code 1 when the first plan with fewer channels is less than twice
as fast as the dense one, or loses more than a point against it.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import chipwise
from chipwise.clock.interleave import interleave
from chipwise.clock.statistics import speedup, summarize
from chipwise.codec.plan_file import read_plan
from chipwise.compiler.load import open_plan
from chipwise.compression.faster import shares
from chipwise.core.compression import Compression
from chipwise.devices.detect import detect
from chipwise.networks.load import load
from chipwise.training.settings import as_json
from chipwise.training.trainable import simplified, weights_left
from chipwise.views.terminal import TerminalProgress
from cifar_pictures import PREPROCESS, USUAL, cifar_to_train, compressed, dense_network
from document import command_line, give, here, remembered
from taught import drops, taught

if TYPE_CHECKING:
    import argparse

    from chipwise.datasets.dataset import Dataset

WANTED, MAX_DROP = 2.0, 0.01
DENSE, SINGLE, LONGER = "dense", "single weights", "dense, trained longer"


def main() -> int:
    """Train what is not there, and measure; 0 when both limits are kept."""
    parser = command_line(__doc__)
    parser.add_argument("--shared", type=Path, required=True, help="folder of the reference data")
    parser.add_argument("--folder", type=Path, required=True, help="where what was trained is kept")
    parser.add_argument("--network", choices=sorted(PREPROCESS), default="resnet20")
    parser.add_argument("--epochs", type=int, default=8, help="of the dense one, and after channels have gone")
    parser.add_argument("--single-epochs", type=int, metavar="N", help="of single weights; as many as of channels")
    parser.add_argument("--alone", action="store_true", help="leave out the dense network that is trained longer")
    parser.add_argument("--faster", type=float, nargs="+", default=[WANTED], help="what `compress` is asked for")
    parser.add_argument("--train", action="store_true", help="train and end: nothing but what pruning needs is timed")
    parser.add_argument("--budget", type=float, default=20.0, help="seconds to compile each")
    parser.add_argument("--timing", type=float, default=15.0, help="seconds to time all of them")
    options = parser.parse_args()
    data, rows = cifar_to_train(options.shared), options.folder / f"{options.network}.rows"
    with TerminalProgress() as progress:
        paths, records = trained(options, data, progress)
        if options.train:
            return 0
        seconds = (options.budget, options.timing)
        timed = remembered(rows, "latency", partial(latencies, paths, options.folder, seconds, progress))
    judged = remembered(rows, "accuracy", partial(accuracies, paths, data, PREPROCESS[options.network]))
    document = {
        **here(),
        "network": options.network,
        "data": {"name": data.name, "train": len(data) - data.test_count - data.validation_count,
                 "validation": data.validation_count, "test": data.test_count},
        "settings": as_json(USUAL),
        "single_weights_epochs": options.single_epochs or epochs_of(options),
        "compress": {mark: {"stages": [asdict(each) for each in record.stages], "seconds": record.seconds,
                            "speed": None if record.speed is None else asdict(record.speed)}
                     for mark, record in records.items()},
        "latency": timed["plans"],
        "accuracy": judged["networks"],
        **verdict(channels(options.faster[0]), timed["plans"], judged["networks"]),
    }  # fmt: skip
    give("structured_pruning", document, options.output)
    return 0 if document["ok"] else 1


def channels(times: float) -> str:
    """What a network with fewer channels is called."""
    return f"channels, {times:g}x"


def epochs_of(options: argparse.Namespace) -> int:
    """Epochs in which the first one with fewer channels was trained."""
    return int(options.epochs) + len(shares(options.faster[0]))


def trained(
    options: argparse.Namespace, data: Dataset, progress: TerminalProgress
) -> tuple[dict[str, Path], dict[str, Compression]]:
    """The networks, and what was said of those with fewer channels."""
    name, folder, preprocess = options.network, options.folder, PREPROCESS[options.network]
    dense, single, longer = (folder / f"{name}{end}.onnx" for end in ("", "-single", "-longer"))
    dense_network(name, options.shared, dense, data, options.epochs, progress)
    paths, records = {DENSE: dense}, {}
    for times in options.faster:
        paths[channels(times)] = small = folder / f"{name}-{times:g}x.cwz"
        records[channels(times)] = compressed(
            dense, small, data, preprocess, options.epochs, progress, faster=f"{times:g}x"
        )
    density = weights(paths[channels(options.faster[0])]) / weights(dense)
    how = replace(USUAL, epochs=options.single_epochs or epochs_of(options))
    taught(dense, single, data, how, progress, preprocess=preprocess, teacher=dense, density=density)
    paths[SINGLE] = single
    if not options.alone:
        how = replace(USUAL, epochs=epochs_of(options))
        taught(dense, longer, data, how, progress, preprocess=preprocess, teacher=dense)
        paths[LONGER] = longer
    return paths, records


def weights(path: Path) -> int:
    """Of layers, that are not zero."""
    graph = load(str(path)).graph
    assert graph is not None, "all of these files are graphs"
    return weights_left(simplified(graph))


def latencies(
    paths: dict[str, Path], folder: Path, seconds: tuple[float, float], progress: TerminalProgress
) -> dict[str, Any]:
    """Compile each without data, so that every plan answers as its network does, and let the plans take turns."""
    plans = {}
    for mark, path in paths.items():
        output = folder / f"{mark.replace(', ', '-').replace(' ', '-')}.plan"
        chipwise.compile(path, output=output, budget_s=seconds[0], progress=progress)
        plans[mark] = read_plan(output)
    engines = {mark: open_plan(plan, detect()) for mark, plan in plans.items()}
    alone = {mark for mark, plan in plans.items() if plan.manifest.choice.one_thread}
    calls = {mark: partial(engine.run, list(plans[mark].sample_inputs)) for mark, engine in engines.items()}
    found = interleave(calls, budget_s=seconds[1], min_rounds=40, max_rounds=400, one_thread=alone)
    return {
        "network": "latency",
        "plans": {
            mark: {
                "parameters": weights(paths[mark]),
                "file_bytes": paths[mark].stat().st_size,
                "choice": plans[mark].manifest.choice.title,
                "label": plans[mark].manifest.label,
                "passes": plans[mark].manifest.passes,
                "median_s": summarize(times).median_s,
                "quartiles_s": np.quantile(times, (0.25, 0.75)).tolist(),
                "over_dense": asdict(speedup(of=times, over=found[DENSE])),
            }
            for mark, times in found.items()
        },
    }


def accuracies(paths: dict[str, Path], data: Dataset, preprocess: str) -> dict[str, Any]:
    """Right answers on the test pictures, in pairs with the dense networks."""
    against = [mark for mark in (DENSE, LONGER) if mark in paths]
    return {"network": "accuracy", "networks": drops(paths, data, preprocess, against)}


def verdict(mark: str, timed: dict[str, Any], judged: dict[str, Any]) -> dict[str, Any]:
    """What is aimed at, and what one network reached."""
    faster, against = timed[mark]["over_dense"]["mid"], judged[mark]["against"]
    lost = {other: against[other]["drop"] for other in against}
    return {
        "aim": {"faster": WANTED, "max_drop": MAX_DROP},
        "faster_by": faster,
        "single_weights_faster_by": timed[SINGLE]["over_dense"]["mid"],
        "drop": lost[DENSE],
        "drop_against_trained_longer": lost.get(LONGER),
        "shown_within_limit": against[DENSE]["drop_upper_95"] <= MAX_DROP,
        "ok": faster >= WANTED and max(lost.values()) <= MAX_DROP,
    }


if __name__ == "__main__":
    sys.exit(main())
