"""Training steps here against parameters, as measured, and the error of the predictions where a device is at hand.

    python benchmarks/crossover.py --output benchmarks/results/crossover.json

Both networks of `chipwise crossover`. The processor's steps are measured by the command itself, and told once more from
those before each: how far off is what it would say of a size that it had not measured? Where torch sees a CUDA device,
plain steps of PyTorch (forward, backward, AdamW, with the way of the batch there) are timed on it, and compared with
the prediction for a device of the catalogue: `--card h100` names it. The last line on stdout is one JSON document.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import torch

import chipwise
from chipwise.core.crossover import NETS, CrossoverLine, CrossoverPoint
from chipwise.networks.sized import CLASSES, INPUTS
from chipwise.networks.sized import cnn as make_cnn
from chipwise.networks.sized import mlp as make_mlp
from document import command_line, give, here

_MAKE = {"mlp": make_mlp, "cnn": make_cnn}
_STEPS, _WARM = 30, 5


def main() -> int:
    """Measure, predict, compare."""
    parser = command_line(__doc__)
    parser.add_argument("--from", dest="smallest", type=float, default=1e4, help="parameters of the smallest network")
    parser.add_argument("--to", dest="largest", type=float, default=1e8, help="of the largest")
    parser.add_argument("--points", type=int, default=9, help="sizes")
    parser.add_argument("--batch", type=int, default=64, help="samples a step")
    parser.add_argument("--seconds", type=float, default=120.0, help="time for measuring each network here")
    parser.add_argument("--card", default="", help="name of the CUDA device that is here, in the catalogue")
    options = parser.parse_args()
    cards = [options.card] if options.card else ["rtx3090", "h100"]
    found = {}
    for net in NETS:
        record = chipwise.crossover(
            net,
            smallest=int(options.smallest),
            largest=int(options.largest),
            points=options.points,
            on=["here", *cards],
            batch=options.batch,
            budget_s=options.seconds,
        )
        print(record)
        mine, card = record.lines[0], record.lines[1]
        found[net] = {
            "rows": [row(point) for point in mine.points],
            "told_from_before": told_from_before(mine),
            "crossings": [crossing_row(each) for each in record.crossings],
            "card": compared(net, card, options.batch) if options.card and torch.cuda.is_available() else None,
        }
        print_errors(net, found[net])
    give("crossover", {**here(), "batch": options.batch, "networks": found}, options.output)
    return 0


def row(point: CrossoverPoint) -> dict[str, Any]:
    """A point of the curve."""
    step = point.step_s
    return {
        "parameters": point.parameters, "measured": point.measured, "low_s": step.low, "step_s": step.mid,
        "high_s": step.high,
    }  # fmt: skip


def crossing_row(crossing: Any) -> dict[str, Any]:
    """Where a device overtakes, with its bounds."""
    found = crossing.parameters
    return {
        "device": crossing.device, "kind": crossing.kind, "low": found.low, "parameters": found.mid, "high": found.high,
        "shares": crossing.parts.shares if crossing.parts else None,
    }  # fmt: skip


def told_from_before(line: CrossoverLine) -> list[dict[str, Any]]:
    """Each measured point beside what would have been told of it from those before."""
    rows = []
    for point in line.points:
        told, value = point.foretold_s, point.step_s.mid
        if told is not None and told.mid is not None and value is not None:
            rows.append({
                "parameters": point.parameters, "told_s": told.mid, "error": told.mid / value - 1,
                "inside": told.covers(value),
            })  # fmt: skip
    return rows


def compared(net: str, line: CrossoverLine, batch: int) -> list[dict[str, Any]]:
    """Steps on the CUDA device beside what was predicted."""
    rows = []
    for point in line.points:
        if point.fits is False:
            continue
        measured_s = cuda_step_s(net, point.width, batch)
        told = point.step_s
        rows.append({
            "parameters": point.parameters, "predicted_s": told.mid, "measured_s": measured_s,
            "error": (told.mid or 0.0) / measured_s - 1, "inside": told.covers(measured_s),
        })  # fmt: skip
    return rows


def cuda_step_s(net: str, width: int, batch: int) -> float:
    """Median seconds of a step on the CUDA device, the batch coming from the host's memory."""
    torch.manual_seed(0)
    module = _MAKE[net](width).cuda()
    optimizer = torch.optim.AdamW(module.parameters(), fused=True)
    inputs, labels = torch.randn(batch, *INPUTS[net]), torch.randint(CLASSES, (batch,))
    times = []
    for _ in range(_WARM + _STEPS):
        torch.cuda.synchronize()
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(module(inputs.cuda()), labels.cuda())
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return float(np.median(times[_WARM:]))


def print_errors(net: str, found: dict[str, Any]) -> None:
    """Median errors in words."""
    for name, what in (("told_from_before", "told from smaller ones"), ("card", "predicted for the card")):
        errors = [abs(each["error"]) for each in found[name] or ()]
        if errors:
            inside = sum(each["inside"] for each in found[name])
            print(f"{net}, {what}: median error {np.median(errors):.1%}, {inside} of {len(errors)} inside")


if __name__ == "__main__":
    sys.exit(main())
