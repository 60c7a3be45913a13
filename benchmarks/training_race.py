"""Which way to train gets there first: chipwise, a plain PyTorch loop, Lightning and Keras, on the same cores.

    python benchmarks/training_race.py mnist --shared ../shared/data --python PEERS/bin/python
    python benchmarks/training_race.py cifar --shared ../shared/data --python PEERS/bin/python --minutes 20

`PEERS` is an environment with chipwise, `lightning` and `keras`. `racers.py` says what each does: network, data,
augmentation, batches, highest learning rate and its rise and fall are the same. The clock runs from the word "go" to
the end: pixels to inputs, building the network, training, validation after every epoch, checkpoints and pictures where
one makes them, the test. Not in it: imports, reading the data, and a short training to get warm.

mnist   `convnet-small`, two epochs, all after one another for every seed, each time in another order; seconds until the
        end, for networks that then know 99% of the 10,000 test pictures. A ratio is of the plain loop's seconds over
        those of the same seed.
cifar   `resnet20` from nothing on 18,000 JPEG pictures of CIFAR-10, 2,000 to validate, for so many minutes: what can be
        learned in that time. A few epochs on fewer pictures say how many epochs it is enough for. They take turns of a
        few seconds, the others stopped, so that what else the machine does falls on all alike; a clock runs only
        while its racer does.

The last line on stdout is one JSON document. Exit code 1: chipwise was slower than the plain loop beyond noise, or
missed 99%, or knows less than the plain loop at the end, beyond chance.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import signal
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from document import command_line, give, here

HERE = Path(__file__).parent
OURS, OURS_FP32, PLAIN = "chipwise", "chipwise-fp32", "plain"
RACERS = {"mnist": (OURS, OURS_FP32, PLAIN, "lightning", "keras"), "cifar": (OURS, PLAIN, "lightning", "keras")}
TARGET = 0.99
SHARE = 0.97  # of the time is planned for
TRIED, TRIED_EPOCHS, ALL, VALIDATION = 4000, 2, 18_000, 2000
BACKWARD = 3  # a step takes three times what its forward pass does


@dataclass
class Racer:
    """One that races: its process, its own clock, and what it said, with the time of it."""

    name: str
    process: subprocess.Popen[bytes]
    own_s: float = 0.0
    said: list[dict[str, Any]] = field(default_factory=list)
    rest: bytes = b""

    @property
    def over(self) -> bool:
        """It has reached the end."""
        return bool(self.said) and self.said[-1]["at"] == "end"


def main() -> int:
    """Race; 0 when chipwise does not come after the plain loop."""
    options = parse()
    found = mnist(options) if options.race == "mnist" else cifar(options)
    give(f"training_race_{options.race}", {**here(), **found}, options.output)
    return 0 if found["ok"] else 1


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = command_line(__doc__)
    parser.add_argument("race", choices=RACERS)
    parser.add_argument("--shared", type=Path, required=True, help="folder of the reference data")
    parser.add_argument("--python", default=sys.executable, help="of the environment with lightning and keras")
    parser.add_argument("--seeds", type=int, default=5, help="of mnist")
    parser.add_argument("--minutes", type=float, default=20.0, help="of cifar, for each")
    parser.add_argument("--turn", type=float, default=10.0, help="seconds of a turn")
    return parser.parse_args(words)


def mnist(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds and accuracies of all, seed by seed."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in RACERS["mnist"]}
    order = deque(rows)
    for seed in range(options.seeds):
        for name in order:
            racer = begun(options, name, epochs=2, seed=seed)
            race([racer], turn_s=1e9)
            rows[name].append({"seed": seed, "seconds": racer.said[-1]["s"], "accuracy": racer.said[-1]["accuracy"]})
            print(name, rows[name][-1], file=sys.stderr, flush=True)
        order.rotate(1)
    table = {name: row_of(found, rows[PLAIN]) for name, found in rows.items()}
    ours = [table[OURS], table[OURS_FP32]]
    ok = table[OURS]["least_accuracy"] >= TARGET and all(row["faster_than_plain"]["high"] >= 1 for row in ours)
    return {"target": TARGET, "racers": table, "ok": ok}


def row_of(found: list[dict[str, Any]], plain: list[dict[str, Any]]) -> dict[str, Any]:
    """The numbers of one, beside the plain loop's."""
    ratios = sorted(theirs["seconds"] / own["seconds"] for own, theirs in zip(found, plain, strict=True))
    return {
        "seconds": statistics.median(row["seconds"] for row in found),
        "faster_than_plain": {"low": ratios[0], "mid": statistics.median(ratios), "high": ratios[-1]},
        "mean_accuracy": statistics.fmean(row["accuracy"] for row in found),
        "least_accuracy": min(row["accuracy"] for row in found),
        "seeds": found,
    }


def cifar(options: argparse.Namespace) -> dict[str, Any]:
    """What each knows after its time."""
    epochs = enough(options)
    print("epochs:", epochs, file=sys.stderr, flush=True)
    racers = [begun(options, name, epochs=epochs[name], seed=0) for name in RACERS["cifar"]]
    race(racers, options.turn)
    rows = {racer.name: told(racer, epochs[racer.name]) for racer in racers}
    ours, theirs = rows[OURS], rows[PLAIN]
    spread = 2 * sum(row["accuracy"] * (1 - row["accuracy"]) / row["samples"] for row in (ours, theirs)) ** 0.5
    ok = ours["accuracy"] >= theirs["accuracy"] - spread
    return {"minutes": options.minutes, "turn_s": options.turn, "racers": rows, "ok": ok}


def enough(options: argparse.Namespace) -> dict[str, int]:
    """Epochs that fill the time, by a second one on fewer pictures, in turns as well."""
    tried = {"epochs": TRIED_EPOCHS, "samples": TRIED}
    racers = [begun(options, name, seed=0, **tried) for name in RACERS["cifar"]]
    race(racers, options.turn / 4)
    larger = (BACKWARD * ALL + VALIDATION) / (BACKWARD * TRIED + VALIDATION)
    found = {}
    for racer in racers:
        first, second = (each["s"] for each in racer.said if each["at"] == "epoch")
        found[racer.name] = max(int(SHARE * 60 * options.minutes / ((second - first) * larger)), 1)
    return found


def told(racer: Racer, epochs: int) -> dict[str, Any]:
    """What one reached, and its curve."""
    end = racer.said[-1]
    curve = [{"s": each["s"], "validation": each["validation"]} for each in racer.said if each["at"] == "epoch"]
    found = {"epochs": epochs, "seconds": end["s"], "accuracy": end["accuracy"], "samples": end["samples"]}
    print(racer.name, found, file=sys.stderr, flush=True)
    return found | {"curve": curve}


def begun(options: argparse.Namespace, name: str, *, epochs: int, seed: int, samples: int | None = None) -> Racer:
    """A racer that has got the word, but is stopped."""
    run = [options.python, str(HERE / "racers.py"), name, options.race, "--shared", str(options.shared)]
    run += ["--epochs", str(epochs), "--seed", str(seed), *(["--samples", str(samples)] if samples else [])]
    pipe = subprocess.PIPE
    process = subprocess.Popen(run, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, start_new_session=True)
    racer = Racer(name, process)
    while not racer.said:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise SystemExit(f"{name} ended before it was ready: {' '.join(run)}")
        racer.said += [json.loads(line)] if line.startswith(b'{"at": "ready"') else []
    os.killpg(process.pid, signal.SIGSTOP)
    assert process.stdin is not None
    process.stdin.write(b"go\n")
    process.stdin.flush()
    return racer


def race(racers: list[Racer], turn_s: float) -> None:
    """Let all run to the end, in turns."""
    waiting = deque(racers)
    try:
        while waiting:
            racer = waiting.popleft()
            turn(racer, turn_s)
            if racer.over:
                racer.process.wait()
            else:
                waiting.append(racer)
    finally:
        for racer in racers:
            if racer.process.poll() is None:  # stopped ones would stay for ever
                os.killpg(racer.process.pid, signal.SIGKILL)


def turn(racer: Racer, seconds: float) -> None:
    """Let one run for so long, or to the end, and note what it says."""
    assert racer.process.stdout is not None
    pipe = racer.process.stdout.fileno()
    os.set_blocking(pipe, False)
    with selectors.DefaultSelector() as ready:
        ready.register(pipe, selectors.EVENT_READ)
        start = time.perf_counter()
        os.killpg(racer.process.pid, signal.SIGCONT)
        while (spent := time.perf_counter() - start) < seconds and not racer.over:
            if ready.select(min(seconds - spent, 60)):
                heard(racer, os.read(pipe, 1 << 16), racer.own_s + time.perf_counter() - start)
        if not racer.over:
            os.killpg(racer.process.pid, signal.SIGSTOP)
        racer.own_s += time.perf_counter() - start


def heard(racer: Racer, found: bytes, own_s: float) -> None:
    """Note documents, with the time on the racer's own clock."""
    if not found:
        raise SystemExit(f"{racer.name} ended before the end")
    *lines, racer.rest = (racer.rest + found).split(b"\n")
    racer.said += [json.loads(line) | {"s": round(own_s, 3)} for line in lines if line.startswith(b'{"at"')]


if __name__ == "__main__":
    sys.exit(main())
