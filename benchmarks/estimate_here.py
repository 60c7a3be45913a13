"""How well `estimate --on here` predicts networks on this machine, from `doctor --measure` alone.

    python benchmarks/estimate_here.py                       # measures the machine first, then networks
    python benchmarks/estimate_here.py --profile here.json   # with a profile that doctor --measure --save wrote

Sixteen networks of the zoo, none of which the machine was measured with, x batch 1 and 8 x ONNX Runtime fp32, OpenVINO
fp32 and bf16. Each is predicted from its layer rows, then timed: the runtimes take turns in interleaved rounds, the
median counts. Nothing is fitted on these networks: intervals come from the small networks that layers are measured in,
each predicted from the others.

The last line on stdout is one JSON document; progress goes to stderr. Exit code 1 when the median error is above 10% or
fewer intervals hold than they should.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnx_ir as ir

from chipwise import runtimes
from chipwise.clock.interleave import interleave
from chipwise.codec.machine_file import read_machine
from chipwise.compiler.measure_machine import measure_machine
from chipwise.core.estimate import Workload
from chipwise.core.measured import MeasuredMachine
from chipwise.cost.measured_estimate import estimate_measured
from chipwise.devices.detect import detect
from chipwise.networks.export import with_graph
from chipwise.networks.layers import layer_rows
from chipwise.networks.load import load
from chipwise.runtimes.engine import Engine, EngineOptions
from chipwise.views.terminal import TerminalProgress
from document import command_line, give, here

NETWORKS = (
    *("lenet5", "convnet-small", "resnet20", "squeezenet1.1", "mobilenet-v1", "mobilenet-v2", "googlenet"),
    *("densenet121", "repvgg-a0", "resnet18", "resnet50", "mlp-4096", "darknet19", "inception-v3", "alexnet"),
    "vgg11",
)
BATCHES = (1, 8)
RUNTIMES = (("onnxruntime", "fp32"), ("openvino", "fp32"), ("openvino", "bf16"))
LIMIT = 0.10


def main() -> int:
    """Measure; 0 when the median error and the coverage are as promised."""
    options = parse()
    with TerminalProgress() as progress:
        if options.profile:
            machine = read_machine(options.profile)
        else:
            machine = measure_machine(detect(), budget_s=options.measure, progress=progress, keep=lambda _: None)
        rows = []
        for number, name in enumerate(options.networks):
            progress.update("networks", number / len(options.networks), name)
            for batch in BATCHES:
                rows += measure(name, batch, machine, options.budget)
                print(json.dumps(rows[-len(RUNTIMES) :]), file=sys.stderr)
        progress.update("networks", 1.0)
    total = score(rows)
    document = {
        **here(),
        "measured_s": machine.seconds,
        "intervals": "conformal, from small networks each predicted from the others; not from these networks",
        "summary": {f"{runtime} {precision}": summary(rows, runtime, precision) for runtime, precision in RUNTIMES},
        "all": total,
        "rows": rows,
    }
    document["ok"] = bool(rows) and total["median_error"] <= LIMIT and total["covered"] >= total["promised"]
    give("estimate_here", document, options.output)
    return 0 if document["ok"] else 1


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = command_line(__doc__)
    parser.add_argument("--networks", nargs="*", default=NETWORKS, help="names of the zoo")
    parser.add_argument("--profile", type=Path, help="what doctor --measure --save wrote, instead of measuring")
    parser.add_argument("--measure", type=float, default=170.0, help="seconds for measuring the machine")
    parser.add_argument("--budget", type=float, default=3.0, help="seconds of timing for each network and batch")
    return parser.parse_args()


def measure(name: str, batch: int, machine: MeasuredMachine, budget_s: float) -> list[dict[str, object]]:
    """One row a runtime: predicted and measured seconds; none of runtimes whose layers were not measured."""
    network = load(name)
    layers = layer_rows(network, batch)
    graph = with_graph(network).graph
    assert graph is not None, f"{name} has no graph"
    model = ir.to_proto(graph).SerializeToString()
    expected = {
        (runtime, precision): estimate_measured(
            layers, machine, Workload(batch=batch, precision=precision, runtime=runtime, compiled=True)
        )
        for runtime, precision in RUNTIMES
    }
    wanted = [key for key, estimate in expected.items() if estimate is not None]
    if not wanted:
        return []
    engines = {key: runtimes.load(key[0]).build(model, EngineOptions(key[1], 0, batch)) for key in wanted}
    samples = interleave(
        {" ".join(key): call(engine, batch) for key, engine in engines.items()},
        budget_s=budget_s,
        min_rounds=9,
        max_rounds=60,
    )
    rows: list[dict[str, object]] = []
    for key in wanted:
        estimate = expected[key]
        assert estimate is not None
        time_s, median_s = estimate.time_s, float(np.median(samples[" ".join(key)]))
        assert time_s.mid is not None
        rows.append(
            {
                "network": name, "batch": batch, "runtime": key[0], "precision": key[1],
                "predicted_s": time_s.mid, "low_s": time_s.low, "high_s": time_s.high, "measured_s": median_s,
                "fastest_s": float(samples[" ".join(key)].min()), "rounds": len(samples[" ".join(key)]),
                "error": time_s.mid / median_s - 1, "covered": time_s.covers(median_s), "coverage": time_s.coverage,
            }
        )  # fmt: skip
        engines[key].close()
    return rows


def call(engine: Engine, batch: int) -> Callable[[], object]:
    """A call on random inputs."""
    random = np.random.default_rng(0)
    arrays = [random.standard_normal(spec.concrete(batch)).astype(spec.dtype) for spec in engine.inputs]
    return partial(engine.run, arrays)


def summary(rows: list[dict[str, object]], runtime: str, precision: str) -> dict[str, float]:
    """Errors and coverage of one runtime in one precision."""
    return score([row for row in rows if (row["runtime"], row["precision"]) == (runtime, precision)])


def score(rows: list[dict[str, object]]) -> dict[str, float]:
    """Errors and coverage; empty without rows."""
    if not rows:
        return {}
    errors = [abs(float(str(row["error"]))) for row in rows]
    return {
        "rows": len(rows),
        "median_error": statistics.median(errors),
        "mean_error": statistics.fmean(errors),
        "p90_error": float(np.percentile(errors, 90)),
        "covered": sum(bool(row["covered"]) for row in rows) / len(rows),
        "promised": float(str(rows[0]["coverage"])),
    }


if __name__ == "__main__":
    sys.exit(main())
