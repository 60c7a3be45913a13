"""Memory of training a network with PyTorch, and how techniques change memory and time.

On a CPU it is the resident memory of the process; on another device, what torch's allocator has given out there: the
same arithmetic without the process, holes, oneDNN's layouts, and the best weights, which are kept in main memory. That
has not been compared with a measured peak yet.

What a step holds is arithmetic on layer rows (`chipwise.cost.step_memory`): against blocks counted at malloc it was off
by 2% at most in 16 of 21 cases, by 2.7% in one, and by up to 6 MB in four below 40 MB. What lies around it was measured
(benchmarks/training_memory.py; Linux, glibc 2.36, torch 2.13), and the three factors of holes are fitted.

>>> from chipwise.core.layer import Layer
>>> rows = [Layer("fc", "Gemm", ((8, 1000),), ((8, 1000),), 1_000_000, write_bytes=32_000, saved_bytes=32_000)]
>>> found = step_memory(lambda batch: rows, Around("adam", process_bytes=0), Savings(8))
>>> found.weights, found.gradients, found.optimizer, found.best, found.moment
(4000000, 4000000, 8000000, 4000000, 'back through fc')
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from chipwise.core.estimate import Workload
from chipwise.core.formats import ROW_BYTES
from chipwise.core.layer import Layer
from chipwise.core.training_memory import STATE_AT_ONCE, Savings, TrainingMemory
from chipwise.cost.liveness import input_bytes, most_alive
from chipwise.cost.memory import optimizer_values, weight_bytes
from chipwise.cost.step_memory import Moment, belongs, fullest_moment, kept_scale, lent_bytes, read_values, saved_bytes

Rows = Callable[[int], Sequence[Layer]]

_MB = 10**6
# What a first training step adds to the process that is no tensor: code and tables of MKL (lenet-300-100, mlp-4096) and
# modules that torch imports late; and where there are convolutions, oneDNN's kernels, compiled for each shape.
_FIRST_STEP, _FIRST_CONVOLUTION = 50 * _MB, 20 * _MB
# `memory_kept` keeps freed blocks in glibc's heap, where a freed block of aligned memory fits its like only if a
# neighbour is free as well. Fitted: the heap grows beside what moves in a step by this share of it, and by this share
# of the results of additions, whose operands are freed while others of their size stay.
_HOLES, _HOLES_OF_SUMS = 0.33, 0.7
# What segments save comes back among gradients that were made meanwhile, where its like no longer fits: the heap hardly
# shrinks, so that checkpointing pays where memory is returned. Fitted on two cases, as a share of what is made again.
_HOLES_OF_SEGMENTS = 0.5
# What is beyond the process itself stayed below the middle and this share more: with holes, and where freed blocks go
# back to the system.
_SPREAD_WITH_HOLES, _SPREAD = 0.25, 0.08
# A step's time in FLOPs that a core could do meanwhile, fitted on this benchmark's steps: moving a byte through memory,
# starting an operator, and mapping a byte of memory anew (on a virtual machine, where that is dear).
_FLOPS_A_BYTE, _FLOPS_A_START, _FLOPS_A_MAPPED_BYTE = 10.0, 5e5, 140.0
# Writing a byte to disk and reading it back: assumed, half a GB a second each, and a core of 50 GFLOPs.
_FLOPS_A_SWAPPED_BYTE = 200.0
# A byte between a device and main memory, in FLOPs of the device: assumed, 25 GB/s (PCIe 4.0, 16 lanes) and 20 TFLOP/s.
_FLOPS_A_SENT_BYTE = 800.0
_PASSES = 3.0  # forward, gradients of activations, gradients of weights
_HALF_TIME = 0.5  # of products and of moved bytes, with instructions for the 2-byte format


@dataclass(frozen=True, slots=True)
class Around:
    """What lies around the steps of a run.

    Attributes:
        optimizer: its name in the settings.
        process_bytes: resident before the network is built, without the data.
        data_bytes: samples, and inputs made of them.
        evaluated: samples of the validation split.
        batch: samples a step.
        channels_last: pictures in NHWC, which oneDNN takes as they are.
        averaged: an average of the weights is kept beside them.
        on_device: it trains on another device than the processor.
        written_copies: of all weights, that are made while the kept ones are written.
        batches: that are there at the same time: the one that is learned, the one before it until its loss was looked
            at, and the next where it is sent ahead.
        read_bytes: a sample's input, where samples are put together for each part of an evaluation; 0 where all of
            them are in memory.
    """

    optimizer: str
    process_bytes: int
    data_bytes: int = 0
    evaluated: int = 0
    batch: int = 1
    channels_last: bool = False
    averaged: bool = False
    read_bytes: int = 0
    on_device: bool = False
    batches: int = 1
    written_copies: int = 0


def process_memory(rows_at: Rows, around: Around, savings: Savings) -> TrainingMemory:
    """Memory of the whole process, or of the device, when it is most: in a step, evaluation, or while weights are kept.

    Args:
        rows_at: layer rows for so many items.
        around: what lies around the steps.
        savings: techniques.
    """
    rows = rows_at(savings.micro_batch)
    still = _still(rows, around, savings)
    moments = [step_memory(rows_at, around, savings)]
    if not around.on_device:
        moments += [_keeping(still, savings), writing_memory(rows_at, around, savings)]
    if savings.weights_on_disk:
        moments.append(_ending(rows, still, savings))
    if around.evaluated:
        moments.append(evaluation_memory(rows_at, around, savings))
    return max(moments, key=lambda moment: moment.total)


def step_memory(rows_at: Rows, around: Around, savings: Savings) -> TrainingMemory:
    """Memory of the whole process at the fullest moment of a training step."""
    rows = rows_at(savings.micro_batch)
    workload = workload_of(around, savings)
    moment = fullest_moment(rows, workload, copied=_copies_layouts(around))
    words = f"{'back' if moment.backward else 'forward'} through {moment.row}"
    return _with(around, _still(rows, around, savings), moment, savings, words, holes_of(moment, rows, workload))


def evaluation_memory(rows_at: Rows, around: Around, savings: Savings) -> TrainingMemory:
    """Memory of the whole process in a forward pass without gradients, in fp32."""
    still = _still(rows_at(savings.micro_batch), around, savings)
    count = max(1, min(savings.evaluation_batch, around.evaluated))
    still = replace(still, data=still.data + count * around.read_bytes)
    rows = rows_at(count)
    convolutions = [row for row in rows if row.op == "Conv"] if _copies_layouts(around) else []
    laid_out = max((read_values(row) + row.write_bytes for row in convolutions), default=0)
    alive = most_alive(rows)
    moment = Moment(activations=alive, workspace=laid_out, weights=max(_lent(rows, savings), default=0))
    return _with(around, still, moment, savings, f"evaluation of {count} samples")


def time_factor(rows_at: Rows, around: Around, savings: Savings) -> float:
    """Expected time of a step over that of the plain one in fp32; a rough guide for choosing."""
    plain = work_of(rows_at, around, Savings(around.batch))
    return work_of(rows_at, around, savings) / plain if plain else 1.0


def workload_of(around: Around, savings: Savings) -> Workload:
    """A step of so many items at a time, as the cost model takes it."""
    names = [around.optimizer]
    names += ["amp"] if savings.halves else []
    names += ["accumulation"] if savings.micro_batch < around.batch else []
    names += ["weights on disk"] if savings.weights_on_disk else []
    return Workload(
        "training", savings.micro_batch, techniques=tuple(names), again=savings.again, swapped=savings.swapped
    )


def _still(rows: Sequence[Layer], around: Around, savings: Savings) -> TrainingMemory:
    """What is there at any moment."""
    weights = weight_bytes(rows) - sum(_lent(rows, savings))
    trained = ROW_BYTES * sum(row.parameters for row in rows)
    kept = min(trained, ROW_BYTES * STATE_AT_ONCE) if savings.state_on_disk else trained  # of each value of the state
    convolves = any(row.op == "Conv" for row in rows)
    first = 0 if around.on_device else _FIRST_STEP + (_FIRST_CONVOLUTION if convolves else 0)
    batch = input_bytes(rows) * math.ceil(around.batch / savings.micro_batch)
    return TrainingMemory(
        process=around.process_bytes + first,
        data=around.data_bytes + around.batches * batch,
        weights=weights,
        average=weights if around.averaged else 0,
        best=0 if around.on_device else weights,
        optimizer=0 if savings.state_on_host else optimizer_values(around.optimizer) * kept,
    )


def _lent(rows: Sequence[Layer], savings: Savings) -> list[int]:
    """Bytes of each row's weights that lie on disk."""
    return [lent_bytes(row) if savings.weights_on_disk else 0 for row in rows]


def _ending(rows: Sequence[Layer], still: TrainingMemory, savings: Savings) -> TrainingMemory:
    """All weights are in memory before they go to disk, and come back once the kept ones are written."""
    found = replace(still, weights=weight_bytes(rows), best=0, optimizer=0, moment="all weights, at the end")
    return bounded(found, savings)


def _copies_layouts(around: Around) -> bool:
    """Whether convolutions lay pictures out anew, as oneDNN's do of NCHW."""
    return not around.channels_last and not around.on_device


def _keeping(still: TrainingMemory, savings: Savings) -> TrainingMemory:
    """New best weights are copied while the old copy is there; gradients of the last step are gone by then."""
    return bounded(replace(still, best=2 * still.best, moment="keeping the best weights"), savings)


def writing_memory(rows_at: Rows, around: Around, savings: Savings) -> TrainingMemory:
    """Memory of the whole process when it writes the kept weights, beside the best ones.

    A file of weights is written from where they lie, those on disk one at a time; that of a graph is made as bytes
    before. The optimizer is gone by then; where freed memory is kept, so large a block seldom finds room where its
    state was.
    """
    rows = rows_at(savings.micro_batch)
    still = _still(rows, around, savings)
    state = 0 if savings.returned else still.optimizer
    copies = max(_lent(rows, savings), default=0) if savings.weights_on_disk else around.written_copies * still.weights
    found = replace(still, optimizer=state, workspace=copies, moment="writing the kept weights")
    return bounded(found, savings)


def _with(  # noqa: PLR0917 (what is there, in the order in which it comes)
    around: Around, still: TrainingMemory, moment: Moment, savings: Savings, words: str, holes: int | None = None
) -> TrainingMemory:
    without = savings.returned or around.on_device
    left = 0 if without else math.ceil(_HOLES * moment.bytes) if holes is None else holes
    found = replace(held_at(moment, still), holes=left, moment=words)
    return bounded(found, replace(savings, returned=True) if around.on_device else savings)


def held_at(moment: Moment, still: TrainingMemory) -> TrainingMemory:
    """What a process holds at a moment of a step, beside what it holds at any; without holes."""
    return replace(
        still,
        weights=still.weights + math.ceil(moment.weights),
        gradients=math.ceil(moment.gradients),
        saved=math.ceil(moment.saved),
        copies=math.ceil(moment.copies),
        activations=math.ceil(moment.activations),
        workspace=math.ceil(moment.workspace),
    )


def bounded(found: TrainingMemory, savings: Savings) -> TrainingMemory:
    """The same with the bytes that the peak should stay below."""
    spread = _SPREAD if savings.returned else _SPREAD_WITH_HOLES
    return replace(found, high=math.ceil(found.total + spread * (found.total - found.process)))


def holes_of(moment: Moment, rows: Sequence[Layer], workload: Workload) -> int:
    """Bytes of holes beside a moment of a step, where freed memory is kept.

    Additions leave them (with the activations that follow them), and segments that come back.
    """
    added = sum(row.write_bytes * (2 if row.activation else 1) for row in rows if row.op in ("Add", "Sum"))
    again = sum(saved_bytes(row) for row in rows if any(belongs(row, segment) for segment in workload.again))
    return math.ceil(
        _HOLES * moment.bytes + kept_scale(workload) * (_HOLES_OF_SUMS * added + _HOLES_OF_SEGMENTS * again)
    )


def work_of(rows_at: Rows, around: Around, savings: Savings) -> float:
    """FLOPs of a step, with what else takes time as so many FLOPs."""
    rows = rows_at(savings.micro_batch)
    parts = math.ceil(around.batch / savings.micro_batch)
    scale = _HALF_TIME if savings.halves else 1.0
    once = [scale * (row.flops + _FLOPS_A_BYTE * row.moved_bytes) + _FLOPS_A_START for row in rows]
    second = sum(
        work for row, work in zip(rows, once, strict=True) if any(belongs(row, segment) for segment in savings.again)
    )
    work = _PASSES * sum(once) + second + _FLOPS_A_SWAPPED_BYTE * _swapped(rows, around, savings)
    if parts > 1:  # each adds its gradients to those before
        work += _FLOPS_A_BYTE * 3 * ROW_BYTES * sum(row.parameters for row in rows)
    if savings.state_on_host:  # once a batch: gradients there, weights back
        work += _FLOPS_A_SENT_BYTE * 2 * ROW_BYTES * sum(row.parameters for row in rows) / parts
    if savings.returned:
        moment = fullest_moment(rows, workload_of(around, savings), copied=_copies_layouts(around))
        work += _FLOPS_A_MAPPED_BYTE * moment.bytes
    return parts * work + _FLOPS_A_SWAPPED_BYTE * (_stored(rows, around, savings) + _fetched(rows, parts, savings))


def _stored(rows: Sequence[Layer], around: Around, savings: Savings) -> int:
    """Bytes of the optimizer's state that a step reads from disk, and writes."""
    trained = ROW_BYTES * sum(row.parameters for row in rows)
    return optimizer_values(around.optimizer) * trained if savings.state_on_disk else 0


def _fetched(rows: Sequence[Layer], parts: int, savings: Savings) -> float:
    """Bytes of weights and gradients that a step reads from disk or writes, each as half a byte there and back.

    Weights are read forward and back and gradients written, in every part, and those of the parts before read; learning
    reads both and writes weights.
    """
    return (1.5 * parts + 0.5 * (parts - 1) + 1.5) * sum(_lent(rows, savings))


def _swapped(rows: Sequence[Layer], around: Around, savings: Savings) -> float:
    """Bytes that lie on disk between forward and backward."""
    scale = kept_scale(workload_of(around, savings))
    return scale * sum(saved_bytes(row) for row in rows if any(belongs(row, part) for part in savings.swapped))
