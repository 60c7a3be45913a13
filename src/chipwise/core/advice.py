"""Answer of `advise`: what was asked, which hardware does it best, what speaks for it, and what would change that.

>>> Goal(phase="training", data_size=1000, epochs=3, batch=32).steps
96
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from chipwise.core.device import Price
from chipwise.core.estimate import Bound, Interval
from chipwise.core.units import Money

Pay = Literal["buy", "rent", "own"]
By = Literal["cost", "time", "energy"]


@dataclass(frozen=True, slots=True)
class Rate:
    """What euros are in US dollars.

    Attributes:
        usd_per_eur: US dollars for a euro.
        vat: share that shops add in euros; prices in US dollars are without tax.
        date: of the rate; source: who says so.
    """

    usd_per_eur: float
    vat: float
    date: str
    source: str

    def usd(self, value: float, currency: str) -> float:
        """US dollars without tax."""
        return value * self.usd_per_eur / (1.0 + self.vat) if currency == "EUR" else value

    def eur(self, usd: float) -> float:
        """Euros with tax."""
        return usd / self.usd_per_eur * (1.0 + self.vat)


@dataclass(frozen=True, slots=True)
class Goal:
    """What is wanted of the hardware; None and "" where it does not matter.

    Attributes:
        phase: inference or training.
        batch: items of a step of all devices (training), or of a call of each (inference; None for the best).
        data_size: items of the data; epochs: passes over them.
        budget: what may be spent, once to buy or by the hour to rent.
        deadline_s: of all the training.
        memory_bytes: that a device may use at most.
        latency_s: of an answer; rate_s: answers a second of all devices.
        power_w: of all devices.
        pay: only what is bought, or rented.
        by: what decides among those that meet the rest.
        precision: number format, or "amp".
    """

    phase: Literal["inference", "training"] = "inference"
    batch: int | None = None
    data_size: int | None = None
    epochs: int = 1
    budget: Money | None = None
    deadline_s: float | None = None
    memory_bytes: int | None = None
    latency_s: float | None = None
    rate_s: float | None = None
    power_w: float | None = None
    pay: Literal["buy", "rent", ""] = ""
    by: By = "cost"
    precision: str | None = None

    @property
    def steps(self) -> int | None:
        """Steps of all the training; the last, smaller batch of a pass counts as a whole one."""
        if self.data_size is None or self.batch is None:
            return None
        return -(-self.data_size // self.batch) * self.epochs


@dataclass(frozen=True, slots=True)
class Offer:
    """One way to have the hardware, all of its devices.

    Attributes:
        pay: bought, rented by the hour, or there already.
        usd: to buy all, or of an hour of all, without tax; None for what is there.
        price: of one, as it was asked; None for what is there, and of several prices the dearest.
        old: the price is of the maker's at launch, some years before the newest price that is known here.
    """

    pay: Pay
    usd: Interval | None = None
    price: Price | None = None
    old: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """Hardware, how the network fits on it, and what that takes; every interval is low, middle, high.

    Attributes:
        name: with the number of devices; device: one of them; kind: of chip.
        count: devices; link: between them, "" for one; whole: a system with its host.
        year: of release.
        batch: items of a step of all; each: items that go through one device at a time.
        precision: number format, with "amp" where the rest is kept in float32.
        techniques: what makes it fit, in words; empty for the plain way.
        memory_bytes: of the fullest device; capacity_bytes: that it has, or may use.
        step_s: of a step, or a call.
        items_s: items a second of all devices; None where only a floor of the time is known.
        waiting: share of the time, 0..1, that a device waits for its host and its starts.
        bound: what limits most of the time.
        work_s: of all the training; None where the size of the data was not given.
        energy_j: of an item; power_w: of all devices at full power; None where that is not known.
        offer: how it is paid; None where no price is known. usd: of an item.
        flops_usd, flops_w: peak FLOP/s in its number format over the price to buy, and over its power.
        notes: what else to know, each a sentence.
    """

    name: str
    device: str
    kind: str
    count: int
    batch: int
    each: int
    precision: str
    step_s: Interval
    memory_bytes: Interval
    bound: Bound
    link: str = ""
    whole: bool = False
    year: int | None = None
    techniques: tuple[str, ...] = ()
    capacity_bytes: int | None = None
    waiting: float = 0.0
    work_s: Interval | None = None
    energy_j: Interval | None = None
    power_w: float | None = None
    offer: Offer | None = None
    usd: Interval | None = None
    flops_usd: float | None = None
    flops_w: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def items_s(self) -> Interval:
        """Items a second, of all devices."""
        return self.step_s.rate(self.batch)

    @property
    def work_usd(self) -> Interval | None:
        """Dollars of all the training."""
        return _whole(self.usd, self.work_s, self.step_s, self.batch)

    @property
    def work_j(self) -> Interval | None:
        """Joules of all the training."""
        return _whole(self.energy_j, self.work_s, self.step_s, self.batch)

    @property
    def items_usd(self) -> Interval | None:
        """Items for a dollar."""
        return None if self.usd is None else self.usd.rate(1)

    @property
    def items_j(self) -> Interval | None:
        """Items for a joule."""
        return None if self.energy_j is None else self.energy_j.rate(1)

    @property
    def items_s_usd(self) -> Interval | None:
        """Items a second for a dollar of the price to buy; None for what is not bought."""
        if self.offer is None or self.offer.pay != "buy" or self.offer.usd is None or not self.offer.usd.mid:
            return None
        return self.items_s.times(1 / self.offer.usd.mid)


def _whole(item: Interval | None, work_s: Interval | None, step_s: Interval, batch: int) -> Interval | None:
    """Of all the training, from an item's."""
    if item is None or work_s is None or work_s.mid is None or not step_s.mid:
        return None
    return item.times(work_s.mid / step_s.mid * batch)


@dataclass(frozen=True, slots=True)
class Rung:
    """One way to train on the recommended hardware.

    Attributes:
        precision: number format; techniques: in words, empty for the plain way.
        memory_bytes: of the fullest device; fits: whether its middle does.
        items_s: items a second of all devices.
    """

    precision: str
    techniques: tuple[str, ...]
    memory_bytes: Interval
    fits: bool
    items_s: Interval


@dataclass(frozen=True, slots=True)
class Miss:
    """What is out, and why.

    Attributes:
        name: of the hardware.
        reason: in words that are the same for all that are out for it.
        goal: "budget", "deadline", "latency", "power" where it is a matter of degree, else "".
        value: that it has; limit: that was set, both in SI units or dollars.
        candidate: as far as it was reckoned.
    """

    name: str
    reason: str
    goal: str = ""
    value: float | None = None
    limit: float | None = None
    candidate: Candidate | None = None

    @property
    def ratio(self) -> float:
        """How far the goal is missed, as a factor; infinite where that is not known."""
        return self.value / self.limit if self.value is not None and self.limit else float("inf")


@dataclass(frozen=True, slots=True)
class Ruled:
    """A reason, and all that are out for it."""

    reason: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """What would change the answer.

    Attributes:
        kind: "cost", "time" or "energy": `name` is first if that decides, with `factor` times as much. "price": of
            `name`, below which it wins. "budget", "power": from which `name` is had, `factor` times as fast.
            "deadline": below which the answer no longer meets it, and `name` does. "sure": `name` keeps the deadline by
            the upper bound of its time, at `factor` times the cost. "hours": of use, from which `name`, bought, costs
            less than its rent. "rate": above which more devices are needed. "host": power of an edge accelerator's
            host, from which `name` takes less energy.
        value: in dollars, dollars an hour, watts, seconds, hours, or items a second.
        now: what that is today; None where there is nothing to compare with.
        name: of the hardware it speaks of; hourly: a price is one of rent.
        factor: see "budget" and "power".
    """

    kind: Literal["cost", "time", "energy", "price", "budget", "power", "deadline", "sure", "hours", "rate", "host"]
    value: float
    name: str
    now: float | None = None
    hourly: bool = False
    factor: float | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """The quickest of a kind: its name, seconds of a step, the share of it that it waits; floor: a bound alone."""

    kind: str
    name: str
    step_s: Interval
    waiting: float = 0.0
    floor: bool = False


@dataclass(frozen=True, slots=True)
class Guidance:
    """CPU, GPU or TPU, from the layers.

    Attributes:
        verdict: "CPU", "GPU" or "TPU"; reasons: numbers of the fields below that speak for it, in words.
        batch: of a step; flops: of one item, forward.
        matrix_share: of all FLOPs, in matrix products and convolutions.
        array_share: of the cycles of a systolic array of 128 x 128 that those keep busy, 0..1.
        unknown_ops: operators that are a network's own, or whose work is not known.
        input_share: of what the GPU's link to its host carries, that inputs in float32 need at its pace; None where
            the link is not known.
        paces: the quickest device of each kind.
    """

    verdict: Literal["CPU", "GPU", "TPU"]
    reasons: tuple[str, ...]
    batch: int
    flops: int
    matrix_share: float
    array_share: float
    unknown_ops: tuple[str, ...]
    input_share: float | None
    paces: tuple[Pace, ...]


@dataclass(frozen=True, slots=True)
class Advice:
    """Answer of `advise`.

    Attributes:
        network: its name; origin: where it came from; parameters: trainable values; flops: of one item, forward,
            1 multiply-add = 2 FLOPs.
        goal: what was asked, with what was chosen where nothing was said.
        candidates: what meets it, best first, each device or system once; the first is recommended.
        runner_up: place of the next best other device in `candidates`; None where there is none.
        changes: what would change the answer.
        ladder: ways to train on the recommended hardware, those that fit or not.
        scaling: the recommended device, once and several times, where it is trained on.
        ruled_out: reasons, with those that are out for it.
        own: what is there already and does not meet it, with what each misses.
        nearest: where nothing meets the goal, what comes nearest, with what each misses.
        guidance: CPU, GPU or TPU.
        rate: what euros are, where some were met.
        sources: of prices, a line each.
        notes: what else to know, each a sentence.
    """

    network: str
    origin: str
    parameters: int
    flops: int
    goal: Goal
    candidates: tuple[Candidate, ...]
    runner_up: int | None
    changes: tuple[Change, ...]
    ladder: tuple[Rung, ...]
    scaling: tuple[Candidate, ...]
    ruled_out: tuple[Ruled, ...]
    own: tuple[Miss, ...]
    nearest: tuple[Miss, ...]
    guidance: Guidance
    rate: Rate | None = None
    sources: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    schema: str = "chipwise.advise/1"
