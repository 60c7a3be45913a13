"""Does `chipwise serve` stay as it is for an hour? Memory, errors and wrong answers under a steady load.

    python benchmarks/serve_soak.py --output benchmarks/results/MACHINE/serve_soak.json
    python benchmarks/serve_soak.py X.plan --minutes 1

First one client asks as fast as it is answered. Then requests come at random times at 70% of that rate, at most
`--requests` in all. Every answer is compared with the plan's expected outputs. Every few seconds the resident memory of
the server and of its workers is read. The slope of each is that of a least-squares line through all readings but the
first tenth, in which caches fill; its 95% interval counts readings that follow each other for fewer than they are, by
their correlation (n (1 - r) / (1 + r), as of a first-order autoregression).

The last line on stdout is one JSON document. Exit code 1: a request failed or was answered wrong, or memory grows by
more than 2% an hour beyond doubt. Less than ten minutes do not tell that ("grows" is null): caches still fill.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chipwise.codec.plan_file import read_plan
from document import command_line, give, here
from load_client import Load, closed, offered
from load_servers import Served, Server, answer_of, start
from serve_load import prepared

SHARE = 0.7  # of what one client reached
WARM_SHARE = 0.1  # of the readings
GROWTH_AN_HOUR = 0.02  # of the memory, that is none yet
HOUR_S, TELLING_S = 3600.0, 600.0
TOP_S = 5.0
NORMAL_95 = 1.96
Row = dict[str, Any]


@dataclass
class Soaked:
    """What was seen.

    Attributes:
        latencies_s: of a part of the requests, the same share of each slice.
        requests, failed, wrong: how many.
        times_s, server_bytes, workers_bytes: readings.
    """

    latencies_s: list[float] = field(default_factory=list)
    requests: int = 0
    failed: int = 0
    wrong: int = 0
    times_s: list[float] = field(default_factory=list)
    server_bytes: list[int] = field(default_factory=list)
    workers_bytes: list[int] = field(default_factory=list)


def main() -> int:
    """Soak; 0 when nothing went wrong and nothing grew."""
    options = parse()
    with tempfile.TemporaryDirectory() as folder:
        served = sample_of(options.plan or prepared("lenet5", Path(folder), options.threads)[0].plan)
        facts = {"workers": options.workers, "threads": options.threads, "bound": options.latency}
        server = start("chipwise-batched", served, python=sys.executable, **facts)
        try:
            top = closed(server.address, server.request, clients=1, seconds=options.top_seconds).requests_s
            rate = min(SHARE * top, options.requests / (60 * options.minutes))
            soaked = soak(server, served, rate, options)
        finally:
            server.end()
    found = document(soaked, top, rate)
    give("serve_soak", {**here(), "minutes": options.minutes, **facts, **found}, options.output)
    return 0 if found["ok"] else 1


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = command_line(__doc__)
    parser.add_argument("plan", type=Path, nargs="?", help="one input, one output, float32; lenet5 if not given")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--requests", type=int, default=10_000_000, help="at most, in all")
    parser.add_argument("--workers", type=int, default=1, help="calls at the same time")
    parser.add_argument("--threads", type=int, default=1, help="of a call")
    parser.add_argument("--latency", default="7ms", help="that batches keep")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between readings of memory")
    parser.add_argument("--top-seconds", type=float, default=TOP_S, help="in which one client asks as fast as it can")
    return parser.parse_args(words)


def sample_of(path: Path) -> Served:
    """A plan with its own sample and expected output.

    Raises:
        SystemExit: it has several inputs or outputs, or others than float32.
    """
    plan = read_plan(path)
    if [array.dtype.name for array in (*plan.sample_inputs, *plan.expected_outputs)] != ["float32"] * 2:
        raise SystemExit(f"{path} has other inputs and outputs than one of float32 each")
    (item,), (answer,) = plan.sample_inputs, plan.expected_outputs
    name = plan.manifest.inputs[0].name
    return Served(path.stem, path, path, name, item.astype(np.float32), answer.astype(np.float32).ravel())


def soak(server: Server, served: Served, rate: float, options: argparse.Namespace) -> Soaked:
    """Offer requests at a rate in slices, and read memory between them."""
    soaked = Soaked()
    slices = max(round(60 * options.minutes / options.every), 2)
    for number in range(slices):
        load = offered(
            server.address, server.request, rate=rate, seconds=options.every, seed=number, right=right(served)
        )
        take(soaked, load, number * options.every, server.process.pid)
        if number % max(slices // 60, 1) == 0:
            said = f"{number * options.every / 60:.1f} min, {soaked.requests} requests, {soaked.failed} failed"
            print(f"{said}, {soaked.wrong} wrong, {soaked.server_bytes[-1] >> 20} MiB", file=sys.stderr, flush=True)
    return soaked


def right(served: Served) -> Callable[[bytes], bool]:
    """Whether the body of an answer has the expected output; joined to a batch it may differ by rounding."""

    def compared(body: bytes) -> bool:
        return np.allclose(answer_of("chipwise", body, served), served.answer, rtol=1e-3, atol=1e-4)

    return compared


def take(soaked: Soaked, load: Load, at_s: float, pid: int) -> None:
    """Add a slice, and read memory."""
    soaked.requests += len(load.latencies_s) + load.failed + load.wrong
    soaked.failed += load.failed
    soaked.wrong += load.wrong
    soaked.latencies_s += list(load.latencies_s)[::100] or list(load.latencies_s)[:1]
    soaked.times_s.append(at_s)
    soaked.server_bytes.append(resident_bytes(pid))
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    soaked.workers_bytes.append(sum(resident_bytes(int(child)) for child in children))


def resident_bytes(pid: int) -> int:
    """Memory of a process that lies in RAM; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS:")), 0)


def slope(times_s: Sequence[float], values: Sequence[float]) -> dict[str, float]:
    """Slope of a line through readings, a second, with its 95% interval; see the top of this file."""
    skipped = int(WARM_SHARE * len(times_s))
    times, rows = np.asarray(times_s[skipped:], float), np.asarray(values[skipped:], float)
    away = times - times.mean()
    mid = float(away @ rows / (away @ away))
    left = rows - rows.mean() - mid * away
    spread = float(left @ left)
    count = alike(left)
    deviation = np.sqrt(spread / len(left) * (count / max(count - 2, 1)) / (away @ away) * (len(left) / count))
    return {"low": mid - NORMAL_95 * float(deviation), "mid": mid, "high": mid + NORMAL_95 * float(deviation)}


def alike(left: NDArray[np.float64]) -> float:
    """How many readings that do not depend on each other these are worth."""
    energy = float(left @ left)
    together = float(left[1:] @ left[:-1]) / energy if energy else 0.0
    together = min(max(together, 0.0), 0.99)
    return max(len(left) * (1 - together) / (1 + together), 3.0)


def document(soaked: Soaked, top: float, rate: float) -> Row:
    """All that was found."""
    memory = {}
    for name, values in {"server": soaked.server_bytes, "workers": soaked.workers_bytes}.items():
        an_hour = {key: HOUR_S * value for key, value in slope(soaked.times_s, values).items()}
        mean = float(np.mean(values))
        grows = an_hour["low"] > GROWTH_AN_HOUR * mean if soaked.times_s[-1] >= TELLING_S else None
        facts = {"first_bytes": values[0], "last_bytes": values[-1], "most_bytes": max(values)}
        memory[name] = {**facts, "bytes_an_hour": an_hour, "grows": grows}
    latencies = {f"p{share}_s": float(np.percentile(soaked.latencies_s, share)) for share in (50, 99)}
    counts = {"requests": soaked.requests, "failed": soaked.failed, "wrong": soaked.wrong}
    ok = not soaked.failed and not soaked.wrong and not any(each["grows"] for each in memory.values())
    readings = {"seconds": soaked.times_s, "server_bytes": soaked.server_bytes, "workers_bytes": soaked.workers_bytes}
    rates = {"top_requests_s": top, "offered_requests_s": rate}
    return {**rates, **counts, **latencies, "memory": memory, "readings": readings, "ok": ok}


if __name__ == "__main__":
    sys.exit(main())
