"""What meets the goal, in which order, and what would change it.

>>> grouped([Miss("a", "too large"), Miss("b", "too large")], [])[0].names
('a', 'b')
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Literal

from chipwise.advising.costs import most_of
from chipwise.core.advice import By, Candidate, Change, Goal, Miss, Rate, Ruled
from chipwise.cost.money import USUAL, electricity_of

NO_POWER, TOO_MANY_WATTS = "its power is not known", "it draws more than the watts"
UNPRICED = {
    "": "no price to buy it of the last seven years, and no rent of the last two, is known",
    "buy": "no price to buy it of the last seven years is known",
    "rent": "no rent of the last two years is known",
}
_NUMBER = re.compile(r"^\d+ x ")
_SHOWN_NEAREST = 3


def key_of(goal: Goal) -> Callable[[Candidate], float]:
    """What to sort by, least first; infinite where it is not known."""

    def key(each: Candidate) -> float:
        if goal.by == "cost":
            value = each.usd.mid if each.usd is not None else None
        elif goal.by == "energy":
            value = each.energy_j.mid if each.energy_j is not None else None
        else:
            value = each.step_s.mid / each.batch if each.step_s.mid is not None else None
        return math.inf if value is None else value

    return key


def judged(each: Candidate, goal: Goal, rate: Rate) -> Miss | None:
    """Why a candidate is out; None where it meets the goal."""
    return _too_much(each, goal) or _too_dear(each, goal, rate)


def _too_much(each: Candidate, goal: Goal) -> Miss | None:
    """What misses the watts or the deadline."""
    power_w, work_s = each.power_w, None if each.work_s is None else each.work_s.mid
    if goal.power_w is not None and power_w is None:
        return Miss(each.name, NO_POWER, candidate=each)
    if goal.power_w is not None and power_w is not None and power_w > goal.power_w:
        return Miss(each.name, TOO_MANY_WATTS, "power", power_w, goal.power_w, each)
    if goal.deadline_s is not None and (work_s is None or work_s > goal.deadline_s):
        return Miss(each.name, "it takes longer than the deadline", "deadline", work_s, goal.deadline_s, each)
    return None


def _too_dear(each: Candidate, goal: Goal, rate: Rate) -> Miss | None:
    """What cannot be paid as it should, costs more than the budget, or of which what decides is not known."""
    own = each.offer is not None and each.offer.pay == "own"
    if goal.pay and not own and (each.offer is None or each.offer.pay != goal.pay):
        return Miss(each.name, UNPRICED[goal.pay], candidate=each)
    if goal.budget is not None and not own and each.offer is not None:
        price, limit = most_of(each.offer), rate.usd(goal.budget.value, goal.budget.currency)
        if price is not None and price > limit:
            return Miss(each.name, "it costs more than the budget", "budget", price, limit, each)
    missing = {"cost": (UNPRICED[""], each.usd), "energy": (NO_POWER, each.energy_j)}
    if goal.by in missing and missing[goal.by][1] is None:
        return Miss(each.name, missing[goal.by][0], candidate=each)
    return None


def ranked(meeting: Iterable[Candidate], goal: Goal) -> tuple[Candidate, ...]:
    """Best first; of each device and each system the best way alone."""
    best: dict[str, Candidate] = {}
    for each in sorted(meeting, key=key_of(goal)):
        best.setdefault(each.name if each.whole else each.device, each)
    return tuple(best.values())


def runner_up(candidates: Sequence[Candidate]) -> int | None:
    """Place of the next best with another chip; else of the next; None where there is none."""
    if not candidates:
        return None
    least = min(candidates, key=lambda each: (each.usd.mid if each.usd is not None else None) or math.inf)
    cheaper = candidates.index(least)
    if candidates[0].kind == "cpu" and least.kind != "cpu":  # CPUs first, though something costs less
        return cheaper
    others = [place for place, each in enumerate(candidates) if place and each.device != candidates[0].device]
    return others[0] if others else 1 if len(candidates) > 1 else None


def grouped(missed: Iterable[Miss], kept: Sequence[Candidate]) -> tuple[Ruled, ...]:
    """Reasons with all devices and systems, most first; what is kept, in whatever number, is not out."""
    names = {each.name if each.whole else each.device for each in kept}
    reasons: dict[str, dict[str, None]] = {}
    for each in missed:
        name = _NUMBER.sub("", each.name)
        if name not in names:
            reasons.setdefault(each.reason, {})[name] = None
    found = [Ruled(reason, tuple(said)) for reason, said in reasons.items()]
    return tuple(sorted(found, key=lambda each: -len(each.names)))


def nearest(missed: Iterable[Miss]) -> tuple[Miss, ...]:
    """Those that miss by least, of what is a matter of degree."""
    measured = sorted((each for each in missed if each.goal and each.ratio < math.inf), key=lambda each: each.ratio)
    found: dict[str, Miss] = {}
    for each in measured:
        found.setdefault(each.candidate.device if each.candidate is not None else each.name, each)
    return tuple(found.values())[:_SHOWN_NEAREST]


def changes_of(
    candidates: Sequence[Candidate],
    second: int | None,
    meeting: Sequence[Candidate],
    missed: Sequence[Miss],
    goal: Goal,
) -> tuple[Change, ...]:
    """What would change the answer, each with the number at which it does.

    Args:
        candidates: ranked.
        second: place of the runner-up.
        meeting: all that meet the goal, in every way.
        missed: all that are out.
        goal: what was asked.
    """
    best = candidates[0]
    found: list[Change | None] = []
    if second is not None and goal.by == "cost":
        found.append(_price(best, candidates[second]))
    if second is not None and goal.by == "energy":
        found.append(_host(best, candidates[second]))
    found.append(_beyond("budget", best, missed))
    found.append(_beyond("power", best, missed))
    found.append(_deadline(best, meeting, goal))
    found.append(_certain(best, meeting, goal))
    found.append(_hours(best, meeting, missed))
    found += [_by_another(by, best, candidates, goal) for by in ("cost", "time", "energy")]
    if goal.rate_s is not None and best.items_s.low is not None:
        found.append(Change("rate", best.items_s.low, best.name, goal.rate_s))
    return tuple(each for each in found if each is not None)


def _by_another(by: By, best: Candidate, candidates: Sequence[Candidate], goal: Goal) -> Change | None:
    """What would be first if something else decided, and its share of the first's cost, time or energy."""
    key = key_of(replace(goal, by=by))
    first = min(candidates, key=key)
    if by == goal.by or first is best or not 0 < key(first) < math.inf:
        return None
    factor = key(first) / key(best) if 0 < key(best) < math.inf else None
    return Change(by, key(first), first.name, key(best) if factor is not None else None, factor=factor)


def _price(best: Candidate, other: Candidate) -> Change | None:
    """The price of the runner-up at which it costs as much; none where its electricity alone costs more."""
    offer = other.offer
    if offer is None or offer.usd is None or not offer.usd.mid or best.usd is None or other.usd is None:
        return None
    if best.usd.mid is None or not other.usd.mid:
        return None
    if offer.pay == "rent":
        share = best.usd.mid / other.usd.mid
    else:
        fixed = electricity_share(other)
        priced = other.usd.mid * (1 - fixed)
        share = (best.usd.mid - other.usd.mid * fixed) / priced if priced else 0.0
    if not 0 < share < 1:
        return None
    return Change("price", share * offer.usd.mid, other.name, offer.usd.mid, hourly=offer.pay == "rent")


def electricity_share(each: Candidate) -> float:
    """Share of what a bought candidate costs that is electricity."""
    if each.power_w is None or each.usd is None or not each.usd.mid:
        return 0.0
    usd = electricity_of(each.power_w, each.step_s).mid or 0.0
    return min(1.0, usd / each.batch / each.usd.mid)


def _host(best: Candidate, other: Candidate) -> Change | None:
    """Watts of a host, which an edge accelerator needs, at which the runner-up takes as little."""
    if best.kind != "edge" or best.energy_j is None or other.energy_j is None or best.items_s.mid is None:
        return None
    spared_j = (other.energy_j.mid or 0.0) - (best.energy_j.mid or 0.0)
    return Change("host", spared_j * best.items_s.mid, other.name) if spared_j > 0 else None


def _beyond(kind: Literal["budget", "power"], best: Candidate, missed: Sequence[Miss]) -> Change | None:
    """The least budget, or power, that gives something quicker."""
    beyond = [
        each
        for each in missed
        if each.goal == kind
        and each.candidate is not None
        and (each.candidate.items_s.mid or 0.0) > (best.items_s.mid or math.inf)
    ]
    first = min(beyond, key=lambda each: each.value or math.inf, default=None)
    if first is None or first.candidate is None or first.value is None:
        return None
    factor = (first.candidate.items_s.mid or 0.0) / (best.items_s.mid or 1.0)
    hourly = kind == "budget" and first.candidate.offer is not None and first.candidate.offer.pay == "rent"
    return Change(kind, first.value, first.name, first.limit, hourly, factor)


def _deadline(best: Candidate, meeting: Sequence[Candidate], goal: Goal) -> Change | None:
    """The deadline below which the answer is another one, and which."""
    if best.work_s is None or best.work_s.mid is None:
        return None
    quicker = [each for each in meeting if each.work_s is not None and (each.work_s.mid or math.inf) < best.work_s.mid]
    first = min(quicker, key=key_of(goal), default=None)
    return None if first is None else Change("deadline", best.work_s.mid, first.name, goal.deadline_s)


def _certain(best: Candidate, meeting: Sequence[Candidate], goal: Goal) -> Change | None:
    """Where the answer keeps the deadline by its middle alone: the next that keeps it by its upper bound."""
    limit = goal.deadline_s
    if limit is None or best.work_s is None or (best.work_s.high or 0.0) <= limit:
        return None
    kept = [each for each in meeting if each.work_s is not None and (each.work_s.high or math.inf) <= limit]
    first = min(kept, key=key_of(goal), default=None)
    if first is None or first.work_s is None or first.work_s.high is None:
        return None
    costs = [each.work_usd.mid if each.work_usd is not None else None for each in (first, best)]
    factor = costs[0] / costs[1] if costs[0] and costs[1] else None
    return Change("sure", first.work_s.high, first.name, limit, factor=factor)


def _hours(best: Candidate, meeting: Sequence[Candidate], missed: Sequence[Miss]) -> Change | None:
    """Hours of use from which buying what is rented, or renting what is bought, is the dearer way no more."""
    looked = (*meeting, *(miss.candidate for miss in missed if miss.candidate is not None))
    ways = {
        each.offer.pay: each
        for each in looked
        if each.name == best.name and each.offer is not None and each.offer.usd is not None
    }
    bought, rented = ways.get("buy"), ways.get("rent")
    if bought is None or rented is None or bought.offer is None or rented.offer is None:
        return None
    price, rent = most_of(bought.offer), most_of(rented.offer)
    if price is None or rent is None:
        return None
    electricity = (bought.power_w or 0.0) * USUAL.usd_kwh[1] / 1000
    return Change("hours", price / (rent - electricity), best.name) if rent > electricity else None
