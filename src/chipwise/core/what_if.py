"""What the what-if page shows: one choice of network, workload and devices, and all devices of the catalogue.

>>> str(ChoiceError("batch", "batch is 0"))
'batch is 0'
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from chipwise.core.errors import InputError
from chipwise.core.estimate import Interval, MemoryUse
from chipwise.core.estimation import Estimation

Way = Literal["rent", "buy"]


class ChoiceError(InputError):
    """A choice that cannot be, or not with the others.

    Args:
        choice: which one, by the name of its parameter; message, hint: as of `ChipwiseError`.
    """

    def __init__(self, choice: str, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.choice = choice


@dataclass(frozen=True, slots=True)
class Money:
    """One way to have the devices.

    Attributes:
        way: rented, or bought and written off.
        step_usd: US dollars of a step of all devices; items_usd: items for one dollar.
        basis: the prices that it is made of, who asked them, and when.
    """

    way: Way
    step_usd: Interval
    items_usd: Interval
    basis: str


@dataclass(frozen=True, slots=True)
class Roof:
    """A device's peak in a number format."""

    format: str
    flops_s: float


@dataclass(frozen=True, slots=True)
class ScalePoint:
    """So many devices.

    Attributes:
        count: of them.
        items_s: of all.
        efficiency: share of `count` times the items of one.
        communication: share of a step that is exchanging and that nothing hides; 0 where nothing is exchanged.
    """

    count: int
    items_s: Interval
    efficiency: Interval
    communication: Interval


@dataclass(frozen=True, slots=True)
class WhatIf:
    """Answer of `what_if`.

    Attributes:
        estimation: of one device and one micro-batch, as `estimate` answers; layers are in it.
        item: what an item is, for people ("image").
        count: of devices; link: between them, "" where they share nothing.
        micro_batches: that a device's share of a step is cut into; zero: stage of ZeRO; pipeline: whether the devices
            are stages instead of copies.
        batch: items of a step of all devices.
        step_s: of that step; items_s: items per second.
        energy_j: of that step; money: each way that prices are known for.
        memory: of each device; memory_bytes: its total as an interval; capacity_bytes: what there is.
        fits: whether the middle of it fits; None where that is not known.
        roofs: of the number format that is run, and of float32; bandwidth_bytes_s: of the memory.
        scaling: from one device to more than asked for.
        notes: what else to know, each a sentence; those of the estimate are in it.
    """

    estimation: Estimation
    item: str
    count: int
    link: str
    micro_batches: int
    zero: int
    pipeline: bool
    batch: int
    step_s: Interval
    items_s: Interval
    energy_j: Interval | None
    money: tuple[Money, ...]
    memory: MemoryUse
    memory_bytes: Interval | None
    capacity_bytes: int | None
    fits: bool | None
    roofs: tuple[Roof, ...]
    bandwidth_bytes_s: float | None
    scaling: tuple[ScalePoint, ...]
    notes: tuple[str, ...] = ()
    schema: str = "chipwise.what-if/1"


@dataclass(frozen=True, slots=True)
class Offer:
    """One device of the catalogue, with the same workload.

    Attributes:
        device: its name; kind: of device; precision: number format that it runs.
        item_s: seconds of an item; thousand_j, rent_usd, buy_usd: energy and price of a thousand; None if not known.
        best: against what nothing else is both quicker and cheaper: "energy", "rent", "buy".
    """

    device: str
    kind: str
    precision: str
    item_s: Interval
    thousand_j: Interval | None
    rent_usd: Interval | None
    buy_usd: Interval | None
    best: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A device that is not among the offers, and why."""

    device: str
    reason: str


@dataclass(frozen=True, slots=True)
class Offers:
    """Every device of the catalogue that can run the workload, quickest first, and those that cannot."""

    offers: tuple[Offer, ...]
    left_out: tuple[LeftOut, ...]
    schema: str = "chipwise.offers/1"


@dataclass(frozen=True, slots=True)
class WhatIfPage:
    """Where the page is found while it is shown."""

    url: str
    schema: str = "chipwise.ui/1"
