"""What training takes of memory and time with its pictures in memory, and read from their files by worker processes.

    python benchmarks/input_pipeline.py --output out.json
    python benchmarks/input_pipeline.py --pictures 300 --workers 1

A folder of JPEGs of 224 x 224 is made (smooth noise in colour, two classes; 3,000 of them as float inputs are 1.8 GB),
and a network of one strided convolution, whose steps cost nearly nothing, is trained on it for two epochs by one
thread, each way in a process of its own: so reading shows, at its worst. Memory is the largest resident set of the
process (VmHWM of Linux), and the most of it and its workers together, memory that they share counted once (their
proportional sets, looked at ten times a second). Samples a second, and what a step waits, are of the second epoch.
All ways must end with the same weights, bit for bit.

The last line on stdout is one JSON document. Exit code 1 when weights differ.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import nn

from chipwise.codec.hashes import sha256_bytes
from document import command_line, give, here

NETWORK = "input_pipeline:strided"
SIDE, BATCH, EPOCHS = 224, 64, 2
# Runs in a process of its own: trains, and prints its peak and the last epoch.
PROBE = """
import json, sys
from chipwise import api
from chipwise.training.process import peak_bytes

data, folder, ways = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
record = api.train(sys.argv[4], data, folder=folder, input_shape=(3, 224, 224), **ways)
last = record.history[-1]
print(json.dumps({"peak_bytes": peak_bytes(), "steps": last.steps, "seconds": last.seconds, "wait_s": last.wait_s}))
"""


def main() -> int:
    """Measure every way, and print the document."""
    parser = command_line(__doc__)
    parser.add_argument("--pictures", type=int, default=3000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    asked = parser.parse_args()
    ways: list[dict[str, Any]] = [{"loading": "ram"}, *({"loading": "workers", "workers": n} for n in asked.workers)]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        made(root / "pictures", asked.pictures)
        rows = [measured(root, place, way) for place, way in enumerate(ways)]
    same = len({row["weights"] for row in rows}) == 1
    facts = {"pictures": asked.pictures, "network": NETWORK, "batch": BATCH, "rows": rows, "same_weights": same}
    give("input_pipeline", here() | facts, asked.output)
    return 0 if same else 1


def strided() -> nn.Module:
    """Patches of 16 x 16 pixels, their mean, and a layer for two classes."""
    return nn.Sequential(nn.Conv2d(3, 32, 16, 16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 2))


def made(root: Path, count: int) -> None:
    """So many JPEGs in two class folders."""
    random = np.random.default_rng(0)
    for index in range(count):
        path = root / ("warm", "cold")[index % 2] / f"{index:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = random.integers(0, 200, (14, 14, 3), dtype=np.uint8)
        coarse[..., 2 * (index % 2)] += 30
        picture = Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        grain = random.integers(0, 24, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(np.asarray(picture) // 8 * 7 + grain).save(path, quality=90)


def measured(root: Path, place: int, way: dict[str, Any]) -> dict[str, Any]:
    """One way, in a process of its own, watched."""
    settings = {"epochs": EPOCHS, "batch_size": BATCH, "augment": "flip", "threads": 1, **way}
    folder = root / str(place)
    command = [sys.executable, "-c", PROBE, f"folder:{root / 'pictures'}", str(folder), json.dumps(settings), NETWORK]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        together = 0
        while process.poll() is None:
            together = max(together, sum(proportional(number) for number in family(process.pid)))
            time.sleep(0.1)
        assert process.stdout is not None
        told = json.loads(process.stdout.read().splitlines()[-1])
    row = {
        **way,
        "peak_mb": round(told["peak_bytes"] / 1e6),
        "peak_with_workers_mb": round(together / 1e6),
        "samples_per_s": round(told["steps"] * BATCH / told["seconds"], 1),
        "wait_ms_a_step": round(1e3 * told["wait_s"] / told["steps"], 1),
        "wait_share": round(told["wait_s"] / told["seconds"], 4),
        "weights": sha256_bytes((folder / "weights.safetensors").read_bytes()),
    }
    print(json.dumps(row), file=sys.stderr, flush=True)
    return row


def family(number: int) -> list[int]:
    """A process and those below it."""
    found = [number]
    for each in found:
        for tasks in Path(f"/proc/{each}/task").glob("*/children"):
            found += [int(child) for child in tasks.read_text().split()]
    return found


def proportional(number: int) -> int:
    """Bytes of a process, what it shares divided among those that share; 0 where it is gone."""
    try:
        lines = Path(f"/proc/{number}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


if __name__ == "__main__":
    sys.exit(main())
