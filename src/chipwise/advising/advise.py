"""The answer: every device and system looked at, what meets the goal ranked, and what would change it.

>>> completed(Goal(phase="training", data_size=100)).batch
100
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from chipwise.advising.answering import answered
from chipwise.advising.choose import (
    NO_POWER,
    TOO_MANY_WATTS,
    UNPRICED,
    changes_of,
    grouped,
    judged,
    nearest,
    ranked,
    runner_up,
)
from chipwise.advising.costs import bought_once, with_costs
from chipwise.advising.expected import Rows, obstacle
from chipwise.advising.hardware import Hardware, copies, of_system, owned
from chipwise.advising.prices import RATE, newest, offers, source_line
from chipwise.advising.rule import guidance
from chipwise.advising.training import rungs, trained
from chipwise.core.advice import Advice, Candidate, Goal, Miss, Rate, Rung
from chipwise.core.device import Device, System
from chipwise.core.errors import InputError

_USUAL_BATCH = 256
_COUNTS = (1, 2, 4, 8)
SHOWN = 10  # candidates whose prices are told with their sources
_NEAR_WATTS = 4.0  # times the watts that are allowed, up to which it is reckoned what more would give


@dataclass(frozen=True, slots=True)
class Subject:
    """The network.

    Attributes:
        name, origin, parameters, flops: as of `Advice`.
        rows_at: layer rows for so many items.
        fixed: the only batch that it takes; None for any.
    """

    name: str
    origin: str
    parameters: int
    flops: int
    rows_at: Rows
    fixed: int | None = None


def completed(goal: Goal) -> Goal:
    """The goal with what follows from it where nothing was said: batch, way to pay, and what decides.

    Raises:
        InputError: parts of it do not go together.
    """
    _check(goal)
    batch, pay, by = goal.batch, goal.pay, goal.by
    if goal.phase == "training" and batch is None:
        batch = min(_USUAL_BATCH, goal.data_size or _USUAL_BATCH)
    if goal.budget is not None:
        pay = "rent" if goal.budget.hourly else "buy"
    return replace(goal, batch=batch, pay=pay, by=by)


def _check(goal: Goal) -> None:
    if goal.phase == "training":
        wrong = [name for name, value in (("latency", goal.latency_s), ("rate", goal.rate_s)) if value is not None]
        if wrong:
            raise InputError(f"a {wrong[0]} is a goal of inference", hint="ask --for inference, or leave it out")
    elif goal.data_size is not None or goal.deadline_s is not None:
        raise InputError("data size, epochs and deadline are goals of training", hint="ask --for training")
    if goal.deadline_s is not None and goal.data_size is None:
        raise InputError("a deadline needs the amount of work", hint="give --data-size N, and --epochs E")
    if goal.budget is not None and goal.pay and (goal.pay == "rent") != goal.budget.hourly:
        word = "an hour" if goal.budget.hourly else "to buy"
        raise InputError(f"the budget is {word}, and --pay {goal.pay} is not", hint="leave one of them out")


def advise(
    subject: Subject,
    goal: Goal,
    devices: Sequence[Device],
    systems: Sequence[System],
    *,
    have: Sequence[str] = (),
    rate: Rate = RATE,
) -> Advice:
    """Rank hardware for a network.

    Args:
        subject: the network.
        goal: what is wanted; made whole by `completed`.
        devices: with prices.
        systems: likewise.
        have: what is there already, as "rtx3080x2".
        rate: what euros are.

    Raises:
        UnknownNameError: hardware that is there already and not known, with the nearest names. InputError: a system
            with no link speed, or goals that do not go together.
    """
    goal = _for_batch(completed(goal), subject)
    training = goal.phase == "training"
    rows_at = cache(subject.rows_at)
    today = newest((*devices, *systems))
    own = [owned(text, devices, systems, training=training) for text in have]
    look = _Look(rows_at, goal, rate, today)
    for hardware in own:
        look.at(hardware)
    own_missed = tuple(look.missed)
    for device in devices:
        look.at_device(device)
    for system in systems:
        look.at_system(system)
    candidates = ranked(look.meeting, goal)
    rule = guidance(rows_at, devices, _judged_at(goal, candidates), candidates)
    if rule.verdict == "CPU" and goal.by == "cost" and goal.budget is None and not own:
        candidates = tuple(sorted(candidates, key=lambda each: each.kind != "cpu"))
    second = runner_up(candidates)
    return Advice(
        network=subject.name,
        origin=subject.origin,
        parameters=subject.parameters,
        flops=subject.flops,
        goal=goal,
        candidates=candidates,
        runner_up=second,
        changes=changes_of(candidates, second, look.meeting, look.missed, goal) if candidates else (),
        ladder=_ladder(candidates, look.hardware, rows_at, goal) if candidates and training else (),
        scaling=_scaling(candidates, look, rows_at, goal) if candidates and training else (),
        ruled_out=grouped(look.missed, candidates),
        own=own_missed,
        nearest=() if candidates else nearest(look.missed),
        guidance=rule,
        rate=rate if _in_euros(candidates[:SHOWN], goal) else None,
        sources=_sources(candidates),
        notes=_notes(candidates, goal),
    )


def _for_batch(goal: Goal, subject: Subject) -> Goal:
    """The goal for a network that may take one batch alone."""
    if subject.fixed is None:
        return goal
    if goal.phase == "training":
        raise InputError(
            f"{subject.name} has a fixed batch of {subject.fixed}: a step of it cannot be cut",
            hint="export it with a free first dimension",
        )
    return goal if goal.batch is not None else replace(goal, batch=subject.fixed)


class _Look:
    """What was looked at: what meets the goal, in every way, and what misses it."""

    def __init__(self, rows_at: Rows, goal: Goal, rate: Rate, today: str) -> None:
        self.meeting: list[Candidate] = []
        self.missed: list[Miss] = []
        self.hardware: dict[str, Hardware] = {}
        self._rows_at, self._goal, self._rate, self._today = rows_at, goal, rate, today

    def at_device(self, device: Device) -> None:
        """One of it; in training several, where that may meet the goal or be quicker."""
        goal = self._goal
        first, *more = copies(device, _COUNTS if goal.phase == "training" else (1,))
        found = self.at(first)
        if not more or self._hopeless(first):
            return
        if found and goal.by == "cost" and self._sure(first):
            return  # several cost more for the same work
        for hardware in more:
            if hardware.link is None or self._too_dear(device, hardware.count):
                return
            if self.at(hardware) and goal.by == "cost" and self._sure(hardware):
                return

    def at_system(self, system: System) -> None:
        """All of it; machines without accelerators are not looked at."""
        if system.device is None:
            return
        try:
            hardware = of_system(system)
        except InputError:
            self.missed.append(Miss(system.name, "no link speed between its devices is known"))
            return
        self.at(hardware)

    def at(self, hardware: Hardware) -> bool:
        """Reckon it; whether it runs there at all."""
        self.hardware.setdefault(hardware.name, hardware)
        beforehand = self._beforehand(hardware)
        if beforehand is not None:
            self.missed.append(beforehand)
            return False
        run = trained if self._goal.phase == "training" else answered
        found = run(hardware, self._rows_at, self._goal)
        if isinstance(found, Miss):
            self.missed.append(found)
            return False
        for each in self.paid(found, hardware):
            miss = judged(each, self._goal, self._rate)
            if miss is None:
                self.meeting.append(each)
            else:
                self.missed.append(miss)
        return True

    def paid(self, found: Candidate, hardware: Hardware) -> list[Candidate]:
        """A candidate with its energy, once for each way to pay."""
        return with_costs(found, hardware, self._rows_at(found.each), self._goal, rate=self._rate, today=self._today)

    def _beforehand(self, hardware: Hardware) -> Miss | None:
        """What rules it out before anything is reckoned: its power far above the limit, or no price."""
        goal, name, power_w = self._goal, hardware.name, hardware.power_w
        if obstacle(hardware.device, goal.phase):
            return None
        if goal.power_w is not None and (power_w is None or power_w > _NEAR_WATTS * goal.power_w):
            return Miss(name, NO_POWER if power_w is None else TOO_MANY_WATTS)
        if hardware.own or not (goal.pay or goal.by == "cost"):
            return None
        priced = hardware.system if hardware.system is not None else hardware.device
        pays = {way.pay for way in offers(priced, 1, self._rate, self._today)}
        if pays and (not goal.pay or goal.pay in pays):
            return None
        return Miss(name, UNPRICED[goal.pay])

    def _sure(self, hardware: Hardware) -> bool:
        """Whether it meets the goal, a deadline by the upper bound of its time."""
        limit = self._goal.deadline_s
        found = [each for each in self.meeting if each.name == hardware.name]
        return any(limit is None or each.work_s is None or (each.work_s.high or limit) <= limit for each in found)

    def _hopeless(self, hardware: Hardware) -> bool:
        """Whether several would be out for the same reason as one: it is not estimated, or draws too much."""
        last = [each for each in self.missed if each.name == hardware.name]
        return any(each.candidate is None and "fit" not in each.reason for each in last) or any(
            each.goal == "power" for each in last
        )

    def _too_dear(self, device: Device, count: int) -> bool:
        """Whether so many cost more than the budget, so that nobody need reckon how quick they are."""
        budget = self._goal.budget
        if budget is None:
            return False
        limit = self._rate.usd(budget.value, budget.currency)
        ways = offers(device.one_chip(), count, self._rate, self._today)
        mids = [way.usd.mid for way in ways if way.usd is not None and way.pay == self._goal.pay]
        return not any(mid is not None and mid <= limit for mid in mids)


def _ladder(
    candidates: Sequence[Candidate], looked: dict[str, Hardware], rows_at: Rows, goal: Goal
) -> tuple[Rung, ...]:
    best = candidates[0]
    return tuple(rungs(looked[best.name], rows_at, goal, best.precision))


def _scaling(candidates: Sequence[Candidate], look: _Look, rows_at: Rows, goal: Goal) -> tuple[Candidate, ...]:
    """The recommended device once and several times, as far as it is joined, paid for in the same way."""
    best = candidates[0]
    device = look.hardware[best.name].device
    made = []
    for hardware in copies(device, [count for count in _COUNTS if count <= (goal.batch or 1)]):
        found = trained(hardware, rows_at, goal)
        if isinstance(found, Candidate):
            ways = look.paid(found, hardware)
            same = (each for each in ways if (each.offer and each.offer.pay) == (best.offer and best.offer.pay))
            made.append(next(same, ways[0]))
    return tuple(made) if len(made) > 1 else ()


def _judged_at(goal: Goal, candidates: Sequence[Candidate]) -> Goal:
    """The goal with the batch at which kinds of chips are compared: where none was said, that of the best GPU."""
    each = next((each.each for each in candidates if each.kind == "gpu"), 1)
    return goal if goal.batch is not None else replace(goal, batch=each)


def _in_euros(shown: Sequence[Candidate], goal: Goal) -> bool:
    """Whether an amount in euros was compared with one in dollars."""
    asked = goal.budget is not None and goal.budget.currency == "EUR"
    return asked or any(
        each.offer is not None and each.offer.price is not None and each.offer.price.currency == "EUR" for each in shown
    )


def _sources(candidates: Sequence[Candidate]) -> tuple[str, ...]:
    lines = [
        source_line(each.device if not each.whole else each.name, each.offer)
        for each in candidates[:SHOWN]
        if each.offer
    ]
    return tuple(dict.fromkeys(line for line in lines if line))


def _notes(candidates: Sequence[Candidate], goal: Goal) -> tuple[str, ...]:
    """What to know of the whole answer."""
    notes = []
    if any(each.offer is not None and each.offer.pay == "buy" and not each.whole for each in candidates):
        notes.append("a card's price and power are its own: the computer around it is not counted")
    if bought_once(goal) and any(each.offer is not None and each.offer.pay == "buy" for each in candidates):
        notes.append(
            "for one piece of work a card's price counts in whole, a CPU's over its life; --pay buy spreads both"
        )
    if goal.phase == "training":
        notes.append(f"a step learns from {goal.batch:,} items on all devices together, with AdamW")
    if goal.latency_s is not None:
        twice = " behind the batch before it" if goal.rate_s is not None else ""
        notes.append(f"the latency is kept{twice} by the upper bound of a batch's time; batches are powers of two")
    if any(each.kind == "edge" for each in candidates):
        notes.append("an edge accelerator needs a host, whose power and price are not counted")
    if candidates and any(each.precision == "int8" for each in candidates):
        notes.append("int8: the network is quantized first, and its accuracy checked (chipwise quantize)")
    return (*notes, *(candidates[0].notes if candidates else ()))
