"""Training in 1, 2 and 4 processes: steps a second, how much of a step is talking, what exchanging weights costs.

    python benchmarks/scaling.py --output benchmarks/results/scaling.json --picture docs/images/scaling.svg

A CNN and an MLP, the batch of all processes the same (strong scaling), a thread a process, by copies that all-reduce
gradients (dp), by parts of weights (fsdp), and by a parameter server on Ray that takes deltas of weights: of one server
and of two, synchronous (ps1, ps2), and asynchronous (ps1-async). What is measured stands beside what `cost.parallel`
says, from what one process takes for a batch and for a quarter of one, and from what one message takes:

* Speed: steps a second over those of one process; the cores of the machine are as much as can be had.
* Communication: of dp and fsdp, the same processes learn the same shares once more, all at the same time, without a
  word to each other; what a step takes beyond that is talking and waiting, and what wrappers cost. Of servers, the time
  from pushing a delta until the new weights are there, of which waiting for others is a part.
* Exchange: an all-reduce of as many bytes as the gradients have; and the same time from push to pull.

The last line on stdout is one JSON document; progress goes to stderr. `--rows FILE` keeps rows for a run that goes on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from chipwise.cost.parallel import Step, Wire, ring_s, served_rate, served_s
from chipwise.devices.detect import detect
from chipwise.training.parallel.served import Serving, train_served
from chipwise.views.ink import Palette, as_file, quiet_axes
from document import command_line, give, here, remembered
from scaled_networks import BATCH, NETWORKS, samples

WORLDS = (1, 2, 4)
KINDS = ("dp", "fsdp", "ps1", "ps2", "ps1-async")
_DASHES = dict(zip(KINDS, ("-", "--", "-.", (0, (3, 1, 1, 1, 1, 1)), ":"), strict=True))
_SERVED_ROUNDS = 2  # times the steps: the median of a process that nothing waits for needs more of them
_ZERO3 = 1.5  # of the bytes of an all-reduce: Rajbhandari et al., "ZeRO", SC 2020, section 7.2.2


def main() -> int:
    """Measure all."""
    parser = command_line(__doc__)
    parser.add_argument("--picture", type=Path, help="draw the speed-up here (.png, .svg)")
    parser.add_argument("--rows", type=Path, help="file of rows to go on from, and to add to")
    parser.add_argument("--steps", type=int, default=30, help="timed steps of each kind")
    parser.add_argument("--worlds", type=int, nargs="+", default=WORLDS, help="numbers of processes")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    rows = [
        kept(options.rows, network, kind, world, options.steps)
        for network in NETWORKS
        for kind in KINDS
        for world in options.worlds
    ]
    rows = completed(rows, detect().cores)
    if options.picture:
        options.picture.parent.mkdir(parents=True, exist_ok=True)
        options.picture.write_bytes(picture(rows, options.picture.suffix))
    note = f"one thread a process, {detect().cores} cores: more processes than cores share them"
    give("scaling", {**here(), "batch": BATCH, "load_before": load, "note": note, "rows": rows}, options.output)
    return 0


def kept(file: Path | None, network: str, kind: str, world: int, steps: int) -> dict[str, Any]:
    """One row, measured only where an earlier, interrupted run did not leave it in the file."""
    name = f"{network} {kind} {world}"
    return remembered(file, name, lambda: measured(network, kind, world, steps) | {"network": name}) | {
        "network": network
    }


def measured(network: str, kind: str, world: int, steps: int) -> dict[str, Any]:
    """One row: from processes that torchrun starts, or from servers and workers on Ray."""
    if kind.startswith("ps"):
        return served(network, kind, world, steps)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "row.json"
        run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(world)]
        subprocess.run(
            [*run, str(Path(__file__).with_name("scaling_worker.py")), network, kind, str(file), str(steps)],
            check=True,
            stdout=subprocess.DEVNULL,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        return dict(json.loads(file.read_text()))


def served(network: str, kind: str, world: int, steps: int) -> dict[str, Any]:
    """A row of a parameter server."""
    torch.manual_seed(0)
    servers, asynchronous = int(kind.removeprefix("ps").removesuffix("-async")), kind.endswith("-async")
    order = torch.arange(BATCH).repeat(_SERVED_ROUNDS * steps, 1)
    wanted = Serving(servers, world, asynchronous, learning_rate=1e-3, cores=world)  # a thread each
    made = (f"scaled_networks:{network}", dict[str, object]())
    found = train_served(NETWORKS[network](), made, (network, "random"), samples(network, BATCH), order, wanted=wanted)
    return {
        "network": network,
        "kind": kind,
        "processes": world,
        "servers": servers,
        "weight_bytes": found.weight_bytes,
        "steps_per_s": found.samples_per_s / BATCH,
        "step_s": BATCH / found.samples_per_s,
        "compute_s": found.compute_s,
        "communication_share": found.communication_share,
        "exchange_s": found.exchange_s,
        "staleness_mean": found.staleness.mean,
        "staleness_most": found.staleness.most,
    }


def completed(rows: list[dict[str, Any]], cores: int) -> list[dict[str, Any]]:
    """Rows with their speed-up, and with what the cost model says of them."""
    return [row | {"speed_up": speed_up(rows, row)} | predicted(rows, row, cores) for row in rows]


def of_kind(rows: list[dict[str, Any]], row: dict[str, Any], kind: str, world: int) -> dict[str, Any] | None:
    """The row of the same network by another kind, or in other processes; None where it was not measured."""
    wanted = (row["network"], kind, world)
    return next((each for each in rows if (each["network"], each["kind"], each["processes"]) == wanted), None)


def speed_up(rows: list[dict[str, Any]], row: dict[str, Any]) -> float | None:
    """Steps a second over those of one process; None where that was not measured."""
    one = of_kind(rows, row, row["kind"], 1)
    return None if one is None else round(row["steps_per_s"] / one["steps_per_s"], 3)


def predicted(rows: list[dict[str, Any]], row: dict[str, Any], cores: int) -> dict[str, Any]:
    """What arithmetic says of a row: from one process's compute and one message; nothing where these are not there.

    Cores are shared by processes where these are more. Bytes are moved by cores, too, of all processes of a ring and of
    the servers, so that wires share them likewise, and nothing is hidden behind compute.
    """
    one, wire = of_kind(rows, row, "dp", 1), wire_of(rows, row)
    if one is None or wire is None:
        return {}
    world, size = row["processes"], row["weight_bytes"]
    each_s = (one["compute_s"] - one["compute_quarter_s"]) / (BATCH - BATCH // 4)  # of a sample; the rest is of weights
    compute_s = (one["compute_s"] - (BATCH - BATCH / world) * each_s) * max(world / cores, 1.0)
    crowd = max((row["servers"] or world) / cores, 1.0)
    wire = Wire(wire.bytes_s / crowd, wire.latency_s * crowd)
    if row["kind"].endswith("-async"):
        step_s = world / served_rate(compute_s, size, world, row["servers"], wire)
        return _told(row, Step(compute_s, step_s - compute_s, step_s - compute_s), None)
    if row["servers"]:
        exchange_s = 2 * served_s(size, world, row["servers"], wire)
        return _told(row, Step(compute_s, exchange_s, exchange_s), exchange_s)
    all_reduce_s = ring_s(size, world, wire)
    talking_s = all_reduce_s * (_ZERO3 if row["kind"] == "fsdp" else 1.0)
    return _told(row, Step(compute_s, talking_s, talking_s), all_reduce_s)


def wire_of(rows: list[dict[str, Any]], row: dict[str, Any]) -> Wire | None:
    """From a message between two processes; of servers, from one worker and one server, which wait for nobody."""
    size = row["weight_bytes"]
    if row["servers"]:
        alone = of_kind(rows, row, "ps1", 1)
        return None if alone is None else Wire(2 * size / alone["exchange_s"])
    pair = of_kind(rows, row, "dp", 2)
    if pair is None or not pair["message_s"] > pair["empty_message_s"]:
        return None
    return Wire(size / (pair["message_s"] - pair["empty_message_s"]), pair["empty_message_s"])


def _told(row: dict[str, Any], step: Step, exchange_s: float | None) -> dict[str, Any]:
    return {
        "predicted_step_s": step.step_s,
        "predicted_share": step.communication_share,
        "predicted_exchange_s": exchange_s,
        "off": round(step.step_s / row["step_s"] - 1, 3),
    }


def picture(rows: list[dict[str, Any]], suffix: str) -> bytes:
    """Speed-up and share of communication against the number of processes, and measured against predicted steps."""

    def draw(figure: Figure, palette: Palette) -> None:
        colours = {
            "dp": palette.accent,
            "fsdp": palette.peer,
            "ps1": palette.third,
            "ps2": palette.fourth,
            "ps1-async": palette.bad,
        }
        worlds = sorted({row["processes"] for row in rows})
        panels = figure.subplots(2, 3)
        for line, network in zip(panels, NETWORKS, strict=True):
            own = [row for row in rows if row["network"] == network]
            titles = (f"{network}: speed-up", "share of a step that is talking", "step, ms: predicted (x) and measured")
            for axes, title in zip(line, titles, strict=True):
                quiet_axes(axes, palette)
                axes.set_title(title, fontsize=9, color=palette.ink, loc="left")
                axes.set_xticks(worlds)
                axes.set_xlabel("processes", fontsize=8, color=palette.muted)
            for kind in KINDS:
                _lines(line, [row for row in own if row["kind"] == kind], kind, colours[kind])
            line[0].plot(worlds, worlds, ":", color=palette.muted, linewidth=0.8, label="linear")
            line[0].set_ylim(0, max(2.5, *(row["speed_up"] or 0 for row in own)))
            line[1].set_ylim(0, 1)
            line[2].set_ylim(bottom=0)
        panels[0][0].legend(fontsize=7, frameon=False, labelcolor=palette.muted)

    return as_file(draw, (10.5, 5.6), suffix, "scaling", "Speed-up and communication against the number of processes")


def _lines(line: Any, rows: list[dict[str, Any]], kind: str, colour: str) -> None:
    """One kind in the three panels of a network."""
    worlds = [row["processes"] for row in rows]
    style = {"color": colour, "linestyle": _DASHES[kind], "linewidth": 1.2}
    for axes, name in zip(line, ("speed_up", "communication_share"), strict=False):
        axes.plot(worlds, [row[name] for row in rows], marker="o", markersize=4, label=kind, **style)
    line[2].plot(worlds, [row["step_s"] * 1e3 for row in rows], marker="o", markersize=4, **style)
    expected = [row for row in rows if "predicted_step_s" in row]
    places = [row["processes"] for row in expected]
    line[2].plot(places, [row["predicted_step_s"] * 1e3 for row in expected], "x", color=colour)


if __name__ == "__main__":
    sys.exit(main())
