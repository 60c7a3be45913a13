"""Whether a plan is ever slower than what the fastest runtime does by default with the same network.

    python benchmarks/plan_vs_peers.py                                  # three networks of the zoo, on digits
    python benchmarks/plan_vs_peers.py --add net.onnx,idx:DIR,scale=1   # and an ONNX file with its data

Each network of the zoo is trained for a few epochs, so that the accuracy guard has something to guard; then compiled
with data; then timed against the default of every installed runtime on the source network, interleaved. The plan may
use a cheaper number format only where its accuracy, paired on held-out samples, is shown not to drop by more than 1%.

The last line on stdout is one JSON document; progress goes to stderr. Exit code 1 when a plan is slower than a
peer beyond the noise (the 95% interval of the paired ratio lies below 1).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import chipwise
from chipwise.core.report import BenchRow
from chipwise.views.terminal import TerminalProgress
from document import command_line, give, here

ZOO = ("lenet5", "lenet5-caffe", "mlp-4096")
EPOCHS = 15


@dataclass(frozen=True)
class Subject:
    """A network, its data, and how pictures become its input where the network does not say."""

    network: str
    data: str
    preprocess: str | None = None


def main() -> int:
    """Measure; 0 when no plan is slower than its fastest peer."""
    options = parse()
    added = [Subject(*(each.split(",", 2))) for each in options.add]
    results = []
    with tempfile.TemporaryDirectory() as folder, TerminalProgress() as progress:
        for number, subject in enumerate([*(Subject(name, "digits") for name in options.zoo), *added]):
            results.append(measure(subject, Path(folder) / str(number), progress, options.budget))
            print(json.dumps(results[-1]), file=sys.stderr)
    document = {
        **here(),
        "results": results,
        "ok": all(each["verdict"] != "slower" for each in results),
    }
    give("plan_vs_peers", document, options.output)
    return 0 if document["ok"] else 1


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = command_line(__doc__)
    parser.add_argument("--zoo", nargs="*", default=ZOO, help="networks of the zoo, trained on digits")
    parser.add_argument("--add", action="append", default=[], metavar="NET,DATA[,PREPROCESS]", help="another network")
    parser.add_argument("--budget", type=float, default=20.0, help="seconds of timing for each network")
    return parser.parse_args()


def measure(subject: Subject, folder: Path, progress: TerminalProgress, budget_s: float) -> dict[str, object]:
    """Train where there is something to train, compile, and time against all peers."""
    network: str | Path = subject.network
    if subject.network in ZOO:
        chipwise.train(subject.network, subject.data, folder=folder, epochs=EPOCHS, progress=progress)
        network = folder
    output = folder.with_suffix(".plan")
    plan = chipwise.compile(
        network, output=output, data=subject.data, preprocess=subject.preprocess, budget_s=120, progress=progress
    )
    checked = chipwise.check(output, subject.data)
    bench = chipwise.bench(output, budget_s=budget_s, progress=progress)
    timed = [row for row in bench.rows[1:] if row.speedup is not None]
    fastest = min(timed, key=gain, default=None)
    return {
        "network": Path(subject.network).name,
        "data": Path(subject.data).name,
        "choice": plan.manifest.choice.title,
        "label": plan.manifest.label,
        "accuracy_source": checked.drop.source.value,
        "accuracy_plan": checked.drop.candidate.value,
        "samples": checked.drop.source.count,
        "plan_median_s": median_s(bench.rows[0]),
        "peers": [
            {"name": row.name, "precision": row.precision, "median_s": median_s(row), "note": row.note}
            | ({"plan_is_faster_by": asdict(row.speedup)} if row.speedup else {})
            for row in bench.rows[1:]
        ],
        "fastest_peer": fastest.name if fastest else None,
        "speedup_over_fastest": asdict(fastest.speedup) if fastest and fastest.speedup else None,
        "verdict": "slower" if any(row.speedup and row.speedup.verdict == "slower" for row in timed) else "not slower",
        "noise": bench.noise,
    }


def gain(row: BenchRow) -> float:
    """How many times as fast as a peer the plan is."""
    return row.speedup.mid if row.speedup else float("inf")


def median_s(row: BenchRow) -> float | None:
    """Median seconds per call; None where the peer could not run."""
    return None if row.timing is None else row.timing.median_s


if __name__ == "__main__":
    sys.exit(main())
