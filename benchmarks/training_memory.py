"""How well the peak memory of training on a CPU is predicted, and that `--memory` trains what else dies.

    python benchmarks/training_memory.py
    python benchmarks/training_memory.py resnet18 mlp-4096 --rows rows.jsonl

Every case is a fresh process that trains a network of the zoo for two epochs of two steps on noise, one thread, with
all that `chipwise train` does around it: splits, evaluation, checkpoints, the kept weights. What the process is before
is noted for the prediction (`chipwise.cost.training_memory`), then the largest resident set (VmHWM of Linux) begins
anew; of three processes the middle one counts. Errors are of what the process grew by since then; those of the whole
process are smaller. Cases that nothing was fitted on are held out: networks of their own, and nearly all cases with
checkpointing or micro-batches.

Last, two processes with a limit on their data segment (RLIMIT_DATA) train the same network: as it is, and with
`--memory`. The last line on stdout is one JSON document. Exit code 1 when the median error is above 8%, one above 20%,
the plain process survives its limit, or the other does not.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from chipwise.core.training_memory import Savings
from chipwise.cost.training_memory import Around
from chipwise.networks.layers import layer_rows
from chipwise.networks.load import load, with_classes
from chipwise.training.memory import way_of
from document import command_line, give, here, remembered

STEPS = 2  # an epoch
RUNS = 3  # processes a case, of which the middle one counts
CLASSES = 10
# Network, batch, optimizer, techniques; True where nothing was fitted on it.
CASES = (
    (False, "lenet-300-100", 256, "adamw", "plain"),
    (False, "lenet5-caffe", 128, "adamw", "plain"),
    (False, "mlp-4096", 256, "adamw", "plain"),
    (False, "mlp-4096", 64, "sgd", "plain"),
    (False, "resnet20", 128, "sgd", "plain"),
    (False, "resnet18", 16, "adamw", "checkpointing"),
    (False, "resnet20", 128, "sgd", "checkpointing"),
    (True, "resnet20", 128, "adamw", "accumulation"),
    (True, "resnet20", 128, "adamw", "accumulation+checkpointing"),
    (True, "convnet-small", 256, "adamw", "accumulation"),
    (True, "mlp-4096", 256, "sgd", "accumulation"),
    (False, "resnet20", 128, "adamw", "bf16"),
    (True, "squeezenet1.0", 8, "adamw", "plain"),
    (True, "mobilenet-v2", 8, "adamw", "bf16+checkpointing"),
    (True, "resnet18", 8, "sgd", "returned"),
    (True, "googlenet", 8, "sgd", "checkpointing+returned"),
    (True, "resnet44", 64, "sgd", "plain"),
    (False, "mobilenet-v2", 16, "adamw", "plain"),
    (True, "vgg11", 8, "sgd", "checkpointing"),
    (False, "googlenet", 16, "adamw", "plain"),
    (True, "zfnet", 16, "adamw", "plain"),
    (True, "repvgg-a0", 8, "sgd", "plain"),
    (True, "densenet121", 8, "sgd", "checkpointing+returned"),
    (True, "resnet50", 8, "adamw", "bf16+returned"),
    (True, "mlp-4096", 64, "adamw", "state"),
    (True, "mlp-4096", 64, "sgd", "state+returned"),
    (True, "zfnet", 8, "adamw", "state+returned"),
    (True, "vgg11", 8, "adamw", "checkpointing+state+returned"),
    (True, "mlp-4096", 64, "adamw", "weights+state+returned"),
    (True, "mlp-4096", 64, "sgd", "accumulation+weights+state+returned"),
    (True, "zfnet", 8, "adamw", "weights+state+returned"),
    (True, "vgg11", 8, "adamw", "checkpointing+weights+state+returned"),
)
# Runs in a process of its own: predicts, trains, and prints what it took.
PROBE = """
import json, sys, tempfile
import numpy as np
from dataclasses import asdict, replace
from pathlib import Path
from chipwise.api.around import around_of
from chipwise.api.memory import savings_of
from chipwise.api.transfer import begun, network_to_train
from chipwise.core.events import silent
from chipwise.datasets.dataset import make
from chipwise.networks.layers import layer_rows
from chipwise.training.checkpointed import as_text, segments_of
from chipwise.training.memory import units_of
from chipwise.training.process import forget_peak, peak_bytes, resident_bytes
from chipwise.training.recipes import recipe
from chipwise.training.train import train

name, batch, optimizer, words, steps = json.loads(sys.argv[1])
network = network_to_train(name, None)
picture = network.task.preprocess
count = (steps + 1) * batch  # of which 80% are trained on
random = np.random.default_rng(0)
shape = (count, picture.height, picture.width, picture.channels)
data = make("noise", random.integers(0, 255, shape, np.uint8), np.arange(count) % 10, tuple("abcdefghij"))
start = begun(network, data, 0, silent)
techniques = words.split("+")
settings = replace(
    recipe(network.name), optimizer=optimizer, batch_size=batch, epochs=2, augment="none", threads=1,
    precision="bf16" if "bf16" in techniques else "fp32",
    micro_batch=batch // 4 if "accumulation" in techniques else None,
    return_memory="returned" in techniques, state_on_disk="state" in techniques,
    weights_on_disk="weights" in techniques,
)
if "checkpointing" in techniques:
    units = units_of(segments_of(start.module), layer_rows(start.network, batch))
    settings = replace(settings, recompute=as_text(units))
layer_rows(start.network, batch)
around = around_of(start, data, settings)
before = resident_bytes()
forget_peak()
with tempfile.TemporaryDirectory() as folder:
    record = train(start.module, start.network, data, settings, Path(folder), kept=start.kept)
print(json.dumps({
    "before_bytes": before, "measured_bytes": peak_bytes(), "seconds": record.seconds,
    "around": asdict(around), "savings": asdict(savings_of(settings, around)),
}))
"""
LIMITED = "under a limit"
LIMITED_NETWORK, LIMIT_BATCH, LIMIT = "resnet18", 32, "1200MB"


def main() -> int:
    """Measure and compare; 0 when all bounds of the docstring hold."""
    options = parse()
    results: list[dict[str, Any]] = []
    finished = known(options.rows) if options.finished else None
    not_run: list[str] = []
    for held, *case in CASES:
        name = " ".join(map(str, case))
        if options.networks and case[0] not in options.networks:
            continue
        if finished is not None and name not in finished:
            not_run.append(name)
            continue
        row = remembered(options.rows, name, partial(measure, case))
        results.append(scored({**row, "held_out": bool(held)}))
    skip = options.networks or (finished is not None and LIMITED not in finished)
    limited = None if skip else remembered(options.rows, LIMITED, under_a_limit)
    largest = max(abs(each["error"]) for each in results)
    median = statistics.median(abs(each["error"]) for each in results)
    survived = limited is None or (limited["plain"]["exit_code"] != 0 and limited["chosen"]["exit_code"] == 0)
    document = {
        **here(),
        "results": results,
        "summary": {name: summed_up(results, held) for name, held in (("fitted", False), ("held out", True))},
        "not_run": not_run,
        "under_a_limit": limited,
        "median_error": median,
        "largest_error": largest,
        "ok": median <= 0.08 and largest <= 0.2 and survived,
    }
    give("training_memory", document, options.output)
    return 0 if document["ok"] else 1


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = command_line(__doc__)
    parser.add_argument("networks", nargs="*", help="only cases of these networks")
    parser.add_argument("--rows", type=Path, help="file that keeps finished rows, to go on after an interruption")
    parser.add_argument("--finished", action="store_true", help="measure nothing: score what the rows file holds")
    return parser.parse_args()


def known(rows: Path) -> set[str]:
    """Cases that were measured before."""
    return {json.loads(line)["network"] for line in rows.read_text().splitlines()}


def measure(case: Sequence[object]) -> dict[str, Any]:
    """Measure one case."""
    command = [sys.executable, "-c", PROBE, json.dumps([*case, STEPS])]
    runs = []
    for _ in range(RUNS):
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=900, env=one_thread())
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    runs.sort(key=lambda run: run["measured_bytes"] - run["before_bytes"])
    every = [run["measured_bytes"] for run in runs]
    return {"network": " ".join(map(str, case)), "case": list(case), **runs[RUNS // 2], "every_run_bytes": every}


def scored(row: dict[str, Any]) -> dict[str, Any]:
    """A row with the prediction, which is arithmetic on what the process said of itself before it trained."""
    given = row["savings"]
    savings = Savings(**{**given, **{key: tuple(map(tuple, given[key])) for key in ("again", "swapped")}})
    rows_at = partial(layer_rows, with_classes(load(row["case"][0]), CLASSES))
    way = way_of(rows_at, Around(**row["around"]), savings)
    before, measured = row["before_bytes"], row["measured_bytes"]
    return {
        **row,
        "predicted_bytes": way.memory.total,
        "high_bytes": way.memory.high,
        "parts": asdict(way.memory),
        "time_factor": way.time_factor,
        "error": (way.memory.total - before) / (measured - before) - 1,
        "whole_error": way.memory.total / measured - 1,
        "covered": measured <= way.memory.high,
    }


def under_a_limit() -> dict[str, Any]:
    """Train the same network twice under RLIMIT_DATA: as it is, and as `--memory` makes it fit."""
    size = int(LIMIT.removesuffix("MB")) * 10**6
    with tempfile.TemporaryDirectory() as folder:
        pictures = np.random.default_rng(0).integers(0, 255, (4 * LIMIT_BATCH, 224, 224, 3), np.uint8)
        np.savez(f"{folder}/noise.npz", x=pictures, y=np.arange(4 * LIMIT_BATCH) % 4)
        usual = [
            "train",
            LIMITED_NETWORK,
            "-d",
            f"npz:{folder}/noise.npz",
            "--batch-size",
            str(LIMIT_BATCH),
            "--epochs",
            "1",
        ]
        usual += ["--threads", "1", "--augment", "none", "--precision", "fp32", "--json"]
        plain = limited([*usual, "-o", f"{folder}/plain"], size)
        chosen = limited([*usual, "-o", f"{folder}/chosen", "--memory", LIMIT], size)
    return {
        "network": LIMITED,
        "trained": LIMITED_NETWORK,
        "batch": LIMIT_BATCH,
        "limit_bytes": size,
        "plain": plain,
        "chosen": chosen,
    }


def limited(arguments: list[str], size: int) -> dict[str, Any]:
    """The end of `chipwise` with so much memory for its data."""
    done = subprocess.run(
        [sys.executable, "-m", "chipwise", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=900,
        env=one_thread(),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (size, size)),
    )
    found = json.loads(done.stdout) if done.returncode == 0 else {}
    said = next((line for line in reversed(done.stderr.splitlines()) if line.startswith("error")), "")
    return {"exit_code": done.returncode, "said": said, "memory": found.get("memory")}


def one_thread() -> dict[str, str]:
    """The environment with one thread for every library."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def summed_up(results: Sequence[dict[str, Any]], held: bool) -> dict[str, Any]:
    """Median, mean and largest errors, and the share below the upper bound, of one half."""
    errors = sorted(abs(each["error"]) for each in results if each["held_out"] is held)
    if not errors:
        return {"rows": 0}
    return {
        "rows": len(errors),
        "median": statistics.median(errors),
        "mean": statistics.fmean(errors),
        "largest": errors[-1],
        "covered": statistics.fmean(each["covered"] for each in results if each["held_out"] is held),
    }


if __name__ == "__main__":
    sys.exit(main())
