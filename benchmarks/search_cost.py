"""How near the search comes to trying everything, and at what part of its measuring time.

    python benchmarks/search_cost.py                              # six networks trained on the digits, two in float
    python benchmarks/search_cost.py --shared ../shared/data      # and three that come trained, with their data
    python benchmarks/search_cost.py --only squeezenet1.1

Everything: each graph that optional passes and widths lead to, by each runtime, number format and number of threads,
sixty interleaved rounds of all of them beside the baseline, as the search times its finalists. The search: `compile`
with its usual budget. Of both the wall time of measuring counts, baselines included, and building engines does not;
what both built is told apart. The two winners are then timed against each other, interleaved.

Not in the space: graphs cut between runtimes and mixes of int8 and float, of which there is no end. The search looks
for them, and its time for that counts.

Where there are no data, only float32 may ship: two runtimes and two numbers of threads are then all there is to
search, and the last few of a search are half of it. These rows are told apart.

The last line on stdout is one JSON document. Exit code 1 when a winner of a search with data is more than 5% slower
than the best of all, or took more than 30% of the measuring time.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np

import chipwise
import labelled
from chipwise.api.given import data_from, network_from, with_graph
from chipwise.clock.interleave import interleave
from chipwise.clock.statistics import speedup
from chipwise.codec.hashes import sha256_bytes
from chipwise.compiler import choose, partition
from chipwise.compiler.candidates import first_choices, rest_in_bf16, thread_counts, usable_runtimes
from chipwise.compiler.compile import compile_plan
from chipwise.compiler.graphs import Graphs, joined, variants
from chipwise.compiler.options import CompileOptions
from chipwise.compiler.parts import build_default
from chipwise.compiler.subject import Subject, make_subject
from chipwise.compiler.trials import Trial, build, examine, make_trial, quantizers_for
from chipwise.compiler.workspace import Workspace
from chipwise.core.events import silent
from chipwise.devices.detect import detect
from chipwise.networks.layers import layer_rows
from chipwise.networks.onnx_file import serialize
from document import command_line, give, here, remembered
from made import MADE
from suite import networks

if TYPE_CHECKING:
    from chipwise.core.network import Network
    from chipwise.datasets.dataset import Dataset

NEAR, SHARE = 1.05, 0.30
ROUNDS = 60
WIDTH_STEPS = (1, 8)
# Trained on the digits, so that bf16 and int8 may be judged.
JUDGED = ("lenet5", "lenet5-caffe", "lenet5-keras", "lenet-300-100", "convnet-small", "mlp-4096")
DATA = "digits"
FLOAT = ("squeezenet1.1", "mobilenet-v2-half")
TRAINED = ("resnet20", "mlperf-tiny-resnet8", "keyword-spotting")  # in the reference data


@dataclass
class Measuring:
    """Seconds that went into measuring, and how many turns of a contender that was."""

    seconds: float = 0.0
    turns: int = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count what a search measures."""
        with (
            patch.object(choose, "interleave", self._timed(interleave)),
            patch.object(partition, "stretch_times", self._timed(partition.stretch_times)),
        ):
            yield

    def _timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*given: Any, **named: Any) -> Any:
            start = time.perf_counter()
            found = call(*given, **named)
            self.seconds += time.perf_counter() - start
            if isinstance(found, dict) and call is interleave:
                self.turns += sum(len(samples) for samples in found.values())
            return found

        return timed


def main() -> int:
    """Measure; 0 when the search is near enough at its share of the time, on all networks."""
    parser = command_line(__doc__)
    parser.add_argument("--only", nargs="*", metavar="NAME")
    parser.add_argument("--shared", type=Path, help="folder of the reference data")
    parser.add_argument("--rows", type=Path, help="file of rows, to go on where an interrupted run ended")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds for each search")
    options = parser.parse_args()
    rows = []
    for name in options.only or (*JUDGED, *(TRAINED if options.shared else ()), *FLOAT):
        with tempfile.TemporaryDirectory() as folder:
            made = partial(compared, name, Path(folder), CompileOptions(budget_s=options.budget), options.shared)
            rows.append(remembered(options.rows, name, made))
    found = document(rows)
    give("search_cost", found, options.output)
    return 0 if found["ok"] else 1


def document(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The rows, with their means."""
    with_data = [row for row in rows if row["network"] not in FLOAT]
    return {
        **here(),
        "results": rows,
        "with_data": len(with_data),
        "share_of_all": sum(row["search"]["measuring_s"] for row in with_data)
        / max(sum(row["everything"]["measuring_s"] for row in with_data), 1e-9),
        "ok": all(row["ok"] for row in with_data),
    }


def subject_of(name: str, folder: Path, shared: Path | None) -> tuple[Network, Dataset | None]:
    """A network with its graph, and the data that it is guarded by."""
    if name in JUDGED:
        chipwise.train(name, DATA, folder=folder / "run", epochs=5)
        return with_graph(network_from(folder / "run")), data_from(DATA)
    if name in TRAINED:
        assert shared is not None, f"{name} needs --shared"
        known = labelled.networks(shared)[name]
        return network_from(known.network(folder, silent), preprocess=known.preprocess), known.data()
    written = MADE | {each: write for each, (_, write) in networks(None).items()}
    return with_graph(network_from(written[name](folder))), None


def compared(name: str, folder: Path, options: CompileOptions, shared: Path | None) -> dict[str, Any]:
    """Search, try everything, and time the two winners against each other."""
    machine, (network, data) = detect(), subject_of(name, folder, shared)
    source, layers = serialize(network), layer_rows(network)
    searching, started = Measuring(), time.perf_counter()
    with searching.counted():
        plan = compile_plan(network, source, layers, options, machine, data=data)
    search_s = time.perf_counter() - started
    subject = make_subject(network, source, layers, data, seed=options.seed, machine=machine)
    started = time.perf_counter()
    trials = everything(subject, options, name)
    build_s = time.perf_counter() - started
    trying, baseline = Measuring(), build_default("onnxruntime", source)
    with trying.counted():
        samples = choose.measure(trials, baseline, subject, budget_s=0, rounds=(ROUNDS, ROUNDS), progress=silent)
    best = min(trials, key=lambda trial: float(np.median(samples.trials[trial.title])))
    choice = plan.manifest.choice
    found = build_default("onnxruntime", source) if choice.source else build(choice, plan.model)
    again = interleave(
        {"search": partial(found.run, subject.sample), "best": partial(best.engine.run, subject.sample)},
        budget_s=20.0,
        max_rounds=2 * ROUNDS,
        one_thread={title for title, each in (("search", choice), ("best", best.candidate.choice)) if each.one_thread},
    )
    slower, share = speedup(of=again["best"], over=again["search"]), searching.seconds / trying.seconds
    return {
        "network": name,
        "search": {
            "choice": choice.title,
            "median_s": float(np.median(again["search"])),
            "measuring_s": searching.seconds,
            "turns": searching.turns,
            "wall_s": search_s,
        },
        "everything": {
            "choices": len(trials),
            "best": best.title,
            "median_s": float(np.median(again["best"])),
            "measuring_s": trying.seconds,
            "turns": trying.turns,
            "building_s": build_s,
        },
        "slower_than_best_by": asdict(slower),
        "share_of_measuring": share,
        "ok": slower.mid <= NEAR and share <= SHARE,
    }


def everything(subject: Subject, options: CompileOptions, name: str) -> list[Trial]:
    """An engine for every choice that may ship."""
    machine, workspace = detect(), Workspace(f"search cost {name} {sha256_bytes(subject.source)}")
    quantizers = quantizers_for(subject, machine) if options.max_drop > 0 else ()
    alone: list[tuple[str, ...]] = [(each,) for each in quantizers] or [()]
    names = usable_runtimes(options, machine)
    firsts = [each for one in alone for each in first_choices(names, machine, "latency", one, dynamic_batch=False)]
    firsts += [mixed for each in firsts for mixed in rest_in_bf16(each, machine)]
    trials = []
    for graph in graphs(subject.graphs, lossy=subject.guard is not None):
        for choice in dict.fromkeys(replace(each, threads=0, graph=graph) for each in firsts):
            kind, engine = examine(choice, subject, options.max_drop, machine, workspace)
            if engine is not None:
                engine.close()
            made = [make_trial(replace(choice, threads=threads), kind) for threads in thread_counts(machine.cores)]
            trials += [each for each in made if isinstance(each, Trial)]
    return trials


def graphs(made: Graphs, *, lossy: bool) -> list[str]:
    """Every graph that changes lead to, one after another in any order; each under the first name that gives it."""
    among, found, seen = variants(WIDTH_STEPS, lossy=lossy), [""], {sha256_bytes(made.model())}
    for base in found:
        for name in made.differing(among, base):
            digest = sha256_bytes(made.model(joined(base, name)))
            if digest not in seen:
                seen.add(digest)
                found.append(joined(base, name))
    return found


if __name__ == "__main__":
    sys.exit(main())
