"""Time callables in turns, so that whatever else the machine does hits all of them alike.

In every round each contender has one turn, or some short ones, in an order shuffled anew. A turn is: wait until the
threads that the previous contender left spinning have gone to sleep, some calls that are thrown away, then a block of
calls long enough for the clock. One number a round: seconds per call.

>>> samples = interleave({"a": lambda: sum(range(100)), "b": lambda: sum(range(300))}, budget_s=0.1)
>>> len(samples["a"]) == len(samples["b"]) >= 5
True
"""

from __future__ import annotations

import gc
import math
import random
import statistics
import time
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chipwise.core.errors import InputError
from chipwise.core.events import Progress, silent

# A block lasts at least this long, and warm-up calls before it this share of it. After a pause, threads of one call may
# start on the same core, and the system takes some of its ticks to spread them: SqueezeNet with two threads, whose call
# takes 4.0 ms, took 7.8 (quartiles 5.8 and 8.1) in blocks of 2 ms, 4.1 (4.0 and 4.2) in blocks of 20, and OpenVINO's
# threads took 40. A call in one thread has no such trouble, and turns that are short lie nearer to each other. A call
# that lasts long loses all that in itself, and is not warmed up.
_BLOCK_S = 0.04
_ONE_THREAD_BLOCK_S = 0.005
# Beside turns of others that are ten times as long, one short turn a round says little: it takes three, apart from each
# other, and their median counts.
_SHORT_TURNS = 3
_WARM_SHARE = 0.5
_LONG_CALL_S = 0.1
# Threads that a runtime leaves spinning (ONNX Runtime's for 26 ms on the machine where this was measured) take a core
# from the next contender. We wait while the process uses more than this share of a core, at most _SETTLE_S.
_SETTLE_STEP_S = 0.001
_SETTLE_SHARE = 0.3
_SETTLE_S = 0.06


@dataclass(frozen=True, slots=True)
class Timer:
    """Where time comes from; tests put in one that they control.

    Attributes:
        now: seconds, monotonic; sleep: waits so many seconds; cpu: processor seconds of all threads of the process.
    """

    now: Callable[[], float] = time.perf_counter
    sleep: Callable[[float], None] = time.sleep
    cpu: Callable[[], float] = time.process_time


def interleave(
    contenders: Mapping[str, Callable[[], object]],
    *,
    budget_s: float,
    min_rounds: int = 5,
    max_rounds: int = 200,
    progress: Progress | None = None,
    one_thread: Container[str] = (),
    seed: int = 0,
    timer: Timer | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Time every contender in interleaved rounds. What a contender raises is passed on.

    Args:
        contenders: callables by name, at least one.
        budget_s: no further round starts when it would not end within this many seconds; calibration counts.
        min_rounds: rounds that are done even if the budget does not allow them.
        max_rounds: rounds that are never exceeded.
        progress: told how far it is.
        one_thread: names of those whose calls stay in one thread; their turns are shorter, and beside others they have
            three in each round, of which the median counts.
        seed: of the order within each round.
        timer: where time comes from.

    Returns:
        for each contender one array of seconds per call, one number a round, in the order of the rounds, so that
        numbers at the same place belong together.

    Raises:
        InputError: no contenders, or fewer than one round.
    """
    if not contenders or not 1 <= min_rounds <= max_rounds:
        raise InputError(
            f"timing needs contenders and 1 <= min_rounds <= max_rounds; "
            f"received {len(contenders)}, {min_rounds} and {max_rounds}"
        )
    timer, progress = timer or Timer(), progress or silent
    start = timer.now()
    calls = {name: _calibrate(call, _block_s(name in one_thread), timer) for name, call in contenders.items()}
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    short = [name for name, count in calls.items() if name in one_thread and count > 1]
    order = [*contenders, *short * (_SHORT_TURNS - 1)] if len(short) < len(contenders) else [*contenders]
    shuffler = random.Random(seed)  # noqa: S311 (an order, not a secret)
    rounds_start = timer.now()
    for done in range(max_rounds):
        spent = timer.now() - start
        next_s = (timer.now() - rounds_start) / done if done else 0.0
        if done >= min_rounds and spent + next_s > budget_s:
            break
        shuffler.shuffle(order)
        turns: dict[str, list[float]] = {name: [] for name in contenders}
        for name in order:
            turns[name].append(_turn(contenders[name], calls[name], timer))
        for name, seen in turns.items():
            samples[name].append(statistics.median(seen))
        by_time = (timer.now() - start) / budget_s if budget_s > 0 else 1.0
        progress.update("measuring", min(0.99, max((done + 1) / max_rounds, by_time)))
    progress.update("measuring", 1.0)
    return {name: np.array(values, dtype=np.float64) for name, values in samples.items()}


def share_of_round_s(call_s: float, *, one_thread: bool = False) -> float:
    """Seconds that a call takes of each round, about, with the waits for its threads to sleep, beside calls of others.

    Args:
        call_s: that one call takes.
        one_thread: whether it stays in one thread.
    """
    busy = call_s if call_s >= _LONG_CALL_S else max(2 * call_s, (1 + _WARM_SHARE) * _block_s(one_thread))
    # Threads sleep well before the longest wait, if they spin at all; the one that calls does not.
    turn_s = busy + (_SETTLE_STEP_S if one_thread else _SETTLE_S / 3)
    return turn_s * _SHORT_TURNS if one_thread and call_s < _block_s(one_thread) else turn_s


def _block_s(one_thread: bool) -> float:
    return min(_BLOCK_S, _ONE_THREAD_BLOCK_S) if one_thread else _BLOCK_S


def _calibrate(call: Callable[[], object], block_s: float, timer: Timer) -> int:
    """Find how many calls fill a block. The first call is thrown away: it may still compile something."""
    call()
    count = 1
    while True:
        elapsed = _block(call, count, timer)
        if elapsed >= block_s:
            return count
        # Aim a little beyond the block, and never trust a very short time further than tenfold.
        count = min(10 * count, max(count + 1, math.ceil(1.2 * count * block_s / max(elapsed, 1e-9))))


def _turn(call: Callable[[], object], count: int, timer: Timer) -> float:
    _settle(timer)
    with _no_collection():
        elapsed = _block(call, math.ceil(count * _WARM_SHARE), timer)
        if count == 1 and elapsed >= _LONG_CALL_S:
            return elapsed
        return _block(call, count, timer) / count


def _block(call: Callable[[], object], count: int, timer: Timer) -> float:
    now = timer.now
    start = now()
    for _ in range(count):
        call()
    return now() - start


def _settle(timer: Timer) -> None:
    start = timer.now()
    while True:
        wall, cpu = timer.now(), timer.cpu()
        timer.sleep(_SETTLE_STEP_S)
        wall, cpu = timer.now() - wall, timer.cpu() - cpu
        if cpu <= _SETTLE_SHARE * wall or timer.now() - start >= _SETTLE_S:
            return


@contextmanager
def _no_collection() -> Iterator[None]:
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
