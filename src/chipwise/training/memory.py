"""Make training fit into memory: which techniques, so that the step takes the least time that the limit allows.

Tried are micro-batches with added-up gradients, bf16 autocast where the processor has it, segments that are computed
again, and freed memory that goes back to the system at once; on another device than the processor, the optimizer's
state in main memory; where none of that is enough, activations and the optimizer's state on disk, and last of all
weights. Arithmetic alone: nothing runs.

>>> cheapest_cover([(60, 5.0), (50, 1.0), (40, 1.0)], 80)
[1, 2]
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import torch

from chipwise.core.errors import GoalMissedError, MachineError
from chipwise.core.training_memory import Savings, Way
from chipwise.cost.step_memory import again_flops, belongs, saved_bytes
from chipwise.cost.training_memory import evaluation_memory, process_memory, step_memory, time_factor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from chipwise.core.layer import Layer
    from chipwise.core.training_memory import Segment, TrainingFit
    from chipwise.cost.training_memory import Around, Rows

# Below, batch normalizations do worse: ResNet-50's error on ImageNet is 23.6% with 32 pictures a batch, 23.7% with 16,
# 24.8% with 8 and 27.3% with 4 (Wu & He, "Group normalization", arXiv 1803.08494, table 2).
FEWEST_WITH_NORMS = 16
_REFUSED = "can't allocate memory"  # in what c10/core/impl/alloc_cpu.cpp says
_BINS = 256  # steps in which the bytes to be saved are counted
_TRIES = 8
_UNIT_ROWS, _UNIT_SHARE = 4, 1 / 12  # a segment of small layers ends at so many rows, or at this share of what is saved


@dataclass(frozen=True, slots=True)
class Allowed:
    """What may be tried.

    Attributes:
        bf16: autocast, since the processor is quick at it and nobody asked for another format.
        returned: the C library can be told to give memory back.
        chains: parts that run one after another, as `checkpointed.segments_of` tells them.
        swappable: parts whose activations can lie on disk, in the same form; tried only where nothing else fits.
        host: the optimizer's state can be in main memory, as the rest is on another device.
        state: the optimizer has state that can lie on disk; tried only then, too.
        weights: there are weights that can lie on disk; tried only where all of that is not enough either.
    """

    bf16: bool = False
    returned: bool = False
    chains: tuple[tuple[Segment, ...], ...] = ()
    swappable: tuple[tuple[Segment, ...], ...] = ()
    host: bool = False
    state: bool = False
    weights: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """The quickest way that fits, None where none does; and the one that takes least."""

    chosen: Way | None
    smallest: Way


def way_of(rows_at: Rows, around: Around, savings: Savings) -> Way:
    """The prediction for one set of techniques."""
    step, whole = step_memory(rows_at, around, savings), process_memory(rows_at, around, savings)
    return Way(savings, step, whole, time_factor(rows_at, around, savings))


def fit_into(limit_bytes: int, rows_at: Rows, around: Around, plain: Savings, allowed: Allowed) -> Found:
    """Choose techniques: the upper bound of the predicted peak is within the limit, and the time is least.

    Batch normalizations over fewer than 16 samples are chosen only where nothing else fits, and before them activations
    and the optimizer's state on disk, which are as slow as the disk is, and then weights, which take longest.

    Args:
        limit_bytes: for the whole process.
        rows_at: layer rows for so many items.
        around: what lies around the steps.
        plain: as the settings say.
        allowed: techniques that may be added.
    """
    bare = way_of(rows_at, around, _evaluated(limit_bytes, rows_at, around, plain))
    if bare.memory.high <= limit_bytes:  # quicker ways change results: not done unasked
        return Found(bare, bare)
    ways = list(_combinations(rows_at, around, plain, allowed))
    tried = [_fitted(limit_bytes, rows_at, around, each, allowed.chains) for each in ways]
    norms = _normalizes(rows_at(1))
    fewest = min(FEWEST_WITH_NORMS, around.batch) if norms else 1
    if not any(_fits(way, limit_bytes, fewest) for way in tried):
        tried += _on_disk(limit_bytes, rows_at, around, ways, allowed)
    if allowed.weights and not any(_fits(way, limit_bytes, fewest) for way in tried):
        lent = [replace(each, weights_on_disk=True, state_on_disk=allowed.state) for each in _returning(ways, allowed)]
        tried += [_fitted(limit_bytes, rows_at, around, each, allowed.chains) for each in lent]
        tried += [_fitted(limit_bytes, rows_at, around, each, allowed.swappable, swapped=True) for each in lent]
    fitting = [way for way in tried if way.memory.high <= limit_bytes]

    def rank(way: Way) -> tuple[bool, bool, float, int]:
        few = way.savings.micro_batch < fewest
        return few, way.savings.on_disk, round(way.time_factor, 3), len(way.savings.words(around.batch))

    return Found(min(fitting, key=rank, default=None), min(tried, key=lambda way: way.memory.high))


@contextmanager
def enough_memory() -> Iterator[None]:
    """Say in one line that memory ran out, where torch's allocators or Python do.

    Raises:
        MachineError: it did.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        device = isinstance(error, torch.OutOfMemoryError)
        if isinstance(error, RuntimeError) and not device and _REFUSED not in str(error):
            raise
        whose = "the device has" if device else "this process gets"
        raise MachineError(
            f"training needs more memory than {whose}", hint="--explain tells what it takes; --memory SIZE"
        ) from error


def units_of(chains: Sequence[Sequence[Segment]], rows: Sequence[Layer]) -> list[Segment]:
    """Segments to choose from: blocks as they are, and small layers in groups of neighbours.

    What has no row of its own (an activation that is told with the layer before it) stays with what it follows.
    """
    whole = sum(map(saved_bytes, rows))
    units: list[Segment] = []
    for chain in chains:
        group: list[str] = []
        count = size = 0
        for link in chain:
            own = [row for row in rows if belongs(row, link)]
            full = count >= _UNIT_ROWS or size >= _UNIT_SHARE * whole
            if own and group and (full or len(own) >= _UNIT_ROWS - 1):
                units.append(tuple(group))
                group, count, size = [], 0, 0
            group += link
            count, size = count + len(own), size + sum(map(saved_bytes, own))
        units += [tuple(group)] if group else []
    return [unit for unit in units if any(belongs(row, unit) for row in rows)]


def cheapest_cover(items: Sequence[tuple[float, float]], need: float) -> list[int]:
    """The items (size, cost) that together are at least `need` and cost least; all of them where they are too few.

    A knapsack turned round, solved by dynamic programming over `need` in 256 steps, sizes rounded down.
    """
    if need <= 0:
        return []
    steps = [int(_BINS * size / need) for size, _ in items]
    best: list[tuple[float, tuple[int, ...]]] = [(0.0, ()), *[(math.inf, ())] * _BINS]
    for place, (_, cost) in enumerate(items):
        before = list(best)
        for reached in range(1, _BINS + 1):
            least, chosen = before[max(0, reached - steps[place])]
            if steps[place] and least + cost < best[reached][0]:
                best[reached] = (least + cost, (*chosen, place))
    return list(best[_BINS][1]) if best[_BINS][0] < math.inf else list(range(len(items)))


def none_fits(fit: TrainingFit, told: str, least: str) -> GoalMissedError:
    """The error where no way fits; `told` and `least` are the limit and the smallest peak in words."""
    assert fit.smallest is not None
    how = ", ".join(fit.smallest.words(fit.batch_size)) or "as it is"
    return GoalMissedError(
        f"training {fit.network} with batch {fit.batch_size} does not fit into {told}: at least {least} ({how})",
        hint=f"--memory {least}, a smaller --batch-size, --optimizer sgd (half of Adam's state), or --mesh auto:4",
    )


def _combinations(rows_at: Rows, around: Around, plain: Savings, allowed: Allowed) -> Iterator[Savings]:
    least = 2 if _normalizes(rows_at(1)) else 1
    sizes = [around.batch]
    while sizes[-1] > least:
        sizes.append(max(least, math.ceil(sizes[-1] / 2)))
    precisions = dict.fromkeys((plain.precision, *(["bf16"] if allowed.bf16 else [])))
    for returned in dict.fromkeys((plain.returned, *([True] if allowed.returned else []))):
        for precision, size in product(precisions, sizes):
            for host in dict.fromkeys((plain.state_on_host, *([True] if allowed.host else []))):
                yield replace(plain, micro_batch=size, precision=precision, returned=returned, state_on_host=host)


def _normalizes(rows: Sequence[Layer]) -> bool:
    return any(row.op == "BatchNormalization" for row in rows)


def _fits(way: Way, limit: int, fewest: int) -> bool:
    return way.memory.high <= limit and way.savings.micro_batch >= fewest


def _fitted(
    limit: int,
    rows_at: Rows,
    around: Around,
    savings: Savings,
    chains: Sequence[Sequence[Segment]],
    *,
    swapped: bool = False,
) -> Way:
    """The same with as many segments computed again, or swapped, as it takes."""
    savings = _evaluated(limit, rows_at, around, savings)
    bare = way_of(rows_at, around, savings)
    rows = rows_at(savings.micro_batch)
    units = units_of(chains, rows)
    if bare.memory.high <= limit or not units:
        return bare
    everything = way_of(rows_at, around, _using(savings, tuple(units), swapped=swapped))
    if everything.memory.high > limit:
        return min(bare, everything, key=lambda way: way.memory.high)
    return _selected(limit, rows_at, around, bare, everything, swapped=swapped)


def _on_disk(limit: int, rows_at: Rows, around: Around, ways: Sequence[Savings], allowed: Allowed) -> list[Way]:
    """The same with activations on disk, with the optimizer's state there, and with both."""
    returning = _returning(ways, allowed)
    stored = [replace(each, state_on_disk=True) for each in ways] if allowed.state else []
    found = [_fitted(limit, rows_at, around, each, allowed.chains) for each in stored]
    if allowed.swappable:
        both = [replace(each, state_on_disk=True) for each in returning] if allowed.state else []
        found += [
            _fitted(limit, rows_at, around, each, allowed.swappable, swapped=True) for each in (*returning, *both)
        ]
    return found


def _returning(ways: Sequence[Savings], allowed: Allowed) -> list[Savings]:
    """Those that return freed memory: where it is kept, what comes back finds no room in what was freed."""
    return [each for each in ways if each.returned or not allowed.returned]


def _using(savings: Savings, segments: tuple[Segment, ...], *, swapped: bool) -> Savings:
    return replace(savings, swapped=segments) if swapped else replace(savings, again=segments)


def _evaluated(limit: int, rows_at: Rows, around: Around, savings: Savings) -> Savings:
    """The same with as many samples evaluated at a time as fit."""
    while savings.evaluation_batch > 1 and evaluation_memory(rows_at, around, savings).high > limit:
        savings = replace(savings, evaluation_batch=max(1, savings.evaluation_batch // 2))
    return savings


def _selected(limit: int, rows_at: Rows, around: Around, bare: Way, everything: Way, *, swapped: bool) -> Way:
    """The cheapest of the segments that make it fit, known to fit with all of them."""
    rows, saved = rows_at(bare.savings.micro_batch), everything.savings
    units = saved.swapped if swapped else saved.again
    items = [_saved_or_again(rows, unit, swapped=swapped) for unit in units]
    share = (bare.memory.high - everything.memory.high) / (sum(size for size, _ in items) or 1)
    need = (bare.memory.high - limit) / share
    for _ in range(_TRIES):
        chosen = tuple(units[place] for place in cheapest_cover(items, need))
        way = way_of(rows_at, around, _using(bare.savings, chosen, swapped=swapped))
        if way.memory.high <= limit:
            return way
        need += max((way.memory.high - limit) / share, 0.02 * need)
    return everything


def _saved_or_again(rows: Sequence[Layer], unit: Segment, *, swapped: bool) -> tuple[float, float]:
    """Bytes that a segment frees, and what that costs: bytes on disk, or FLOPs."""
    if not swapped:
        return _freed(rows, unit), float(again_flops(rows, unit))
    saved = float(sum(saved_bytes(row) for row in rows if belongs(row, unit)))
    return saved, saved


def _freed(rows: Sequence[Layer], unit: Segment) -> float:
    """Bytes that a segment saves inside, less its result, which stays."""
    own = [row for row in rows if belongs(row, unit)]
    return max(0.0, sum(map(saved_bytes, own)) - (own[-1].write_bytes if own else 0))
