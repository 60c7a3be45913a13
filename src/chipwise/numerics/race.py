"""Every operation at every size in every way: answers compared first, then timed in turns.

>>> from chipwise.numerics.table import load
>>> rows = race_rows({"numpy": load("numpy")}, ("sum",), (1000,), budget_s=0.0)
>>> [(row.size, row.way.title, row.note) for row in rows]
[(1000, 'numpy', '')]
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from chipwise.clock.interleave import interleave
from chipwise.clock.statistics import speedup, summarize
from chipwise.core.array_race import BASELINE, ArrayRow, Way
from chipwise.core.errors import first_line
from chipwise.core.events import Progress, silent
from chipwise.numerics.operations import OPERATIONS, difference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from chipwise.numerics.library import Library
    from chipwise.numerics.operations import Arrays, Operation

STAGE = "measuring"
_ROUNDS = 5  # at least
_MOST_ROUNDS = 30
# A cell whose calls alone take so many times its share of the time is not timed: others would have none.
_PATIENCE = 4.0
_LEAST_S = 1.0  # one that takes no longer is always timed


@dataclass(frozen=True, slots=True)
class Contender:
    """A way that gave the right answer: what is timed, what a call took at first, and whether one thread does it."""

    way: Way
    call: Callable[[], object]
    call_s: float
    one_thread: bool


def race_rows(
    libraries: Mapping[str, Library],
    operations: Sequence[str],
    sizes: Sequence[int],
    *,
    budget_s: float,
    seed: int = 0,
    progress: Progress = silent,
) -> Iterator[ArrayRow]:
    """Time all operations at all sizes; what was timed is there even where it is interrupted.

    Args:
        libraries: by name, NumPy among them.
        operations: names in `OPERATIONS`.
        sizes: values of the largest array.
        budget_s: wall time for all of it; at least five rounds are timed of what is timed.
        seed: of arrays and order.
        progress: told which cell it is.

    Yields:
        rows, one cell after another: an operation at a size in every way.
    """
    start, cells = time.perf_counter(), [(name, size) for name in operations for size in sizes]
    for place, (name, size) in enumerate(cells):
        progress.update(STAGE, place / len(cells), f"{name} of {size:,}")
        left_s = max(0.0, budget_s - (time.perf_counter() - start))
        yield from _cell(libraries, name, size, left_s / (len(cells) - place), seed)
    progress.update(STAGE, 1.0)


def ways_of(libraries: Mapping[str, Library]) -> list[Way]:
    """Every library on each of its devices; beside the processor with the way there and back, too."""
    return [
        Way(name, device, moved)
        for name, library in libraries.items()
        for device in library.devices()
        for moved in ((False,) if device == "cpu" else (False, True))
    ]


def _cell(libraries: Mapping[str, Library], name: str, size: int, budget_s: float, seed: int) -> Iterator[ArrayRow]:
    """One operation at one size."""
    operation = OPERATIONS[name]
    arrays = operation.arrays(size, np.random.default_rng(seed))
    first = libraries[BASELINE]
    expected = first.get(first.CALLS[name](*(first.put(array, "cpu") for array in arrays)))
    prepared = {
        way: _prepared(way, libraries[way.library], name, arrays, expected)
        for way in ways_of(libraries)
        if name in libraries[way.library].CALLS
    }
    ready = [each for each in prepared.values() if isinstance(each, Contender)]
    calls_s = 2 * _ROUNDS * sum(each.call_s for each in ready)  # each is warmed up
    samples: dict[str, NDArray[np.float64]] = {}
    slow = ""
    if calls_s > max(_PATIENCE * budget_s, _LEAST_S):
        slow = f"{_ROUNDS} rounds take {calls_s:.0f} s: give more time"
    else:
        samples = interleave(
            {each.way.title: each.call for each in ready},
            budget_s=budget_s,
            min_rounds=_ROUNDS,
            max_rounds=_MOST_ROUNDS,
            one_thread=[each.way.title for each in ready if each.one_thread],
            seed=seed,
        )
    for way, found in prepared.items():
        if isinstance(found, str) or slow:
            yield ArrayRow(name, size, way, None, note=found if isinstance(found, str) else slow)
            continue
        own, base = samples[way.title], samples[BASELINE]
        ratio = None if way.library == BASELINE else speedup(own, base, seed)
        yield ArrayRow(name, size, way, summarize(own), ratio)


def _prepared(way: Way, library: Library, name: str, arrays: Arrays, expected: NDArray[Any]) -> Contender | str:
    """A call whose answer was compared with NumPy's; or why there is none."""
    operation = OPERATIONS[name]
    try:
        call = _call(way, library, name, arrays)
        answer = library.get(call())  # the first call may compile something
        call_s = min(_once_s(call), _once_s(call))
    except (RuntimeError, TypeError, ValueError, MemoryError) as error:  # what libraries raise for what they cannot do
        return f"failed: {first_line(error)}"
    apart = difference(answer, expected)
    if apart > operation.tolerance:
        return f"its answer is not NumPy's: they are {apart:.1e} of the largest value apart"
    return Contender(way, call, call_s, _one_thread(library, operation, way))


def _once_s(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _one_thread(library: Library, operation: Operation, way: Way) -> bool:
    return library.threads() == 1 and way.device == "cpu" and not operation.products


def _call(way: Way, library: Library, name: str, arrays: Arrays) -> Callable[[], object]:
    """What is timed: with its arrays where they are worked on, or moved there and back in every call."""
    run, wait = library.CALLS[name], library.waiter(way.device)
    if way.moved:
        return lambda: library.get(run(*(library.put(array, way.device) for array in arrays)))
    placed = [library.put(array, way.device) for array in arrays]
    if wait is None:
        return partial(run, *placed)
    return lambda: _waited(wait, run(*placed))


def _waited(wait: Callable[[Any], object], result: Any) -> Any:
    wait(result)
    return result
