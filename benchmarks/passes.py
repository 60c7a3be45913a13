"""What each graph pass brings alone, on every network on which it finds something to do.

    python benchmarks/passes.py                                   # the zoo, the onnx package's, and made ones
    python benchmarks/passes.py --shared ../shared/data           # and real pretrained networks
    python benchmarks/passes.py --only remove_dead_channels

A network goes through one pass and `drop_unused`; passes that are only tried where they were measured to be faster go
over the graph that the others leave, as in the search. ONNX Runtime and OpenVINO run both graphs in float32 on one
thread, in the same interleaved rounds. The difference is the largest one over the largest output, on each runtime.

Some lines have a bar: dead channels 2 times, chains of 1x1 convolutions 2 times, RepVGG 1.1 times, on both runtimes.
Their networks are also drawn with integers in float64, where the pass must not change one bit on the reference
evaluator. The last line on stdout is one JSON document. Exit code 1 when a bar is missed.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from chipwise import runtimes
from chipwise.clock.interleave import interleave
from chipwise.clock.statistics import speedup, summarize
from chipwise.compiler.graphs import serialized
from chipwise.compiler.oracle import relative_error
from chipwise.compiler.subject import random_inputs, width_step
from chipwise.core.layer import totals
from chipwise.core.measure import Ratio
from chipwise.devices.detect import detect
from chipwise.networks.layers import layer_rows
from chipwise.networks.onnx_file import from_bytes
from chipwise.optimize.pipeline import ALL, OPTIONAL, PASSES, name_of, optimize
from chipwise.runtimes.engine import EngineOptions
from document import command_line, give, here
from integers import equal_after
from made import MADE
from suite import networks

Write = Callable[[Path], Path]
RUNTIMES = ("onnxruntime", "openvino")
MOST = 6  # networks that are timed for a pass
OPTIONS = EngineOptions(precision="fp32", threads=1)
STEP = width_step(detect().isa)
ROUNDS = 9, 40
_TRIED, _LAST = tuple(map(name_of, OPTIONAL)), "drop_unused"


@dataclass(frozen=True)
class Bar:
    """What a pass must bring to a network: times as fast on both runtimes, and how far outputs may move."""

    network: str
    times: float
    error: float = 1e-5


PRUNED = ("resnet18-pruned", "mobilenet-v2-pruned", "darknet19-half")  # half of all inner channels
BARS = {
    "remove_dead_channels": [Bar(name, 2.0) for name in PRUNED],
    "collapse_chains": [Bar("pointwise-chain", 2.0)],
    "collapse_branches": [Bar("repvgg-a0", 1.1)],
}


@dataclass(frozen=True)
class Change:
    """A graph before and after a pass, serialized, and what the pass says it did."""

    network: str
    each: str
    before: bytes
    after: bytes
    said: str


def main() -> int:
    """Measure; 0 when no bar is missed."""
    parser = command_line(__doc__)
    parser.add_argument("--shared", type=Path, help="folder of real pretrained networks")
    parser.add_argument("--only", nargs="*", default=[], metavar="PASS")
    parser.add_argument("--timing", type=float, default=8.0, help="seconds to time each row")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for change in changes(every_network(options.shared), Path(folder), options.only):
            rows.append(measure(change, options.timing))
            print(json.dumps(plain(rows[-1])), file=sys.stderr, flush=True)
    found = document(rows)
    give("passes", found, options.output)
    return 0 if found["ok"] else 1


def every_network(shared: Path | None) -> dict[str, Write]:
    """Those with a bar first, then those made to be changed, then the others: the first ones are timed."""
    found = MADE | {name: write for name, (_, write) in networks(shared).items()}
    barred = [bar.network for bars in BARS.values() for bar in bars]
    made = [name for name, (removable, _) in networks(shared).items() if removable]
    return {name: found[name] for name in dict.fromkeys((*barred, *made, *MADE, *found))}


def changes(found: dict[str, Write], folder: Path, only: list[str]) -> Iterator[Change]:
    """What each pass does to each network, at most `MOST` networks for a pass."""
    names = [each for each in map(name_of, ALL) if not only or each in only]
    timed = dict.fromkeys(names, 0)
    for network, write in found.items():
        wanted = [each for each in names if timed[each] < MOST]
        source = ir.serde.deserialize_model(onnx.load(write(folder)))
        optimized = optimize(source, step=STEP)[0] if any(each in _TRIED for each in wanted) else source
        for each in wanted:
            change = alone(network, optimized if each in _TRIED else source, each)
            if change is not None:
                timed[each] += 1
                yield change


def alone(network: str, model: ir.Model, each: str) -> Change | None:
    """A graph before and after one pass; None where it finds nothing to do."""
    others = [name_of(other) for other in PASSES if name_of(other) not in (each, _LAST)]
    only = partial(optimize, model, also=[each] if each in _TRIED else [], step=STEP)
    said = only(without=others if each == _LAST else [*others, _LAST])[1]
    if not said or said[0].startswith("rolled back"):
        return None
    return Change(network, each, serialized(model), serialized(only(without=others)[0]), said[0])


def measure(change: Change, timing_s: float) -> dict[str, Any]:
    """Time a change on both runtimes, and compare what they answer."""
    calls: dict[str, Callable[[], object]] = {}
    errors = {}
    with ExitStack() as built:
        for runtime in RUNTIMES:
            build = runtimes.load(runtime).build
            before, after = (
                built.enter_context(closing(build(model, OPTIONS))) for model in (change.before, change.after)
            )
            arrays = random_inputs(after.inputs, seed=0)
            errors[runtime] = relative_error(after.run(arrays), before.run(arrays))
            calls[f"{runtime} before"] = partial(before.run, arrays)
            calls[f"{runtime} after"] = partial(after.run, arrays)
        fewest, most = ROUNDS
        times = interleave(calls, budget_s=timing_s, min_rounds=fewest, max_rounds=most)
    found = {
        runtime: {
            "before_s": summarize(times[f"{runtime} before"]).median_s,
            "after_s": summarize(times[f"{runtime} after"]).median_s,
            "faster": speedup(of=times[f"{runtime} after"], over=times[f"{runtime} before"]),
            "max_error": errors[runtime],
        }
        for runtime in RUNTIMES
    }
    work = {"before_flops": flops(change.before), "after_flops": flops(change.after)}
    return {
        "pass": change.each,
        "network": change.network,
        "said": change.said,
        **work,
        **found,
        **judged(change, found),
    }


def flops(model: bytes) -> int:
    """Work of a graph for one item, 1 multiply-add = 2."""
    return totals(layer_rows(from_bytes(model, "graph"))).flops


def judged(change: Change, found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Whether a row with a bar is above it, and exact in integers; nothing for the others."""
    bar = next((bar for bar in BARS.get(change.each, []) if bar.network == change.network), None)
    if bar is None:
        return {}
    exact = equal_after(change.before, change.each, STEP)
    fast = all(each["faster"].mid >= bar.times for each in found.values())
    near = all(each["max_error"] <= bar.error for each in found.values())
    return {"bar": asdict(bar), "equal_in_integers": exact, "ok": fast and near and exact}


def document(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The rows, and for each pass how much it brings on each runtime."""
    passes = {
        each: {
            "networks": len(mine),
            **{runtime: summary([row[runtime]["faster"] for row in mine]) for runtime in RUNTIMES},
        }
        for each in map(name_of, ALL)
        if (mine := [row for row in rows if row["pass"] == each])
    }
    return {
        **here(),
        "options": asdict(OPTIONS),
        "passes": passes,
        "results": [plain(row) for row in rows],
        "ok": all(row.get("ok", True) for row in rows),
    }


def summary(ratios: list[Ratio]) -> dict[str, Any]:
    """Least, middle and greatest gain, and how many networks a pass made faster and slower beyond the noise."""
    mids = sorted(ratio.mid for ratio in ratios)
    verdicts = [ratio.verdict for ratio in ratios]
    return {
        "least": mids[0],
        "median": float(np.median(mids)),
        "most": mids[-1],
        "faster": verdicts.count("faster"),
        "slower": verdicts.count("slower"),
    }


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row for JSON."""
    return row | {each: row[each] | {"faster": asdict(row[each]["faster"])} for each in RUNTIMES}


if __name__ == "__main__":
    sys.exit(main())
