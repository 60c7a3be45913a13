"""Energy and money of a candidate, one for each way to pay.

>>> from chipwise.core.advice import Offer
>>> most_of(Offer("rent", Interval(1.0, 2.0, 3.0)))
2.0
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from chipwise.advising.expected import workload_of
from chipwise.advising.hardware import Hardware
from chipwise.advising.prices import cost_of, offers
from chipwise.core.advice import Candidate, Goal, Offer, Rate
from chipwise.core.estimate import Interval
from chipwise.core.layer import Layer
from chipwise.cost.energy import energy_of
from chipwise.cost.money import electricity_of

_SECOND = Interval(1.0, 1.0, 1.0)


def with_costs(
    candidate: Candidate, hardware: Hardware, rows: Sequence[Layer], goal: Goal, *, rate: Rate, today: str
) -> list[Candidate]:
    """The candidate with its energy, and with each way to pay; once without where no price is known.

    Args:
        candidate: with its time.
        hardware: that it is.
        rows: layer rows of what goes through a device at a time.
        goal: whose rate, where there is one, all devices are paid for.
        rate: what euros are.
        today: date of the newest price known.
    """
    made = replace(candidate, energy_j=_energy(candidate, hardware, rows, goal), flops_w=_per_watt(candidate, hardware))
    if hardware.own:
        return [replace(made, offer=Offer("own"), usd=_own(made, goal))]
    systems = candidate.count // hardware.count
    whole = hardware.system
    ways = offers(whole, systems, rate, today) if whole is not None else _of_cards(candidate, hardware, rate, today)
    paid = [_paid(made, offer, hardware, goal) for offer in ways]
    return paid or [made]


def most_of(offer: Offer) -> float | None:
    """Dollars that an offer is compared by: the middle of its prices."""
    return None if offer.usd is None else offer.usd.mid


def _of_cards(candidate: Candidate, hardware: Hardware, rate: Rate, today: str) -> tuple[Offer, ...]:
    return offers(hardware.device, candidate.count, rate, today)


def _paid(made: Candidate, offer: Offer, hardware: Hardware, goal: Goal) -> Candidate:
    peak, price = _peak(made, hardware), most_of(offer)
    per_usd = peak / price if peak and price and offer.pay == "buy" else None
    once = offer.pay == "buy" and made.kind != "cpu" and bought_once(goal)  # a CPU does other work, too
    usd = _outlay(made, offer, goal) if once else cost_of(offer, made.power_w, _SECOND if goal.rate_s else made.step_s)
    per_item = None if usd is None else usd.times(1.0 if once else 1 / (goal.rate_s or made.batch))
    return replace(made, offer=offer, usd=per_item, flops_usd=per_usd)


def bought_once(goal: Goal) -> bool:
    """Whether a purchase counts in whole: for one piece of work, where buying was not asked for."""
    return goal.steps is not None and not goal.pay


def _outlay(made: Candidate, offer: Offer, goal: Goal) -> Interval | None:
    """Dollars of an item where all of the price is for this work."""
    if offer.usd is None or offer.usd.mid is None or goal.steps is None:
        return None
    power = electricity_of(made.power_w or 0.0, made.step_s)
    items = goal.steps * made.batch
    low, mid, high = (
        None if part is None or price is None else part / made.batch + price / items
        for part, price in zip(
            (power.low, power.mid, power.high), (offer.usd.low, offer.usd.mid, offer.usd.high), strict=True
        )
    )
    return Interval(low, mid, high)


def _own(made: Candidate, goal: Goal) -> Interval | None:
    if made.power_w is None:
        return None
    usd = electricity_of(made.power_w, _SECOND if goal.rate_s else made.step_s)
    return usd.times(1 / (goal.rate_s or made.batch))


def _energy(made: Candidate, hardware: Hardware, rows: Sequence[Layer], goal: Goal) -> Interval | None:
    """Joules of an item; of a system by what the whole draws."""
    device, whole = hardware.device, hardware.system
    stated = whole is not None and whole.power_w is not None
    if whole is not None and whole.power_w is not None:
        device = replace(device, power_w=whole.power_w, idle_power_w=None)
    workload = workload_of(device, goal.phase, made.each, made.precision)
    joules = energy_of(rows, device, workload, made.step_s, waiting=made.waiting if device.kind == "gpu" else 0.0)
    if joules is None:
        return None
    return joules.times((made.count // hardware.count if stated else made.count) / made.batch)


def _peak(made: Candidate, hardware: Hardware) -> float | None:
    peak = hardware.device.peak_flops.get(made.precision.rpartition(" ")[2])
    return None if peak is None else peak * made.count


def _per_watt(made: Candidate, hardware: Hardware) -> float | None:
    peak = _peak(made, hardware)
    return peak / made.power_w if peak and made.power_w else None
