"""A proof of parallel training as terminal tables: each step in one process and in several, and what each process held.

>>> difference(0.0), difference(2.8e-17), difference(float("nan"))
('0', '2.8e-17', 'not finite')
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from chipwise.views.grid import cell, grid, heading, line, muted
from chipwise.views.units import format_bytes, format_count, plain

if TYPE_CHECKING:
    from rich.console import RenderableType

    from chipwise.core.proof import Proof, ProofLeg, ProofRank, Traffic

_GOOD, _BAD = "bold green", "bold red"


def proof_table(record: Proof) -> Group:
    """Steps of all legs, what processes held and said, what runs, and the verdict."""
    blocks: list[RenderableType] = [heading(title(record)), line(about(record)), _steps(record)]
    first = record.legs[0]
    blocks += [Text(), line(f"{first.mesh}: {first.processes} processes", "bold"), _ranks(first)]
    blocks += [line(f"runs: {plain(each)}") for each in first.running]
    for leg in record.legs:
        blocks += [line(f"{leg.mesh} does not run: {plain(each)}", "red") for each in leg.missing]
    blocks += [Text(), *(muted(note) for note in record.notes), *(line(*each) for each in verdict(record))]
    return Group(*blocks)


def title(record: Proof) -> str:
    """What was compared."""
    return f"{plain(record.network)} on {plain(record.data)}: {record.mesh} against one process"


def about(record: Proof) -> str:
    """How both learned."""
    pipeline = f", {record.schedule} with {record.microbatches} microbatches" if record.schedule else ""
    return (
        f"{format_count(record.parameters)} parameters, float64, SGD at {record.learning_rate:g} with momentum "
        f"{record.momentum:g}, batches of {record.batch}{pipeline}, seed {record.seed}"
    )


def verdict(record: Proof) -> list[tuple[str, str]]:
    """The last lines with their styles: whether it holds, and where it does not."""
    largest = max((leg.largest for leg in record.legs), key=lambda value: (math.isnan(value), value))
    wrong = [leg.mesh for leg in record.legs if not leg.largest <= record.tolerance]
    told = f"largest difference {difference(largest)}, tolerance {record.tolerance:g}"
    if record.holds:
        return [(f"holds: {told}", _GOOD)]
    where = f"does not hold on {' and '.join(dict.fromkeys(wrong))}"
    lines = [(f"{where}: {told}{_first_worst(record)}", _BAD)] if wrong else []
    if any(leg.missing for leg in record.legs):
        lines.append(("does not hold: what was asked for does not run", _BAD))
    return lines


def _first_worst(record: Proof) -> str:
    """The weight that differs most after the first step in which one differs."""
    steps = (step for leg in record.legs for step in leg.steps if not step.weights <= record.tolerance)
    step = next(steps, None)
    return f"; first in step {step.step}, most in {plain(step.worst)}" if step is not None else ""


def difference(value: float) -> str:
    """Two digits: "2.8e-17"; processes write the largest float for what is not finite."""
    finite = math.isfinite(value) and value < sys.float_info.max / 2
    return "not finite" if not finite else "0" if value == 0 else f"{value:.1e}"


def _steps(record: Proof) -> RenderableType:
    """One row a step; a row of its own for each checkpoint that is read."""
    made = grid("mesh", ">step", ">loss in\none process", ">loss in\nparallel", ">difference", ">of weights")
    for leg in record.legs:
        if leg.loaded:
            shown = _shown(leg.loaded_difference, record.tolerance)
            made.add_section()
            made.add_row(cell(leg.mesh), cell("read"), cell(""), cell(f"from {leg.loaded}"), cell(""), shown)
        for step in leg.steps:
            made.add_row(
                cell(leg.mesh),
                cell(step.step),
                cell(f"{step.alone:.6f}"),
                cell(f"{step.parallel:.6f}"),
                _shown(step.loss_difference, record.tolerance),
                _shown(step.weights, record.tolerance),
            )
    return made


def _shown(value: float, tolerance: float) -> Text:
    return cell(difference(value), "" if value <= tolerance else _BAD)


def _ranks(leg: ProofLeg) -> RenderableType:
    made = grid("process", ">weights!", ">in forward!", ">gradients!", ">optimizer!", "said in a step")
    for rank in leg.ranks:
        made.add_row(
            cell(_place(rank)),
            *(
                cell(format_bytes(size))
                for size in (rank.weight_bytes, rank.forward_bytes, rank.gradient_bytes, rank.optimizer_bytes)
            ),
            cell(", ".join(map(_said, rank.traffic)) or "nothing"),
        )
    return made


def _place(rank: ProofRank) -> str:
    return f"{rank.rank}: {rank.place}" if rank.place else str(rank.rank)


def _said(traffic: Traffic) -> str:
    return f"{traffic.kind} x{traffic.calls} {format_bytes(traffic.sent_bytes)}"
