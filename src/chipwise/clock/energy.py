"""Joules that the machine itself counts: RAPL's counters of processor packages, as Linux shows them under powercap.

They count a whole package, whoever uses it: only differences between contenders that took turns mean something, and
only where little else runs. Counters step about every millisecond, so a turn lasts long enough to not see the steps.

>>> energy_counter(Path("no/such/folder"))
Traceback (most recent call last):
chipwise.core.errors.RuntimeUnavailableError: no energy counter is readable here
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chipwise.core.errors import RuntimeUnavailableError
from chipwise.core.events import Progress, silent

POWERCAP = Path("/sys/class/powercap")
_TURN_S = 0.2


@dataclass(frozen=True, slots=True)
class EnergyCounter:
    """Counters of all packages.

    Attributes:
        files: with microjoules since some time.
        wraps: where each begins anew, microjoules; 0 where that is not said.
    """

    files: tuple[Path, ...]
    wraps: tuple[int, ...]

    def read(self) -> tuple[int, ...]:
        """Microjoules of every package.

        Raises:
            RuntimeUnavailableError: they cannot be read any more.
        """
        try:
            return tuple(int(path.read_text()) for path in self.files)
        except (OSError, ValueError) as error:
            raise RuntimeUnavailableError(f"the energy counter cannot be read: {error}") from error

    def joules(self, before: tuple[int, ...], after: tuple[int, ...]) -> float:
        """Energy between two readings that are less than one wrap apart."""
        steps = zip(before, after, self.wraps, strict=True)
        return sum(end - start + (wrap if end < start else 0) for start, end, wrap in steps) * 1e-6


def energy_counter(folder: Path = POWERCAP) -> EnergyCounter:
    """Find the counters of processor packages.

    Raises:
        RuntimeUnavailableError: there are none, or only root may read them.
    """
    zones = sorted(path for path in folder.glob("intel-rapl:*") if path.name.count(":") == 1)
    readable = [zone / "energy_uj" for zone in zones if _number(zone / "energy_uj") is not None]
    if not readable:
        seen = "root alone may read those that are here" if zones else "virtual machines rarely have one"
        hint = f"{seen}; ask for --goal latency: on one machine less time is mostly less energy"
        raise RuntimeUnavailableError("no energy counter is readable here", hint=hint)
    return EnergyCounter(tuple(readable), tuple(_number(path.parent / "max_energy_range_uj") or 0 for path in readable))


def interleave_energy(
    contenders: Mapping[str, Callable[[], object]],
    counter: EnergyCounter,
    *,
    budget_s: float,
    min_rounds: int = 5,
    max_rounds: int = 30,
    progress: Progress = silent,
    seed: int = 0,
    turn_s: float = _TURN_S,
) -> dict[str, NDArray[np.float64]]:
    """Count joules per call in turns.

    Args:
        contenders: callables by name.
        counter: of this machine.
        budget_s: no further round starts when it would not end within this many seconds.
        min_rounds: rounds that are done even if the budget does not allow them.
        max_rounds: rounds that are never exceeded.
        progress: told how far it is.
        seed: of the order within each round.
        turn_s: how long a turn lasts at least.

    Returns:
        joules per call for each contender, one number a round; the same places belong together.

    Raises:
        RuntimeUnavailableError: the counter stands still, as some virtual machines' do.
    """
    order, shuffler = list(contenders), random.Random(seed)  # noqa: S311 (an order, not a secret)
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    start = time.perf_counter()
    for done in range(max_rounds):
        spent = time.perf_counter() - start
        if done >= min_rounds and spent + spent / done > budget_s:
            break
        shuffler.shuffle(order)
        for name in order:
            samples[name].append(_turn(contenders[name], counter, turn_s))
        progress.update("counting joules", (done + 1) / max_rounds)
    return {name: np.array(values) for name, values in samples.items()}


def _turn(call: Callable[[], object], counter: EnergyCounter, turn_s: float) -> float:
    call()
    calls, before, start = 0, counter.read(), time.perf_counter()
    while time.perf_counter() - start < turn_s:
        call()
        calls += 1
    joules = counter.joules(before, counter.read())
    if joules <= 0:
        raise RuntimeUnavailableError("the energy counter stands still", hint="ask for --goal latency")
    return joules / calls


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
