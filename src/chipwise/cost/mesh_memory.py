"""Resident memory of each process of a mesh, part by part, and roughly how much longer or shorter a step takes there.

What a process has of the network comes as a `Portion`; what it holds in a step follows from its layer rows, as in one
process (`chipwise.cost.training_memory`), with what strategies hold besides: buckets of gradients, weights that are
gathered, and the copies that gloo makes of what it sends. Those were measured (benchmarks/mesh_memory.py; torch 2.13).

>>> from chipwise.core.layer import Layer
>>> rows = [Layer("fc", "Gemm", ((4, 1000),), ((4, 1000),), 1_000_000, write_bytes=16_000, saved_bytes=16_000)]
>>> portion = Portion("each of 2", 4_000_000, 2_000_000, 2_000_000, 2_000_000, shares=2, parts=4_000_000)
>>> found = rank_step(lambda batch: rows, Around("adam", process_bytes=0, batch=8), Savings(4), portion)
>>> found.weights, found.gradients, found.optimizer, found.messages
(2000000, 2000000, 4000000, 8000000)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from chipwise.core.estimate import Workload
from chipwise.core.training_memory import ProcessMemory, Savings, TrainingMemory, Way
from chipwise.cost.liveness import most_alive
from chipwise.cost.memory import optimizer_values
from chipwise.cost.step_memory import Moment, belongs, fullest_moment, kept_scale, read_values, saved_bytes
from chipwise.cost.training_memory import (
    Around,
    bounded,
    evaluation_memory,
    held_at,
    holes_of,
    work_of,
    writing_memory,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chipwise.core.layer import Layer
    from chipwise.cost.training_memory import Rows

_MB = 10**6
# What a first step adds to a process of a mesh that is no tensor, and where there are convolutions.
_FIRST_STEP, _FIRST_CONVOLUTION = 15 * _MB, 15 * _MB
# Copies of a gathered part of the network that are there at once: forward, what is gathered and gloo's own copy, or the
# weights in their shapes; back, beside the parts of all gradients, what is reduced and gloo's own copy.
_GATHERED, _REDUCED = 2, 2
# Values of the largest weight that an optimizer which is not fused makes on the way.
_MADE = 2
FILE_BYTES = 32 * _MB  # of a checkpoint, unless one tensor is larger; torch makes its bytes twice before it writes them
_FILE_COPIES, _FILE_COPIES_KEPT = 2, 3  # the latter where freed memory is kept, whose room is seldom large enough
# FLOPs that a core could do while gloo moves a byte between processes: assumed, 50 GFLOPs and 1 GB a second.
_FLOPS_A_SAID_BYTE = 50.0


@dataclass(frozen=True, slots=True)
class Portion:
    """What one process of a mesh has of a network and of a step.

    Attributes:
        place: which process, for people.
        network: bytes of all values, with which every process begins.
        weights: bytes of them that it keeps; trained: of those that have gradients; state: of those whose optimizer's
            state it keeps.
        largest: bytes of the largest tensor that it has.
        shares: parts that a batch is cut into; microbatches: that a share goes through in; waiting: how many of those
            are saved at once.
        modules: whose rows it runs, by path; empty for all.
        pairs: of Linear layers that are cut into `cut` parts.
        parts: bytes of the largest part of the network that is gathered at once; 0 where nothing is.
        whole: bytes of weights that stay gathered until they are used again.
        buckets: whether gradients stay in buckets.
        fused: whether the optimizer is.
        summed: whether sums of batch-norms are added up over processes.
        said: bytes that it sends in a step, besides activations; passed: whether it sends activations.
    """

    place: str
    network: int
    weights: int
    trained: int
    state: int
    largest: int = 0
    shares: int = 1
    microbatches: int = 1
    waiting: int = 1
    modules: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    cut: int = 1
    parts: int = 0
    whole: int = 0
    buckets: bool = False
    fused: bool = True
    summed: bool = False
    said: float = 0.0
    passed: bool = False


def rank_way(rows_at: Rows, around: Around, savings: Savings, portions: Sequence[Portion]) -> tuple[ProcessMemory, ...]:
    """The step and the fullest moment of each kind of process.

    Args:
        rows_at: layer rows of the network for so many items.
        around: of a process of the mesh: `process_bytes` before it builds the network, `batch` of all processes.
        savings: techniques; `micro_batch` is a process's share of the batch.
        portions: kinds of processes.
    """
    found = []
    for portion in portions:
        step = rank_step(rows_at, around, savings, portion)
        moments = [step, *_other_moments(rows_at, around, savings, portion)]
        found.append(ProcessMemory(portion.place, step, max(moments, key=lambda moment: moment.total)))
    return tuple(found)


def starter_memory(rows_at: Rows, around: Around, savings: Savings, place: str) -> ProcessMemory:
    """The process that starts the others: it has the data as they were read, evaluates at the end, and writes weights.

    Args:
        rows_at: layer rows of the network for so many items.
        around: of this process.
        savings: techniques.
        place: its name for people.
    """
    plain = replace(around, optimizer="plain-sgd")
    moments = [evaluation_memory(rows_at, plain, savings), writing_memory(rows_at, plain, savings)]
    most = max(moments, key=lambda moment: moment.total)
    return ProcessMemory(place, most, most)


def mesh_time(rows_at: Rows, around: Around, savings: Savings, portions: Sequence[Portion], size: int) -> float:
    """Expected time of a step over that of one process on the cores that `size` processes share; a rough guide."""
    plain = work_of(rows_at, around, Savings(around.batch))
    slowest = 0.0
    for portion in portions:
        rows = rows_of(rows_at, portion)
        share = math.ceil(around.batch / portion.shares)
        micro = math.ceil(share / portion.microbatches)
        mine = replace(around, batch=share)
        work = work_of(rows, mine, replace(savings, micro_batch=micro))
        stages = portion.microbatches // 2 if portion.modules else 1
        work *= (portion.microbatches + stages - 1) / portion.microbatches
        slowest = max(slowest, work + _FLOPS_A_SAID_BYTE * (portion.said + _passed(rows(share), portion)))
    return size * slowest / plain if plain else 1.0


def mesh_way(mesh: str, processes: tuple[ProcessMemory, ...], savings: Savings, time: float) -> Way:
    """A way of training on a mesh: its fullest process stands for all."""
    most = max(processes, key=lambda process: process.memory.high)
    return Way(savings, most.step, most.memory, time, mesh, processes)


def rank_step(rows_at: Rows, around: Around, savings: Savings, portion: Portion) -> TrainingMemory:
    """Memory of a process at the fullest moment of a step."""
    share = math.ceil(around.batch / portion.shares)
    micro = math.ceil(share / portion.microbatches)
    rows = rows_of(rows_at, portion)(micro)
    workload = _workload(around, savings, portion, micro)
    learning = rows if not portion.parts else [replace(row, parameters=0) for row in rows]
    moment = fullest_moment(learning, workload, copied=not around.channels_last)
    waiting = (portion.waiting - 1) * kept_scale(workload) * sum(map(saved_bytes, rows))
    still = _still(rows_at, around, savings, portion)
    found = _with(still, replace(moment, saved=moment.saved + waiting), rows, workload, savings)
    reduced = max(0, portion.whole - portion.parts) + _REDUCED * portion.parts
    gradients = portion.trained if portion.parts else found.gradients
    words = f"{'back' if moment.backward else 'forward'} through {moment.row}"
    found = replace(found, gradients=gradients, messages=reduced, moment=words)
    update = replace(still, gradients=portion.trained, workspace=_made(around, portion), moment="the optimizer's step")
    return bounded(max(found, update, key=lambda each: each.total), savings)


def rows_of(rows_at: Rows, portion: Portion) -> Rows:
    """The rows of a process, as narrow as it has them."""

    def rows(count: int) -> list[Layer]:
        found = [row for row in rows_at(count) if not portion.modules or belongs(row, portion.modules)]
        for first, second in portion.pairs:
            found = _narrowed(found, first, second, portion.cut)
        return [_summed(row) for row in found] if portion.summed else found

    return rows


def _still(rows_at: Rows, around: Around, savings: Savings, portion: Portion) -> TrainingMemory:
    """What a process holds at any moment."""
    rows = rows_at(1)
    convolves = any(row.op == "Conv" for row in rows)
    inputs = read_values(rows[0]) if rows else 0
    halves = savings.halves
    return TrainingMemory(
        process=around.process_bytes + _FIRST_STEP + (_FIRST_CONVOLUTION if convolves else 0),
        data=around.data_bytes + inputs * around.batch,
        weights=portion.weights,
        best=portion.weights,
        optimizer=optimizer_values(around.optimizer) * portion.state,
        copies=portion.trained // 2 if halves else 0,
    )


def _other_moments(rows_at: Rows, around: Around, savings: Savings, portion: Portion) -> list[TrainingMemory]:
    """Beginning, evaluation, keeping the best weights and writing a checkpoint."""
    still = _still(rows_at, around, savings, portion)
    begin = replace(
        still,
        weights=2 * portion.network,
        best=0,
        optimizer=0,
        data=around.data_bytes,
        moment="building the network",
    )
    kept = portion.trained if portion.buckets else 0
    between = replace(still, gradients=kept)
    file = min(sum((still.weights, still.best, still.optimizer)), max(FILE_BYTES, portion.largest))
    copies = _FILE_COPIES if savings.returned else _FILE_COPIES_KEPT
    found = [
        begin,
        replace(between, best=2 * still.best, moment="keeping the best weights"),
        replace(between, workspace=copies * file, moment="writing a checkpoint"),
    ]
    if around.evaluated:
        found.append(_evaluated(rows_at, around, savings, portion, between))
    return [bounded(each, savings) for each in found]


def _evaluated(
    rows_at: Rows, around: Around, savings: Savings, portion: Portion, between: TrainingMemory
) -> TrainingMemory:
    count = max(1, min(savings.evaluation_batch, math.ceil(around.evaluated / portion.shares)))
    rows = rows_of(rows_at, portion)(count)
    convolutions = [row for row in rows if row.op == "Conv"] if not around.channels_last else []
    laid_out = max((read_values(row) + row.write_bytes for row in convolutions), default=0)
    moment = Moment(activations=most_alive(rows), workspace=laid_out)
    found = _with(between, moment, rows, Workload("inference", count), savings)
    gathered = max(portion.whole, portion.parts) + (_GATHERED - 1) * portion.parts if portion.parts else 0
    return replace(found, gradients=between.gradients, messages=gathered, moment=f"evaluation of {count} samples")


def _workload(around: Around, savings: Savings, portion: Portion, micro: int) -> Workload:
    names = [around.optimizer]
    names += ["amp"] if savings.halves else []
    names += ["accumulation"] if portion.buckets or portion.microbatches > 1 else []
    return Workload("training", micro, techniques=tuple(names))


def _with(
    still: TrainingMemory, moment: Moment, rows: Sequence[Layer], workload: Workload, savings: Savings
) -> TrainingMemory:
    return replace(held_at(moment, still), holes=0 if savings.returned else holes_of(moment, rows, workload))


def _made(around: Around, portion: Portion) -> int:
    """Bytes that the optimizer makes on the way."""
    return 0 if portion.fused else _MADE * portion.largest if around.optimizer != "sgd" else portion.largest


def _narrowed(rows: Sequence[Layer], first: str, second: str, cut: int) -> list[Layer]:
    """The rows with a pair of layers, and what lies between them, cut into so many parts."""
    places = [place for place, row in enumerate(rows) if belongs(row, (first,)) or belongs(row, (second,))]
    if len(places) < 2:
        return list(rows)
    begin, end = places[0], places[-1]
    made = list(rows)
    for place in range(begin, end + 1):
        row = rows[place]
        whole_in, whole_out = place == begin, place == end
        kept_in = min(read_values(row), saved_bytes(row)) if whole_in else 0
        made[place] = replace(
            row,
            inputs=row.inputs if whole_in else tuple(_narrow(shape, cut) for shape in row.inputs),
            outputs=row.outputs if whole_out else tuple(_narrow(shape, cut) for shape in row.outputs),
            parameters=row.parameters // cut,
            flops=row.flops // cut,
            read_bytes=row.read_bytes // cut,
            write_bytes=row.write_bytes if whole_out else row.write_bytes // cut,
            saved_bytes=kept_in + (saved_bytes(row) - kept_in) // cut,
        )
    return made


def _narrow(shape: tuple[int, ...], cut: int) -> tuple[int, ...]:
    return (*shape[:-1], shape[-1] // cut) if len(shape) > 1 else shape


def _summed(row: Layer) -> Layer:
    """A batch-norm that is added up over processes keeps what is apart from the mean, and the same over the spread."""
    if row.op != "BatchNormalization":
        return row
    return replace(row, saved_bytes=saved_bytes(row) + row.write_bytes)


def _passed(rows: Sequence[Layer], portion: Portion) -> float:
    """Bytes of activations, and of their gradients, that a process sends in a step."""
    sent = 0.0
    for first, second in portion.pairs:
        ends = [row for row in rows if belongs(row, (second,))][-1:]
        begins = [row for row in rows if belongs(row, (first,))][:1]
        each = sum(row.write_bytes for row in ends) + sum(map(read_values, begins))
        sent += 2 * (portion.cut - 1) / portion.cut * each
    return sent + (2 * rows[-1].write_bytes if portion.passed and rows else 0)
