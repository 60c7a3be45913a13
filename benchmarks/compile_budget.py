"""Whether `chipwise compile` ends within its budget, and what Ctrl-C leaves at any second of it.

    python benchmarks/compile_budget.py
    python benchmarks/compile_budget.py --whole resnet50=60 --interrupt lenet5=12=1,3,5

Each compilation is a process of its own, timed from its start to its end: importing and exporting count. The first one
begins with an empty cache. The others are sent SIGINT after so many seconds; then a plan must lie at the output that
reads, opens and runs, if one lay there before; otherwise nothing, and nothing half written anywhere. Such a process
has to end with 130 (or by the signal itself, which a shell calls 130 too).

The last line on stdout is one JSON document; progress goes to stderr. Exit code 1 when a budget was exceeded by more
than 10%, or an interruption left something else.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import chipwise
from chipwise.codec.plan_file import read_plan
from chipwise.core.errors import ChipwiseError
from document import command_line, give, here

WHOLE = ("resnet50=60",)
INTERRUPTED = ("lenet5-caffe=12=0.2,0.5,1,2,3,4,5,6,7,8,9,11", "resnet50=60=3,10,20,35")
_OVER = 1.1  # of the budget
_SEEN_S = 0.01
_PATIENCE_S = 120
_DIGITS = ("lenet5", "lenet5-caffe", "lenet5-keras", "mlp-4096")  # guarded on data, so that int8 is tried, too


@dataclass(frozen=True)
class Run:
    """One compilation.

    Attributes:
        network: what was compiled; budget_s: for how long at most.
        signal_s: when it was sent SIGINT, from the start of the process; None for a run to the end.
        first_plan_s: when a plan was first seen at the output; None for never.
        wall_s: from the start of the process to its end; after_signal_s: from the signal.
        exit_code: as a shell says it.
        plan: what lies at the output: "none", "best so far", "finished", or what is wrong with it.
        left_over: files that were left beside the plan, and half written ones in the cache.
        ok: it ended as it should.
    """

    network: str
    budget_s: float
    signal_s: float | None
    first_plan_s: float | None
    wall_s: float
    after_signal_s: float | None
    exit_code: int
    plan: str
    left_over: tuple[str, ...]
    ok: bool


def main() -> int:
    """Measure; 0 when every run ended as it should."""
    options = parse()
    runs: list[Run] = []
    with tempfile.TemporaryDirectory() as folder:
        for number, (network, budget_s, at_s) in enumerate(wanted(options)):
            runs.append(compile_once(network, budget_s, at_s, Path(folder), number))
            print(json.dumps(asdict(runs[-1])), file=sys.stderr)
    ok = all(run.ok for run in runs)
    give("compile_budget", {**here(), "runs": [asdict(run) for run in runs], "ok": ok}, options.output)
    return 0 if ok else 1


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = command_line(__doc__)
    parser.add_argument("--whole", nargs="*", default=WHOLE, metavar="NET=SECONDS", help="to the end")
    parser.add_argument(
        "--interrupt", nargs="*", default=INTERRUPTED, metavar="NET=SECONDS=T,T,...", help="SIGINT after T seconds"
    )
    return parser.parse_args()


def wanted(options: argparse.Namespace) -> list[tuple[str, float, float | None]]:
    """Network, budget and time of the signal for every run."""
    runs: list[tuple[str, float, float | None]] = []
    for each in options.whole:
        network, budget = each.split("=")
        runs.append((network, float(budget), None))
    for each in options.interrupt:
        network, budget, times = each.split("=")
        runs += [(network, float(budget), float(at)) for at in times.split(",")]
    return runs


def compile_once(network: str, budget_s: float, signal_s: float | None, folder: Path, number: int) -> Run:
    """Compile in a process of its own, interrupted or not, and look at what it left."""
    output, cache = folder / str(number) / "x.plan", folder / "cache"
    output.parent.mkdir()
    command = [sys.executable, "-m", "chipwise", "compile", network, "-o", str(output), "--budget", f"{budget_s}s"]
    if network in _DIGITS:
        command += ["--data", "digits"]
    started, first_s, sent_s = time.monotonic(), None, None
    with (folder / f"{number}.err").open("wb") as said:
        environment = {**os.environ, "CHIPWISE_CACHE": str(cache)}
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, env=environment)
        while process.poll() is None:
            spent_s = time.monotonic() - started
            first_s = spent_s if first_s is None and output.exists() else first_s
            if signal_s is not None and sent_s is None and spent_s >= signal_s:
                process.send_signal(signal.SIGINT)
                sent_s = spent_s
            if spent_s > budget_s + _PATIENCE_S:
                process.kill()
            time.sleep(_SEEN_S)
    wall_s = time.monotonic() - started
    code = process.returncode if process.returncode >= 0 else 128 - process.returncode
    plan = state(output)
    left = [path.name for path in output.parent.iterdir() if path != output]
    left += [path.name for path in cache.rglob("*.part")]
    wanted_plans = ("finished",) if sent_s is None else ("none",) if first_s is None else ("best so far", "finished")
    within = wall_s <= _OVER * budget_s if sent_s is None else True
    ok = plan in wanted_plans and not left and code == (0 if sent_s is None else 130) and within
    after_s = None if sent_s is None else round(wall_s - sent_s, 2)
    first_s = None if first_s is None else round(first_s, 2)
    return Run(network, budget_s, signal_s, first_s, round(wall_s, 2), after_s, code, plan, tuple(left), ok)


def state(path: Path) -> str:
    """Read the plan, open it and run it."""
    if not path.exists():
        return "none"
    try:
        plan = read_plan(path)
        runner = chipwise.load(path)
        runner.run(*plan.sample_inputs)
        runner.close()
    except ChipwiseError as error:
        return error.message
    return "finished" if plan.manifest.complete else "best so far"


if __name__ == "__main__":
    sys.exit(main())
