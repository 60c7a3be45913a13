"""What `compile` is asked for.

>>> CompileOptions(max_drop=0.01).goal
'latency'
"""

from __future__ import annotations

from dataclasses import dataclass

from chipwise.core.errors import InputError
from chipwise.core.plan import Goal


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """Goal and limits of a search.

    Attributes:
        goal: "latency" (one item at a time), "throughput" (items per second, any batch), "size" (bytes).
        max_drop: accuracy that may be given up against the source network, 0..1; 0 allows only exact and close plans.
        budget_s: wall time for the whole search, seconds.
        seed: of calibration samples and of the order of measurements.
        runtimes: adapters to try; empty for all that are usable and safe to ship.
        allow: adapters that are tried only when asked for ("inductor": native code, needs torch where it runs).
    """

    goal: Goal = "latency"
    max_drop: float = 0.01
    budget_s: float = 60.0
    seed: int = 0
    runtimes: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.goal not in ("latency", "throughput", "size"):
            raise InputError(f"unknown goal {self.goal!r}", hint="known: latency, throughput, size")
        if not 0 <= self.max_drop <= 1:
            raise InputError(f"max_drop is {self.max_drop}, a share between 0 and 1 is wanted", hint="1% is 0.01")
        if not self.budget_s > 0:
            raise InputError(f"the budget is {self.budget_s} s, it must be above 0")
