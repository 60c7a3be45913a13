"""How much faster plans are that may lose up to 1% of the accuracy, on networks with real weights and labelled samples.

    python benchmarks/compile_lossy.py --shared ../shared/data                    # all of them, about 15 minutes
    python benchmarks/compile_lossy.py --shared ../shared/data --only resnet20    # one
    python benchmarks/compile_lossy.py --shared ../shared/data --only --large     # latencies of larger ones

Each network is compiled with data (`benchmarks/labelled.py`): some samples calibrate, others guard that the drop, with
95% confidence, is within the limit; then plan and source answer the test samples, which had no say; then the plan and
every installed runtime's default on the source network take turns. Larger networks have weights drawn by seed, so only
the latencies of their number formats are compared, and nothing is said of accuracies.

The last line on stdout is one JSON document. Exit code 1 when a plan is slower than a peer beyond the noise, or its
accuracy on the test samples is lower by more than the limit, and not by chance.
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
from compile_suite import geometric, times
from document import command_line, give, here, remembered
from formats import LARGE, latencies
from labelled import Labelled, networks

if TYPE_CHECKING:
    from chipwise.core.plan import Manifest
    from chipwise.core.report import CheckResult

MAX_DROP = 0.01
OVER_BEST, OVER_ONNXRUNTIME = 1.2, 2.0  # what is aimed at
_DEFAULT = "onnxruntime default"


def main() -> int:
    """Measure; 0 when no plan is slower than a peer or loses more accuracy than it may."""
    parser = command_line(__doc__)
    parser.add_argument("--shared", type=Path, required=True, help="folder of the reference data")
    parser.add_argument("--only", nargs="*", metavar="NAME", help="these networks; none with nothing behind it")
    parser.add_argument("--large", nargs="*", metavar="NAME", help="also time number formats of larger networks")
    parser.add_argument("--rows", type=Path, help="file of rows, to go on where an interrupted run ended")
    parser.add_argument("--budget", type=float, default=40.0, help="seconds to compile each network")
    parser.add_argument("--timing", type=float, default=8.0, help="seconds to time each network")
    options = parser.parse_args()
    found = {n: each for n, each in networks(options.shared).items() if options.only is None or n in options.only}
    rows: list[dict[str, Any]] = []
    large: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, TerminalProgress() as progress:
        for name, labelled in found.items():
            seconds = (options.budget, options.timing)
            made = partial(measure, name, labelled, Path(folder), progress, seconds)
            rows.append(remembered(options.rows, name, made))
        large += [
            remembered(options.rows, name, partial(latencies, name, Path(folder), 2 * options.timing))
            for name in (() if options.large is None else options.large or LARGE)
        ]
    document = {**here(), "max_drop": MAX_DROP, "results": rows, **summary(rows), "latency_only": large}
    give("compile_lossy", document, options.output)
    return 0 if document["ok"] else 1


def measure(
    name: str, labelled: Labelled, folder: Path, progress: TerminalProgress, budgets_s: tuple[float, float]
) -> dict[str, Any]:
    """Train where there is something to train, compile, count right answers, and time."""
    network, data, output = labelled.network(folder, progress), labelled.data(), folder / f"{name}.plan"
    plan = chipwise.compile(
        network,
        output=output,
        data=data,
        max_drop=MAX_DROP,
        preprocess=labelled.preprocess,
        budget_s=budgets_s[0],
        progress=progress,
    ).manifest
    checked = chipwise.check(output, data)
    bench = chipwise.bench(output, budget_s=budgets_s[1], progress=progress)
    timed = times(bench)
    usual = timed["peers"].get(_DEFAULT)
    timed["over_onnxruntime"] = usual["plan_is_faster_by"] if usual else None
    parts = data.split()
    samples = {"train": len(parts.train), "guard": len(parts.validation), "test": len(parts.test)}
    return {"network": name, "data": data.name, "samples": samples, **chosen(plan), **answers(checked), **timed}


def chosen(plan: Manifest) -> dict[str, Any]:
    """What the plan runs, what the guard saw of it, and what became of the best of every other kind."""
    winner = next((each for each in plan.candidates if each.status == "chosen"), None)
    guarded = winner.accuracy if winner else None
    others: dict[str, dict[str, Any]] = {}
    for each in sorted(plan.candidates, key=lambda one: one.timing.median_s if one.timing else float("inf")):
        kind = f"{each.choice.runtime} {each.choice.precision} {each.choice.quantizer}".strip()
        seconds = each.timing.median_s if each.timing else None
        others.setdefault(kind, {"title": each.choice.title, "median_s": seconds, "reason": each.reason})
    return {
        "choice": plan.choice.title,
        "label": plan.label,
        "passes": plan.passes,
        "guard": asdict(guarded) if guarded else None,
        "kinds": others,
    }


def answers(checked: CheckResult) -> dict[str, Any]:
    """Accuracies on the test samples with counts and 95% intervals."""
    drop = checked.drop
    return {
        "accuracy_before": asdict(drop.source) | {"value": drop.source.value},
        "accuracy_after": asdict(drop.candidate) | {"value": drop.candidate.value},
        "lost": drop.lost,
        "won": drop.won,
        "drop": drop.drop,
        "drop_upper_95": drop.upper,
        "p_value": drop.p_value,
        "shown_within_limit": drop.upper <= checked.limit,
        # One-sided: more answers lost than won, more unevenly than chance would have it in 1 of 20 cases.
        "worse_than_limit": drop.drop > checked.limit and drop.p_value < 0.1,
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Geometric means over the networks, and which of them miss what is aimed at."""
    over = {key: [row[key]["mid"] for row in rows if row[key]] for key in ("over_fastest", "over_onnxruntime")}
    return {
        "geometric_mean_over_the_best_of_each": geometric(over["over_fastest"]),
        "geometric_mean_over_onnxruntime": geometric(over["over_onnxruntime"]),
        "below_aim_over_the_best": missing(rows, "over_fastest", OVER_BEST),
        "below_aim_over_onnxruntime": missing(rows, "over_onnxruntime", OVER_ONNXRUNTIME),
        "not_shown_within_limit": [row["network"] for row in rows if not row["shown_within_limit"]],
        "ok": not any(row["verdict"] == "slower" or row["worse_than_limit"] for row in rows),
    }


def missing(rows: list[dict[str, Any]], key: str, aim: float) -> list[str]:
    """Networks whose plan is less than `aim` times as fast."""
    return [row["network"] for row in rows if row[key] and row[key]["mid"] < aim]


if __name__ == "__main__":
    sys.exit(main())
