"""How well the peak memory of each process of a mesh, and of training with activations on disk, is predicted.

    python benchmarks/mesh_memory.py
    python benchmarks/mesh_memory.py mlp-4096 --rows rows.jsonl

Every case trains a network of the zoo for two epochs of two steps on noise, with all that `chipwise train` does around
it. Processes of a mesh note what they are before they build the network, and the largest resident set (VmHWM of Linux)
since then; the one that takes most counts. With activations on disk it is the process that trains, as in
`training_memory.py`. Errors are of what a process grew by. Cases that nothing was fitted on are held out.

The last line on stdout is one JSON document. Exit code 1 when the median error is above 8%, or one above 20%.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from chipwise.core.training_memory import Savings
from chipwise.cost.mesh_memory import rank_way
from chipwise.cost.training_memory import Around
from chipwise.networks.layers import layer_rows
from chipwise.networks.load import load, with_classes
from chipwise.networks.torch_source import build_module
from chipwise.training.dropout import set_dropout
from chipwise.training.memory import way_of
from chipwise.training.parallel.mesh import parse_mesh
from chipwise.training.parallel.portions import portions_of
from document import command_line, give, here, remembered
from training_memory import CLASSES, one_thread, summed_up

STEPS = 2  # an epoch
# True where nothing was fitted on it; network, batch, optimizer, mesh or "disk", techniques.
CASES = (
    (False, "mlp-4096", 64, "adamw", "dp2", "plain"),
    (False, "mlp-4096", 64, "sgd", "zero12", "plain"),
    (False, "mlp-4096", 64, "adamw", "fsdp2", "plain"),
    (False, "mlp-4096", 64, "adamw", "tp2", "returned"),
    (False, "resnet20", 128, "adamw", "dp2", "returned"),
    (False, "resnet18", 8, "adamw", "zero12", "returned"),
    (True, "mlp-4096", 64, "adamw", "zero12", "returned"),
    (True, "mlp-4096", 64, "adamw", "zero22", "plain"),
    (True, "mlp-4096", 64, "sgd", "fsdp4", "plain"),
    (True, "resnet20", 128, "sgd", "zero22", "plain"),
    (True, "resnet18", 8, "sgd", "dp2", "returned"),
    (True, "vgg11", 8, "sgd", "pp2", "returned"),
    (True, "resnet18", 16, "adamw", "disk", "returned"),
    (True, "resnet20", 128, "sgd", "disk", "returned"),
    (True, "googlenet", 8, "sgd", "disk", "returned"),
)
# Runs in a process of its own: trains, and prints what it took.
PROBE = """
import json, sys, tempfile
import numpy as np
from dataclasses import asdict, replace
from pathlib import Path
from chipwise.api.around import around_of
from chipwise.api.memory import savings_of
from chipwise.api.meshes import ways_of
from chipwise.api.transfer import begun, network_to_train
from chipwise.core.events import silent
from chipwise.datasets.dataset import make
from chipwise.devices.detect import detect
from chipwise.networks.layers import layer_rows
from chipwise.training.checkpointed import as_text, segments_of
from chipwise.training.memory import units_of
from chipwise.training.process import forget_peak, peak_bytes, resident_bytes
from chipwise.training.recipes import recipe
from chipwise.training.swapped import swappable
from chipwise.training.train import train

name, batch, optimizer, mesh, words, steps = json.loads(sys.argv[1])
network = network_to_train(name, None)
picture = network.task.preprocess
count = (steps + 1) * batch  # of which 80% are trained on
random = np.random.default_rng(0)
shape = (count, picture.height, picture.width, picture.channels)
data = make("noise", random.integers(0, 255, shape, np.uint8), np.arange(count) % 10, tuple("abcdefghij"))
start = begun(network, data, 0, silent)
settings = replace(
    recipe(network.name), optimizer=optimizer, batch_size=batch, epochs=2, augment="none", threads=1,
    dropout=0.0 if mesh != "disk" and name.startswith(("mlp", "vgg")) else None, return_memory="returned" in words,
)
if mesh == "disk":
    units = units_of(swappable(start.module, segments_of(start.module)), layer_rows(start.network, batch))
    settings = replace(settings, swapped=as_text(units))
layer_rows(start.network, batch)
around = around_of(start, data, settings)
ranks = []
ways = {} if mesh == "disk" else ways_of(mesh, None, start, detect(), take=ranks.extend)
before = resident_bytes()
forget_peak()
with tempfile.TemporaryDirectory() as folder:
    record = train(start.module, start.network, data, settings, Path(folder), kept=start.kept, **ways)
print(json.dumps({
    "before_bytes": before, "measured_bytes": peak_bytes(), "seconds": record.seconds,
    "ranks": list(map(asdict, ranks)),
    "around": asdict(around), "savings": asdict(savings_of(settings, around)),
    "fed_bytes": around.data_bytes - 2 * data.inputs.nbytes,
}))
"""


def main() -> int:
    """Measure and compare; 0 when all bounds of the docstring hold."""
    parser = command_line(__doc__)
    parser.add_argument("networks", nargs="*", help="only cases of these networks")
    parser.add_argument("--rows", type=Path, help="file that keeps finished rows, to go on after an interruption")
    options = parser.parse_args()
    results = []
    for held, *case in CASES:
        if not options.networks or case[0] in options.networks:
            row = remembered(options.rows, " ".join(map(str, case)), partial(measure, case))
            results.append(scored({**row, "held_out": bool(held)}))
    errors = [abs(each["error"]) for each in results]
    document = {
        **here(),
        "results": results,
        "summary": {name: summed_up(results, held) for name, held in (("fitted", False), ("held out", True))},
        "median_error": statistics.median(errors),
        "largest_error": max(errors),
        "ok": statistics.median(errors) <= 0.08 and max(errors) <= 0.2,
    }
    give("mesh_memory", document, options.output)
    return 0 if document["ok"] else 1


def measure(case: Sequence[object]) -> dict[str, Any]:
    """Measure one case."""
    command = [sys.executable, "-c", PROBE, json.dumps([*case, STEPS])]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=900, env=one_thread())
    if done.returncode != 0:
        raise SystemExit(f"{case}: {done.stderr}")
    return {"network": " ".join(map(str, case)), "case": list(case), **json.loads(done.stdout.splitlines()[-1])}


def scored(row: dict[str, Any]) -> dict[str, Any]:
    """A row with the prediction, which is arithmetic on what the processes said of themselves before they trained."""
    name, _, _, mesh, _ = row["case"]
    given = row["savings"]
    savings = Savings(**{**given, **{key: tuple(map(tuple, given[key])) for key in ("again", "swapped")}})
    rows_at = cache(partial(layer_rows, with_classes(load(name), CLASSES)))
    around = Around(**row["around"])
    if mesh == "disk":
        before, measured = row["before_bytes"], row["measured_bytes"]
        memory = way_of(rows_at, around, savings).memory
    else:
        most = max(row["ranks"], key=lambda rank: rank["peak_bytes"] - rank["before_bytes"])
        before, measured = most["before_bytes"], most["peak_bytes"]
        memory = on_mesh(
            name, mesh, rows_at, replace(around, process_bytes=before, data_bytes=row["fed_bytes"]), savings
        )
    return {
        **row,
        "before_bytes": before,
        "measured_bytes": measured,
        "predicted_bytes": memory.total,
        "high_bytes": memory.high,
        "parts": asdict(memory),
        "error": (memory.total - before) / (measured - before) - 1,
        "whole_error": memory.total / measured - 1,
        "covered": measured <= memory.high,
    }


def on_mesh(name: str, mesh: str, rows_at: Any, around: Around, savings: Savings) -> Any:
    """The memory of the process of a mesh that takes most."""
    network = with_classes(load(name), CLASSES)
    assert network.source is not None
    module = build_module(network.source)
    if name.startswith(("mlp", "vgg")):
        set_dropout(module, 0.0)
    wanted = parse_mesh(mesh)
    share = around.batch // wanted.shares
    own = replace(savings, micro_batch=share, returned=savings.returned or wanted.has("zero2", "fsdp"))
    ranks = rank_way(rows_at, around, own, portions_of(module, wanted))
    return max((rank.memory for rank in ranks), key=lambda memory: memory.total)


if __name__ == "__main__":
    sys.exit(main())
