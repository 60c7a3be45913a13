"""Who finds the better model in the same time: chipwise, plain Optuna, or a fixed list in AutoGluon's order.

    python benchmarks/search_against.py digits --minutes 0.3 --seeds 1
    python benchmarks/search_against.py mnist --shared ../shared/data --minutes 20 --seeds 3 --picture mnist.svg
    python benchmarks/search_against.py cifar --shared ../shared/data --minutes 20 --seeds 3

`search_peers.py` says what the peers do. All have the same contestants (the code that builds, fits and asks them is
chipwise's for all three), cores, processes, data, validation split and seed: only the choice differs. The clock runs
from the start of the first process to `--minutes` later, for all: imports, reading the data, and chipwise's own
start-up count. They run after one another, each seed in another order.

The score so far is the best on the validation split of a contestant that had the whole training split, noted when its
line is on disk. At the end the best one learns from training and validation samples together, and is tested, once:
chipwise does that within its time (`seconds` says how long it really took); the peers do it afterwards, and it costs
them nothing.

reached  how long chipwise took to have the score that a peer has at its very end: over the peer's time to that score
         (`of_its_time`), and over the whole time (`of_all`); null where it never had it. Medians take that for the
         longest of times.

The last line on stdout is one JSON document. Exit code 1: the median of chipwise's test accuracies is below that of a
peer, beyond chance.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from chipwise.api.searching import memory_of_each
from chipwise.codec.files import atomic_write
from chipwise.codec.records import decode
from chipwise.core.contest import Contest
from chipwise.devices.detect import detect
from chipwise.searching.ledger import row_of
from chipwise.tasks.metrics import wilson
from chipwise.views.ink import as_file, quiet_axes
from document import command_line, give, here
from searched import DATA, begun, ended, search_words, spec_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from chipwise.views.ink import Palette

HERE = Path(__file__).parent
OURS, PEERS = "chipwise", ("optuna", "list")
NAMES = {OURS: "chipwise search", "optuna": "plain Optuna (TPE)", "list": "a list in AutoGluon's order"}
_LOOK_S = 0.05
_LATE_S = 60.0  # beyond its time, after which chipwise is not waited for


@dataclass
class Run:
    """One search: its curve [seconds, best score so far], what was tested at the end, and how long it took in all."""

    name: str
    seed: int
    trials: int = 0
    seconds: float = 0.0
    curve: list[tuple[float, float]] = field(default_factory=list)
    model: str = ""
    test: dict[str, Any] = field(default_factory=dict)

    def saw(self, seconds: float, model: str, score: float) -> None:
        """Note a contestant that had all of the training split."""
        self.trials += 1
        if not self.curve or score > self.curve[-1][1]:
            self.curve.append((round(seconds, 2), score))
            self.model = model

    @property
    def best(self) -> float:
        """The best score; 0 where there is none."""
        return self.curve[-1][1] if self.curve else 0.0


class Tail:
    """Whole lines that a file has got since they were last asked for."""

    def __init__(self, path: Path) -> None:
        self._path, self._read, self._rest = path, 0, b""

    def lines(self) -> list[bytes]:
        """New lines."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._read)
            piece = file.read()
        self._read += len(piece)
        *lines, self._rest = (self._rest + piece).split(b"\n")
        return [line for line in lines if line.strip()]


def main() -> int:
    """Race; 0 where chipwise is not worse than a peer beyond chance."""
    options = parse()
    with TemporaryDirectory() as folder:
        spec = spec_of(options.data, options.shared, Path(folder))
        runs = raced(options, spec, Path(folder))
    found = summary(runs, 60 * options.minutes)
    if options.picture:
        atomic_write(options.picture, picture(runs, 60 * options.minutes, options.data))
    about = {"data": options.data, "minutes": options.minutes, "jobs": options.jobs, "seeds": options.seeds}
    give(f"search_against_{options.data}", {**here(), **about, **found}, options.output)
    return 0 if found["ok"] else 1


def parse() -> argparse.Namespace:
    """The command line."""
    parser = command_line(__doc__)
    parser.add_argument("data", choices=DATA)
    parser.add_argument("--shared", type=Path, help="folder of the reference data")
    parser.add_argument("--minutes", type=float, default=20.0, help="for each search")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=detect().cores, help="processes of each")
    parser.add_argument("--picture", type=Path, help="also draw the best score against time: an .svg file")
    return parser.parse_args()


def raced(options: argparse.Namespace, spec: str, folder: Path) -> list[Run]:
    """All searches, seed by seed."""
    order = deque((OURS, *PEERS))
    runs = []
    for seed in range(options.seeds):
        for name in order:
            place = folder / f"{name}-{seed}"
            place.mkdir()
            run = ours(options, spec, place, seed) if name == OURS else theirs(options, spec, place, Run(name, seed))
            print(
                name,
                seed,
                f"{run.seconds:.1f} s",
                run.trials,
                run.best,
                run.test,
                run.model,
                file=sys.stderr,
                flush=True,
            )
            runs.append(run)
        order.rotate(1)
    return runs


def ours(options: argparse.Namespace, spec: str, folder: Path, seed: int) -> Run:
    """`chipwise search`, whose ledger is looked at while it is written."""
    run, ledger, output = Run(OURS, seed), folder / "board.jsonl", folder / "answer.json"
    more = ("--seed", str(seed), "--jobs", str(options.jobs), "--json")
    start = time.perf_counter()
    process = begun(search_words(spec, ledger, 60 * options.minutes, *more), output)
    try:
        tail, over = Tail(ledger), False
        while not over:
            over = process.poll() is not None or time.perf_counter() - start > 60 * options.minutes + _LATE_S
            for line in tail.lines():
                row = row_of(line)
                if row is not None and row.state == "finished" and row.score is not None and row.rung.share == 1:
                    run.saw(time.perf_counter() - start, row.model, row.score.value)
            time.sleep(_LOOK_S)
    finally:
        process.terminate()
    run.seconds = time.perf_counter() - start
    held = decode(ended(process, output, (0, 1)), Contest, "contest")
    if held.winner is not None and held.winner.test is not None:
        run.model = held.winner.model
        run.test = with_interval(held.winner.test.value, held.winner.test.samples or 0)
    return run


def theirs(options: argparse.Namespace, spec: str, folder: Path, run: Run) -> Run:
    """A peer, ended when the time is up; its best model is tested afterwards."""
    words = ["--data", spec, "--seed", str(run.seed), "--folder", str(folder)]
    words += ["--memory", str(memory_of_each(options.jobs)), "--jobs", str(options.jobs)]
    said = [folder / f"said-{place}.jsonl" for place in range(options.jobs)]
    start = time.perf_counter()
    processes = [begun([str(HERE / "search_peers.py"), run.name, *words, "--place", str(place)], file)
                 for place, file in enumerate(said)]  # fmt: skip
    try:
        followed(run, processes, [Tail(file) for file in said], start, 60 * options.minutes)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    run.seconds = time.perf_counter() - start
    for process, file in zip(processes, said, strict=True):
        if process.returncode not in (0, -9):
            ended(process, file)
    if run.model:
        output = folder / "test.json"
        found = json.loads(ended(begun([str(HERE / "search_peers.py"), "test", *words, "--model", run.model], output),
                                 output))  # fmt: skip
        run.test = found if "error" in found else with_interval(found["value"], found["samples"])
    return run


def followed(run: Run, processes: list[subprocess.Popen[bytes]], tails: list[Tail], start: float, for_s: float) -> None:
    """Note trials until the time is up, or all processes have ended."""
    over = False
    while not over:
        over = all(process.poll() is not None for process in processes)
        seconds = time.perf_counter() - start
        over = over or seconds > for_s
        for row in (json.loads(line) for tail in tails for line in tail.lines()):
            if row["score"] is not None and seconds <= for_s:
                run.saw(seconds, row["model"], row["score"])
        time.sleep(_LOOK_S)


def with_interval(value: float, samples: int) -> dict[str, Any]:
    """A test accuracy with Wilson's 95% interval."""
    low, high = wilson(value, samples)
    return {"value": value, "low": low, "high": high, "samples": samples}


def summary(runs: list[Run], whole_s: float) -> dict[str, Any]:
    """Scores of all, how soon chipwise had those of the peers, and whether it came out worse."""
    by_name = {name: [run for run in runs if run.name == name] for name in (OURS, *PEERS)}
    searches = {name: told(found) for name, found in by_name.items()}
    reached = {name: against(by_name[OURS], found, whole_s) for name, found in by_name.items() if name != OURS}
    own = searches[OURS]["test"]["mid"]
    ok = own is not None and all(not worse(own, searches[name]["test"]["mid"], runs) for name in PEERS)
    return {"searches": searches, "reached": reached, "ok": ok}


def told(runs: list[Run]) -> dict[str, Any]:
    """The numbers of one."""
    return {
        "test": spread([run.test["value"] for run in runs if "value" in run.test]),
        "validation": spread([run.best for run in runs]),
        "trials": spread([run.trials for run in runs]),
        "seconds": spread([run.seconds for run in runs]),
        "seeds": [{"seed": run.seed, "trials": run.trials, "validation": run.best, "model": run.model,
                   "test": run.test, "curve": run.curve} for run in runs],
    }  # fmt: skip


def against(own: list[Run], peers: list[Run], whole_s: float) -> dict[str, Any]:
    """How soon chipwise had the last best score of a peer, seed by seed."""
    pairs = [(first_at(ours, theirs.best), theirs) for ours, theirs in zip(own, peers, strict=True) if theirs.curve]
    return {
        "of_its_time": spread([at / theirs.curve[-1][0] for at, theirs in pairs]),
        "of_all": spread([at / whole_s for at, _ in pairs]),
        "seconds": [at if math.isfinite(at) else None for at, _ in pairs],
        "never": sum(not math.isfinite(at) for at, _ in pairs),
    }


def first_at(run: Run, score: float) -> float:
    """Seconds until a search had that score; infinite where it never did."""
    return next((at for at, value in run.curve if value >= score), math.inf)


def spread(values: list[float] | list[int]) -> dict[str, float | None]:
    """The median, the least and the most; None for none, and for what is infinite."""
    if not values:
        return {"low": None, "mid": None, "high": None}
    found = {"low": min(values), "mid": statistics.median(values), "high": max(values)}
    return {name: value if math.isfinite(value) else None for name, value in found.items()}


def worse(own: float, other: float | None, runs: list[Run]) -> bool:
    """Whether an accuracy is lower than another one by more than two standard errors of their difference."""
    samples = next((run.test["samples"] for run in runs if "samples" in run.test), 0)
    if other is None or not samples:
        return False
    return own < other - 2 * math.sqrt((own * (1 - own) + other * (1 - other)) / samples)


def picture(runs: list[Run], whole_s: float, data: str) -> bytes:
    """The best validation score against time, a step line for each search: an SVG file that needs no other."""

    def draw(figure: Figure, palette: Palette) -> None:
        axes = figure.subplots()
        quiet_axes(axes, palette, grid="both")
        colours = dict(zip((OURS, *PEERS), (palette.accent, palette.peer, palette.third), strict=True))
        for run in runs:
            if run.curve:
                times = [at for at, _ in run.curve] + [max(whole_s, run.curve[-1][0])]
                errors = [max(1 - score, 1e-4) for _, score in run.curve]
                name = NAMES[run.name] if run.seed == 0 else "_"  # one entry of the legend for all its seeds
                axes.step(
                    times, [*errors, errors[-1]], where="post", color=colours[run.name], linewidth=1.4, label=name
                )
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g}%")
        axes.yaxis.set_minor_formatter(lambda value, _: f"{100 * value:.3g}%")
        axes.tick_params(axis="y", which="minor", labelsize=7)
        axes.set_xlabel("seconds since the start", color=palette.muted)
        axes.set_ylabel(f"validation error so far, {data}, logarithmic", color=palette.muted)
        figure.legend(loc="outside lower left", ncols=3, frameon=False, labelcolor=palette.ink, fontsize=8)

    said = "; ".join(f"{NAMES[run.name]}, seed {run.seed}: {run.best:.2%}" for run in runs)
    return as_file(draw, (7.2, 4.0), ".svg", "against", f"Best validation score against time. At the end: {said}")


if __name__ == "__main__":
    sys.exit(main())
