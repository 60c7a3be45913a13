"""Advice in sentences: what was asked, why this and not another, and what would change it.

>>> from chipwise.core.advice import Change, Goal
>>> change_words(Change("power", 25.0, "Bigger", 15.0, factor=1.4), Goal(), None)
'from 25 W on (15 W are allowed): Bigger, 1.4 times as quick'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chipwise.views.intervals import number_range, time_range
from chipwise.views.units import format_bytes, format_count, format_share, format_time, significant

if TYPE_CHECKING:
    from chipwise.core.advice import Advice, Candidate, Change, Goal, Miss, Offer, Rate
    from chipwise.core.estimate import Interval
    from chipwise.core.units import Money

_LARGE = ((1e12, 1e12, "T"), (1e9, 1e9, "G"), (1e5, 1e6, "M"), (0.0, 1.0, ""))  # from where on, scale, prefix
_SMALL = ((1.0, 1.0, ""), (1e-3, 1e-3, "m"), (0.0, 1e-6, "µ"))
_LONG = ((86400.0, "days"), (3600.0, "h"), (60.0, "min"))


def scaled_range(interval: Interval | None, unit: str = "", *, bounds: bool = True) -> str:
    """A number that may be very large, or of a unit very small, with its bounds: "18.7 [15.3–21.3] M"; "-" for none."""
    if interval is None or interval.mid is None:
        return "-"
    prefixes = _SMALL if unit and interval.mid < 1 else _LARGE
    scale, prefix = next((scale, prefix) for least, scale, prefix in prefixes if interval.mid >= least)
    part = interval.times(1 / scale)
    said = number_range(part) if bounds else significant(part.mid or 0.0)
    return f"{said} {prefix}{unit}".rstrip()


def span_range(interval: Interval) -> str:
    """Seconds with their bounds in one unit, as "38.6 [33.1–45.2] h" from a minute on."""
    mid = interval.mid
    scale, unit = next(((scale, unit) for scale, unit in _LONG if mid is not None and mid >= 1.5 * scale), (1.0, ""))
    return number_range(interval.times(1 / scale), unit) if unit else time_range(interval)


def money_words(value: Money) -> str:
    """An amount as "1,500 EUR" or "2 USD an hour"."""
    return f"{_amount(value.value)} {value.currency}{' an hour' if value.hourly else ''}"


def offer_words(offer: Offer | None, rate: Rate | None = None) -> str:
    """How all of it is paid: "699 USD †", "0.16 USD/h", "there already"; "-" where no price is known; in euros, too."""
    if offer is None:
        return "-"
    if offer.pay == "own" or offer.usd is None or offer.usd.mid is None:
        return "there already"
    hour = "/h" if offer.pay == "rent" else ""
    euros = "" if rate is None else f" ({_amount(rate.eur(offer.usd.mid))} EUR{hour} with tax)"
    return f"{_amount(offer.usd.mid)} USD{hour}{' †' if offer.old else ''}{euros}"


def watts(value: float) -> str:
    """A power without more digits than it has, "15" or "2,800"."""
    return f"{value:,.0f}" if value == round(value) else significant(value)


def goal_words(goal: Goal) -> str:
    """What was asked, in a line."""
    parts = [f"batch {format_count(goal.batch)}" if goal.batch is not None else ""]
    if goal.data_size is not None:
        epochs = f", {goal.epochs} epochs" if goal.epochs > 1 else ""
        parts.append(f"{format_count(goal.data_size)} items{epochs}")
    parts += [f"in {goal.precision}" if goal.precision else "", *limits(goal)]
    parts += [f"to {goal.pay}" if goal.pay and goal.budget is None else ""]
    parts.append({"cost": "least money first", "time": "quickest first", "energy": "least energy first"}[goal.by])
    return "; ".join(filter(None, parts))


def limits(goal: Goal) -> list[str]:
    """What bounds the answer, a part each."""
    return [
        said
        for said, known in (
            (f"at most {money_words(goal.budget)}" if goal.budget is not None else "", goal.budget),
            (f"within {span(goal.deadline_s or 0.0)}", goal.deadline_s),
            (f"in {format_bytes(goal.memory_bytes or 0)} of memory", goal.memory_bytes),
            (f"an answer in {format_time(goal.latency_s or 0.0)}", goal.latency_s),
            (f"{significant(goal.rate_s or 0.0)} answers/s", goal.rate_s),
            (f"at most {watts(goal.power_w or 0.0)} W", goal.power_w),
        )
        if known is not None
    ]


def reason_words(record: Advice) -> str:
    """Why the first is recommended, in one sentence."""
    best, goal = record.candidates[0], record.goal
    count = len(record.candidates)
    among = "of all that meet it, being the only one" if count == 1 else f"of the {count} that {_meet(goal)}"
    if record.guidance.verdict == "CPU" and best.kind == "cpu" and goal.by == "cost" and goal.budget is None:
        waits = next((each.waiting for each in record.guidance.paces if each.kind == "gpu"), 0.0)
        return (
            f"a GPU would wait for {format_share(waits, 0)} of each step, so any CPU at hand will do: this one takes "
            f"{_work(best)}"
        )
    in_euros = goal.budget is not None and goal.budget.currency == "EUR"
    paid = _paid_words(best, record.rate if in_euros else None)
    if goal.by == "energy":
        return f"it takes least energy {among}: {scaled_range(best.energy_j, 'J')} an item{paid}"
    if goal.by == "time":
        return f"it is the quickest {among}: {number_range(best.items_s)} items/s, {_work(best)}{paid}"
    if best.offer is not None and best.offer.pay == "own":
        return f"it is there already and meets what was asked, {_work(best)}"
    if best.work_usd is not None:
        return f"it costs least {among}: {number_range(best.work_usd, 'USD')} in {_work(best)}{paid}"
    return f"it costs least {among}: {scaled_range(best.items_usd)} items for a dollar{paid}"


def _meet(goal: Goal) -> str:
    return "meet that" if limits(goal) else "can be told of"


def second_words(record: Advice) -> str:
    """The runner-up beside the first."""
    assert record.runner_up is not None
    best, other = record.candidates[0], record.candidates[record.runner_up]
    parts = [f"{number_range(other.items_s)} items/s"]
    if best.items_s.mid and other.items_s.mid:
        parts.append(f"{significant(other.items_s.mid / best.items_s.mid, 2)} times the rate of the first")
    if best.usd is not None and other.usd is not None and best.usd.mid and other.usd.mid:
        parts.append(f"{significant(other.usd.mid / best.usd.mid, 2)} times its cost")
    if record.goal.by == "energy" and best.energy_j is not None and other.energy_j is not None:
        parts.append(f"{significant((other.energy_j.mid or 0) / (best.energy_j.mid or 1), 2)} times its energy")
    return f"{other.name}: {', '.join(parts)}"


def change_words(change: Change, goal: Goal, rate: Rate | None) -> str:
    """What would change the answer, and from where on."""
    hour, value, name = " an hour" if change.hourly else "", change.value, change.name
    share = "" if change.factor is None else significant(change.factor, 2)
    euros = goal.budget is not None and goal.budget.currency == "EUR" and rate is not None
    budget = rate.eur(value) if euros and rate is not None else value
    return {
        "cost": f"least money: {name}{share and f', {share} times that of the first'}",
        "time": f"least time: {name}{share and f', {share} times that of the first'}",
        "energy": f"least energy: {name}{share and f', {share} times that of the first'}",
        "price": f"below {_amount(value)} USD{hour} ({_amount(change.now or 0.0)} now) {name} costs less",
        "budget": f"from {_amount(budget)} {'EUR' if euros else 'USD'}{hour} on: {name}, {share} times as quick",
        "power": f"from {watts(value)} W on ({watts(change.now or 0.0)} W are allowed): {name}, {share} times as quick",
        "sure": f"to be sure of it by the upper bound, {span(value)}: {name}{share and f'; {share} times the cost'}",
        "deadline": f"a deadline below {span(value)} takes {name}",
        "hours": f"{name} is cheaper bought than rented from {format_count(round(value))} hours of use on",
        "host": f"a host that draws {significant(value, 2)} W or more undoes that: {name} takes less then",
        "rate": f"above {significant(value)} answers/s (the lower bound of its rate) one more is needed",
    }[change.kind]


def miss_words(miss: Miss, goal: Goal, rate: Rate | None) -> str:
    """What the nearest misses, and by how much."""
    value = miss.value or 0.0
    if miss.goal == "budget":
        euros = goal.budget is not None and goal.budget.currency == "EUR" and rate is not None
        value = rate.eur(value) if euros and rate is not None else value
        said = f"it costs {_amount(value)} {'EUR' if euros else 'USD'}"
    elif miss.goal == "power":
        said = f"it draws {watts(value)} W"
    elif miss.goal not in ("deadline", "latency"):
        return f"{miss.name}: {miss.reason}"
    else:
        said = f"it takes {span(value)}"
    return f"{miss.name}: {said}, {significant(miss.ratio)} times what is allowed"


def span(seconds: float) -> str:
    """Seconds in the unit that suits, as "28.3 h"."""
    scale, unit = next(((scale, unit) for scale, unit in _LONG if seconds >= 1.5 * scale), (1.0, ""))
    return f"{significant(seconds / scale)} {unit}" if unit else format_time(seconds)


def _work(each: Candidate) -> str:
    if each.work_s is not None:
        return span_range(each.work_s)
    return f"{time_range(each.step_s)} a {'step' if each.techniques or each.batch > each.each else 'batch'}"


def _paid_words(best: Candidate, rate: Rate | None) -> str:
    if best.offer is None or best.offer.pay == "own":
        return ""
    verb = "rented at" if best.offer.pay == "rent" else "bought for"
    return f"; {verb} {offer_words(best.offer, rate)}"


def _amount(value: float) -> str:
    if value >= 100 or value == round(value):
        return f"{value:,.0f}"
    return f"{value:.2f}" if float(f"{value:.2f}") == float(f"{value:.3g}") else significant(value)
