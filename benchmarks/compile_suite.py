"""Whether compiled plans are ever slower than what people use, and how much faster they are, network by network.

    python benchmarks/compile_suite.py                                # the zoo, the onnx package's, and made ones
    python benchmarks/compile_suite.py --shared ../shared/data        # and real pretrained networks
    python benchmarks/compile_suite.py --only resnet50 mobilenet-v2
    python benchmarks/compile_suite.py --rows rows.jsonl              # half an hour that may be interrupted

Plans are compiled without data, so they answer like the source but for rounding; peers (ONNX Runtime, OpenVINO, PyTorch
eager and compiled) are called as people call them, in float32 too and in the same interleaved rounds. OpenVINO has to
be told: where the processor multiplies bfloat16, that is its default. Said of each network: the plan against the
fastest peer of that network, and what share of the machine's measured peak it reaches; of all: against the one peer
that would be best for all, by geometric means.

Of a hundred comparisons with equals some come out as slower by chance: where one does, all is timed anew for four times
as long, and that counts; both are in the document.

The last line on stdout is one JSON document. Exit code 1 when a plan is slower than a peer beyond the noise.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import chipwise
from chipwise.api import show
from chipwise.views.terminal import TerminalProgress
from document import command_line, give, here, remembered
from suite import networks

if TYPE_CHECKING:
    from collections.abc import Callable

    from chipwise.core.report import BenchResult

_LONGER = 4
PEERS = ("onnxruntime", "openvino:fp32", "inductor", "inductor:eager")


def main() -> int:
    """Measure; 0 when no plan is slower than a peer."""
    parser = command_line(__doc__)
    parser.add_argument("--shared", type=Path, help="folder of real pretrained networks")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--budget", type=float, default=30.0, help="seconds to compile each network")
    parser.add_argument("--timing", type=float, default=8.0, help="seconds to time each network")
    parser.add_argument("--rows", type=Path, help="file of rows, to go on where an interrupted run ended")
    options = parser.parse_args()
    found = {name: each for name, each in networks(options.shared).items() if not options.only or name in options.only}
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, TerminalProgress() as progress:
        for name, (removable, write) in found.items():
            seconds = (options.budget, options.timing)
            made = partial(measure, name, write, Path(folder), progress, seconds)
            rows.append(remembered(options.rows, name, made) | {"removable": removable})
    document = {
        **here(),
        "results": rows,
        "plain": summary(rows, removable=False),
        "removable": summary(rows, removable=True),
    }
    document["ok"] = not any(row["verdict"] == "slower" for row in rows)
    give("compile_suite", document, options.output)
    return 0 if document["ok"] else 1


def measure(
    name: str, write: Callable[[Path], Path], folder: Path, progress: TerminalProgress, seconds: tuple[float, float]
) -> dict[str, Any]:
    """Compile one network and time the plan against its peers.

    Args:
        name: of the network.
        write: writes its file into a folder, or says where it lies.
        folder: to write into.
        progress: told what is done.
        seconds: to compile in, and to time in.
    """
    path, output = write(folder), folder / f"{name}.plan"
    plan = chipwise.compile(path, output=output, budget_s=seconds[0], progress=progress).manifest
    timed = times(chipwise.bench(output, vs=PEERS, budget_s=seconds[1], source=path, progress=progress))
    if timed["verdict"] == "slower":
        again = chipwise.bench(output, vs=PEERS, budget_s=_LONGER * seconds[1], source=path, progress=progress)
        timed = times(again) | {"before": timed}
    chosen = next((each for each in plan.candidates if each.status == "chosen"), None)
    return {
        "network": name,
        "choice": plan.choice.title,
        "passes": plan.passes,
        "label": plan.label,
        "max_error": chosen.max_error if chosen else None,
        "share_of_peak": show(output).peak_share,
        **timed,
    }


def times(bench: BenchResult) -> dict[str, Any]:
    """Times of a plan and its peers, and how many times as fast it is as those that answer alike."""
    timed = {row.name: row for row in bench.rows[1:] if row.timing is not None and row.speedup is not None}
    ratios = {name: row.speedup for name, row in timed.items() if row.speedup is not None}
    rivals = {name: ratio for name, ratio in ratios.items() if timed[name].alike}
    fastest = min(rivals, key=lambda title: rivals[title].mid, default=None)
    mine = bench.rows[0].timing
    return {
        "plan_median_s": mine.median_s if mine else None,
        "peers": {
            name: {
                "median_s": row.timing.median_s if row.timing else None,
                "precision": row.precision,
                "plan_is_faster_by": asdict(ratios[name]),
                **({} if row.alike else {"no_rival": row.note}),
            }
            for name, row in timed.items()
        },
        "not_run": {row.name: row.note for row in bench.rows[1:] if row.timing is None},
        "fastest_peer": fastest,
        "over_fastest": asdict(ratios[fastest]) if fastest else None,
        "verdict": "slower" if any(ratio.verdict == "slower" for ratio in rivals.values()) else "not slower",
        "noise": bench.noise,
    }


def summary(rows: list[dict[str, Any]], *, removable: bool) -> dict[str, Any]:
    """Geometric means over the networks of one kind, against the best peer of each and against every single one."""
    mine = [row for row in rows if row["removable"] == removable and row["over_fastest"]]
    names = sorted({name for row in mine for name in row["peers"]})
    everywhere = [name for name in names if all(name in row["peers"] for row in mine)]
    single = {name: geometric([row["peers"][name]["plan_is_faster_by"]["mid"] for row in mine]) for name in everywhere}
    return {
        "networks": len(mine),
        "over_the_best_of_each": geometric([row["over_fastest"]["mid"] for row in mine]),
        "over_one_peer_for_all": single,
        "over_the_best_single_peer": min((each for each in single.values() if each is not None), default=None),
    }


def geometric(ratios: list[float]) -> float | None:
    """Their geometric mean."""
    return float(np.exp(np.mean(np.log(ratios)))) if ratios else None


if __name__ == "__main__":
    sys.exit(main())
