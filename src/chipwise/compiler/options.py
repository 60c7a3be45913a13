"""What `compile` is asked for.

>>> CompileOptions(max_drop=0.01).goal
'latency'
>>> parse_goal("latency=10ms")
('latency', 0.01)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from chipwise.core.errors import InputError
from chipwise.core.plan import Goal
from chipwise.core.units import parse_duration_s

GOALS: tuple[Goal, ...] = ("latency", "throughput", "size", "energy")


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """Goal and limits of a search.

    Attributes:
        goal: "latency" (one item at a time), "throughput" (items per second, any batch), "size" (bytes), "energy"
            (joules an item, where the machine counts them).
        limit_s: latency that is wanted, seconds; None for the least.
        max_drop: accuracy that may be given up against the source network, 0..1; 0 allows only exact and close plans.
        budget_s: wall time for the whole search, seconds.
        seed: of calibration samples and of the order of measurements.
        runtimes: adapters to try; empty for all that are usable and safe to ship.
        allow: adapters that are tried only when asked for ("inductor": native code, needs torch where it runs).
        keep: layers that stay in float whatever is quantized, by name or a pattern of names ("conv1", "head/*").
        uint8: the plan takes pictures as uint8, and scales pixels itself.
    """

    goal: Goal = "latency"
    max_drop: float = 0.01
    budget_s: float = 60.0
    seed: int = 0
    runtimes: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    limit_s: float | None = None
    keep: tuple[str, ...] = ()
    uint8: bool = False

    def __post_init__(self) -> None:
        if self.goal not in GOALS:
            raise InputError(f"unknown goal {self.goal!r}", hint=f"known: {', '.join(GOALS)}")
        if self.limit_s is not None and not (self.limit_s > 0 and self.goal == "latency"):
            raise InputError(
                f"a limit of {self.limit_s} s for {self.goal}", hint="only latency has one, as latency=10ms"
            )
        if not 0 <= self.max_drop <= 1:
            raise InputError(f"max_drop is {self.max_drop}, a share between 0 and 1 is wanted", hint="1% is 0.01")
        if not self.budget_s > 0:
            raise InputError(f"the budget is {self.budget_s} s, it must be above 0")

    def after(self, spent_s: float) -> CompileOptions:
        """The same with what is left of the budget, and at least half of it for the search.

        >>> CompileOptions(budget_s=60).after(7.0).budget_s
        53.0
        """
        return replace(self, budget_s=max(self.budget_s - spent_s, self.budget_s / 2))


def parse_goal(text: str) -> tuple[Goal, float | None]:
    """Read "latency", "latency=10ms", "throughput", "size" or "energy" as a goal and a limit in seconds.

    Raises:
        InputError: it is none of these.
    """
    name, equals, limit = text.strip().partition("=")
    for goal in GOALS:
        if goal == name:
            return goal, parse_duration_s(limit) if equals else None
    raise InputError(
        f"unknown goal {text!r}", hint=f"known: {', '.join(GOALS)}; latency may have a limit: latency=10ms"
    )


def parse_keep(text: str) -> tuple[str, ...]:
    """Read "fp32:conv1,fc" as names of layers that stay in float32.

    Raises:
        InputError: another number format, or no layers.
    """
    precision, colon, names = text.partition(":")
    found = tuple(name.strip() for name in names.split(",") if name.strip())
    if not colon or precision.strip() != "fp32" or not found:
        raise InputError(
            f"cannot read {text!r} as layers to keep", hint="as fp32:conv1,fc; patterns will do: fp32:head/*"
        )
    return found
