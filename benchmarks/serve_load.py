"""How many requests a second servers answer, and how soon: chipwise, FastAPI on uvicorn, LitServe and MLServer.

    python benchmarks/serve_load.py --python PEERS/bin/python --latency 7ms --picture load.svg

`PEERS` is an environment with onnxruntime, numpy, fastapi, uvicorn, litserve and mlserver (which wants uvloop<0.22;
LitServe is quicker with pyzmq); what it lacks is left out and said. All serve the same graph, LeNet-5 and MobileNet-v2
with random weights, by ONNX Runtime with the same threads and workers, as processes of their own: it is serving that is
compared. Tensors are binary, but for MLServer, whose REST takes none: base64.

clients   1 and 32 clients that ask again once they are answered, in rounds: each server in turn, warmed, the order
          turned by one each round. Medians of rounds with the least and the largest; ratios are of the same round.
          `compute_share` is the time that one call takes in a process of its own times requests a second, by worker:
          above 1 where batches are quicker by item. `client_share` is the client's own processor time: where it is near
          1, or all cores are busy, the client is part of what was measured.
bound     the highest rate whose p99 keeps `--latency`, found by halving, where requests come at random times, whether
          the server is ready or not; then that rate again, each round. All servers take turns step by step.
curve     p50 and p99 from a tenth of what 32 clients reached to all of it, and the knee.

The last line on stdout is one JSON document. Exit code 1: whatever of ours is quickest answers fewer requests than a
peer beyond noise.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import chipwise
from chipwise.codec.plan_file import write_plan
from chipwise.compiler.load import open_plan
from chipwise.core.units import parse_duration_s
from chipwise.devices.detect import detect
from document import command_line, give, here
from load_chart import knee, load_curves
from load_client import Load, closed, offered
from load_servers import KINDS, NAMES, Served, Server, installed, kind_of, start
from suite import zoo

OURS, MANY = "chipwise", 32
NETWORKS = ("lenet5", "mobilenet-v2")
WARM_SHARE = 0.25  # of the seconds of a case, before it
CALLS = 50  # that tell how long one takes
LEAST_S = 0.1  # requests a second that are offered to a server which answered none
HEADROOM = 1.25  # of the rates that are tried over what 32 clients reached
Row = dict[str, Any]


def main() -> int:
    """Measure; 0 when no peer answers more."""
    options = parse()
    versions = installed(options.python, ["onnxruntime", "numpy", "uvicorn", "uvloop", "pyzmq", *KINDS.values()])
    names = [name for name in options.servers if kind_of(name) == OURS or KINDS[kind_of(name)] in versions]
    absent = sorted({kind_of(name) for name in options.servers} - {kind_of(name) for name in names})
    with tempfile.TemporaryDirectory() as folder:
        found = {network: measured(network, names, Path(folder), options) for network in options.networks}
    if options.picture:
        curves = {network: finite(row["curve"]) for network, row in found.items()}
        options.picture.write_bytes(load_curves(curves, options.latency_s))
    ok = all(ratio["high"] >= 1 for row in found.values() for ratio in ratios_of(row))
    told = {name: getattr(options, name) for name in ("workers", "threads", "rounds", "seconds", "latency_s")}
    give(
        "serve_load",
        {**here(), **told, "peers": versions, "absent": absent, "networks": found, "ok": ok},
        options.output,
    )
    return 0 if ok else 1


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = command_line(__doc__)
    parser.add_argument("--python", default=sys.executable, help="of the environment with the peers")
    parser.add_argument("--servers", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--networks", nargs="+", default=NETWORKS, help="of the zoo")
    parser.add_argument("--workers", type=int, default=1, help="calls at the same time, of each server")
    parser.add_argument("--threads", type=int, default=1, help="of a call")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of a case in a round, and of a rate")
    parser.add_argument("--latency", default="7ms", help="the bound on p99")
    parser.add_argument("--steps", type=int, default=7, help="of halving")
    parser.add_argument("--points", type=int, default=8, help="of a curve")
    parser.add_argument("--picture", type=Path, help="an .svg file for the curves")
    options = parser.parse_args(words)
    options.latency_s = parse_duration_s(options.latency)
    return options


def measured(network: str, names: list[str], folder: Path, options: argparse.Namespace) -> Row:
    """All numbers of one network."""
    served, compute_s = prepared(network, folder, options.threads)
    with running(names, served, options) as servers:
        rows = in_rounds(servers, options)
        top = {name: max(statistics.median(each.requests_s for each in rows[name][MANY]), LEAST_S) for name in servers}
        kept = bounded(servers, top, options)
        curve = curves(servers, top, options)
    return {
        "compute_s": compute_s,
        "item_bytes": served.item.nbytes,
        "servers": {name: told(loads, compute_s / options.workers) for name, loads in rows.items()},
        "faster_than": {
            name: {peer: against(rows, name, peer) for peer in names if kind_of(peer) != OURS}
            for name in names if kind_of(name) == OURS
        },
        "batching_gain": {
            kind: against(rows, f"{kind}-batched", kind)[MANY]
            for kind in names if f"{kind}-batched" in names
        },
        "bound": kept,
        "curve": curve,
    }  # fmt: skip


def prepared(network: str, folder: Path, threads: int) -> tuple[Served, float]:
    """A network as plan and as graph, run by ONNX Runtime with so many threads; and seconds of a call."""
    path = folder / f"{network}.plan"
    plan = chipwise.compile(zoo(network, folder), runtimes=["onnxruntime"], budget_s=10)
    choice = replace(plan.manifest.choice, threads=threads, batch=1, streams=1)
    plan = replace(plan, manifest=replace(plan.manifest, choice=choice))
    write_plan(path, plan)
    model = folder / f"{network}-plan.onnx"
    chipwise.export(path, output=model)
    spec = plan.manifest.inputs[0]
    item = np.random.default_rng(0).random(spec.concrete(1), np.float32)
    engine = open_plan(plan, detect())
    (answer, *_), times = engine.run([item]), []
    for _ in range(CALLS):
        started = time.perf_counter()
        engine.run([item])
        times.append(time.perf_counter() - started)
    engine.close()
    return Served(network, path, model, spec.name, item, answer.ravel()), statistics.median(times)


@contextlib.contextmanager
def running(names: list[str], served: Served, options: argparse.Namespace) -> Iterator[dict[str, Server]]:
    """All servers at the same time: those that are not asked only wait."""
    with contextlib.ExitStack() as ends:
        servers = {}
        for name in names:
            facts = {"python": options.python, "workers": options.workers, "threads": options.threads}
            servers[name] = start(name, served, bound=options.latency, **facts)
            ends.callback(servers[name].end)
        yield servers


def in_rounds(servers: dict[str, Server], options: argparse.Namespace) -> dict[str, dict[int, list[Load]]]:
    """Loads by server and number of clients, one of each round."""
    rows: dict[str, dict[int, list[Load]]] = {name: {1: [], MANY: []} for name in servers}
    for _, name, server in turns(servers, options.rounds):
        for clients, loads in rows[name].items():
            for seconds in (WARM_SHARE * options.seconds, options.seconds):
                load = closed(server.address, server.request, clients=clients, seconds=seconds)
            loads.append(load)
            print(name, clients, f"{load.requests_s:.0f}/s", file=sys.stderr, flush=True)
    return rows


def turns(servers: dict[str, Server], rounds: int) -> Iterator[tuple[int, str, Server]]:
    """Every server once a round, the order turned by one each time."""
    order = deque(servers)
    for number in range(rounds):
        for name in order:
            yield number, name, servers[name]
        order.rotate(1)


def told(loads: dict[int, list[Load]], compute_s: float) -> Row:
    """The numbers of one server by clients; `compute_s` is of a call, shared among the workers."""
    return {
        str(clients): {
            "requests_s": spread(load.requests_s for load in each),
            "p50_s": spread(load.quantile_s(0.5) for load in each),
            "p99_s": spread(load.quantile_s(0.99) for load in each),
            "compute_share": statistics.median(load.requests_s * compute_s for load in each),
            "client_share": statistics.median(load.client_s / load.seconds for load in each),
            "failed": sum(load.failed for load in each),
        }
        for clients, each in loads.items()
    }


def spread(values: Iterator[float] | Sequence[float]) -> dict[str, float | None]:
    """Least, median and largest; None for what is infinite."""
    ordered = sorted(values)
    found = {"low": ordered[0], "mid": statistics.median(ordered), "high": ordered[-1]}
    return {key: value if np.isfinite(value) else None for key, value in found.items()}


def against(rows: Mapping[str, dict[int, list[Load]]], one: str, other: str) -> dict[int, dict[str, float | None]]:
    """Requests a second of one over those of the other in the same round, by clients."""
    return {
        clients: spread([mine.requests_s / max(its.requests_s, 1e-9) for mine, its in zip(loads, theirs, strict=True)])
        for (clients, loads), theirs in zip(rows[one].items(), rows[other].values(), strict=True)
    }


def ratios_of(row: Row) -> Iterator[dict[str, float]]:
    """The ratios to each peer of what is quickest of ours, by clients."""
    ours = list(row["faster_than"].values())
    for peer in ours[0] if ours else ():
        for clients in ours[0][peer]:
            yield max((each[peer][clients] for each in ours), key=lambda ratio: ratio["mid"])


def bounded(servers: dict[str, Server], top: dict[str, float], options: argparse.Namespace) -> Row:
    """The highest rate of each server whose p99 keeps the bound."""

    def offer(name: str, rate: float, seed: int) -> Load:
        server = servers[name]
        return offered(server.address, server.request, rate=rate, seconds=options.seconds, seed=seed)

    def holds(name: str, rate: float, seed: int) -> bool:
        return offer(name, rate, seed).quantile_s(0.99) <= float(options.latency_s)

    rates = highest({name: HEADROOM * rate for name, rate in top.items()}, holds, options.steps)
    loads: dict[str, list[Load]] = {name: [] for name in servers}
    for number, name, _ in turns(servers, options.rounds):
        if rates[name]:
            loads[name].append(offer(name, rates[name], number + options.steps))
    return {
        name: {"requests_s": rates[name], "p99_s": spread(load.quantile_s(0.99) for load in each) if each else None}
        for name, each in loads.items()
    }


def highest(top: dict[str, float], holds: Callable[[str, float, int], bool], steps: int) -> dict[str, float]:
    """The highest rates that hold, by halving, each server one step at a time; 0 where none did.

    Args:
        top: rates that are not reached, by server.
        holds: whether a rate of a server keeps the bound; it is given the number of the step, too.
        steps: of halving: the result is exact to `top / 2 ** steps`.
    """
    low, high = dict.fromkeys(top, 0.0), dict(top)
    for step in range(steps):
        for name in top:
            middle = (low[name] + high[name]) / 2
            (low if holds(name, middle, step) else high)[name] = middle
    return low


def curves(servers: dict[str, Server], top: dict[str, float], options: argparse.Namespace) -> Row:
    """Latencies by offered load, and which point is the knee."""
    points: dict[str, list[dict[str, float | None]]] = {name: [] for name in servers}
    for number, name, server in turns(servers, options.points):
        rate = top[name] * (0.1 + 0.9 * number / max(options.points - 1, 1))
        load = offered(server.address, server.request, rate=rate, seconds=options.seconds, seed=number)
        found = {"requests_s": rate, "p50_s": load.quantile_s(0.5), "p99_s": load.quantile_s(0.99)}
        points[name].append({key: value if np.isfinite(value) else None for key, value in found.items()})
    lines = finite({name: {"points": each} for name, each in points.items()})
    return {
        name: {"points": each, "knee": knee(lines[name]) if name in lines else None} for name, each in points.items()
    }


def finite(curve: Row) -> dict[str, list[tuple[float, float]]]:
    """Load and p99 of the points of each server up to the first that has no p99; none of a server without any."""
    lines = {}
    for name, each in curve.items():
        lasts = [index for index, point in enumerate(each["points"]) if point["p99_s"] is None]
        kept = each["points"][: lasts[0] if lasts else None]
        if kept:
            lines[name] = [(point["requests_s"], point["p99_s"]) for point in kept]
    return lines


if __name__ == "__main__":
    sys.exit(main())
