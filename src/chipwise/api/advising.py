"""Advise: which hardware for a network, what it costs, and what would change the answer.

>>> answer = advise("lenet5", phase="inference", by="time")
>>> answer.candidates[0].items_s.mid > 0
True
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from chipwise.api.estimating import loaded_network
from chipwise.api.notebook import drawn
from chipwise.api.targets import PHASES, PRECISIONS
from chipwise.core.errors import InputError, unknown_name
from chipwise.core.units import Money, parse_money

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chipwise.advising.advise import Subject
    from chipwise.advising.prices import PriceFile
    from chipwise.api.given import NetworkLike
    from chipwise.core.advice import Advice, By, Goal
    from chipwise.core.device import Device, System
    from chipwise.core.network import Network

ORDERS: dict[str, By] = {"cost": "cost", "time": "time", "energy": "energy"}
PAYS: dict[str, Literal["buy", "rent", ""]] = {"": "", "buy": "buy", "rent": "rent"}
_MOST_PRICE_BYTES = 1_000_000


@drawn
def advise(
    network: NetworkLike,
    *,
    phase: str,
    batch: int | None = None,
    data_size: int | None = None,
    epochs: int = 1,
    budget: str | Money | None = None,
    deadline_s: float | None = None,
    memory_bytes: int | None = None,
    latency_s: float | None = None,
    rate_s: float | None = None,
    power_w: float | None = None,
    have: str | Sequence[str] = (),
    pay: str = "",
    by: str | None = None,
    precision: str | None = None,
    prices: str | Path | None = None,
    catalogue: str | Path | None = None,
    input_shape: tuple[int, ...] | None = None,
    weights: str | Path | None = None,
) -> Advice:
    """Rank the devices and systems that are known for a network, and say which to take, why, and until when.

    Args:
        network: a zoo name, a model file, a trained folder, "package.module:callable", or a live `nn.Module`.
        phase: "training" or "inference".
        batch: items of a step of all devices in training (256 by default), or of a call of each in inference.
        data_size: items of the training data.
        epochs: passes over them.
        budget: what may be spent, as "1500eur" to buy, or "2usd/h" to rent.
        deadline_s: of all the training.
        memory_bytes: that a device may use at most.
        latency_s: of an answer.
        rate_s: answers a second.
        power_w: of all devices together.
        have: what is there already, as "rtx3080x2"; several compete with each other.
        pay: only what is bought ("buy"), or rented ("rent").
        by: what decides among those that meet the rest: "cost", "time" or "energy". None is time where a budget or
            watts bound the rest, else cost.
        precision: number format, or "amp"; None for what is usual on each device.
        prices: a TOML file of prices that take the catalogue's place.
        catalogue: a TOML file of yours, or a folder of them, with more devices.
        input_shape: as of `estimate`.
        weights: likewise.

    Raises:
        UnknownNameError: no such network, device, phase, order or number format. NetworkError: it cannot be read.
        InputError: a budget of nothing, a price without a date, a system with no link speed, goals that do not go
            together.
    """
    from chipwise.advising import advise as advised
    from chipwise.core.advice import Goal

    money = parse_money(budget) if isinstance(budget, str) else budget
    goal = Goal(
        phase=_phase(phase),
        batch=batch,
        data_size=data_size,
        epochs=epochs,
        budget=money,
        deadline_s=deadline_s,
        memory_bytes=memory_bytes,
        latency_s=latency_s,
        rate_s=rate_s,
        power_w=power_w,
        pay=_pay(pay),
        by=_by(by, bounded=(money is not None or power_w is not None) and deadline_s is None and rate_s is None),
        precision=precision,
    )
    _check(goal)
    devices, systems, file = _hardware(prices, catalogue)
    subject = _subject(loaded_network(network, None, input_shape, weights))
    names = (have,) if isinstance(have, str) else tuple(have)
    return advised(subject, goal, devices, systems, have=names, rate=file.rate)


def _phase(name: str) -> Literal["inference", "training"]:
    if name not in PHASES:
        raise unknown_name("phase", name, PHASES)
    return "training" if PHASES[name] == "training" else "inference"


def _by(name: str | None, *, bounded: bool) -> By:
    """What decides: where the money or the watts are bounded, who makes most of them; else who takes least."""
    if name is None:
        return "time" if bounded else "cost"
    found = ORDERS.get(name)
    if found is None:
        raise unknown_name("order", name, ORDERS)
    return found


def _pay(name: str) -> Literal["buy", "rent", ""]:
    found = PAYS.get(name)
    if found is None:
        raise unknown_name("way to pay", name, filter(None, PAYS))
    return found


def _check(goal: Goal) -> None:
    """Refuse amounts that are none."""
    if goal.precision is not None and goal.precision not in PRECISIONS:
        raise unknown_name("precision", goal.precision, PRECISIONS)
    amounts = {
        "batch": goal.batch,
        "data size": goal.data_size,
        "number of epochs": goal.epochs,
        "deadline": goal.deadline_s,
        "latency": goal.latency_s,
        "rate": goal.rate_s,
        "power": goal.power_w,
        "memory": goal.memory_bytes,
        "budget": None if goal.budget is None else goal.budget.value,
    }
    for name, value in amounts.items():
        if value is not None and not value > 0:
            raise InputError(f"the {name} is {value}", hint="more than 0")
    if goal.epochs > 1 and goal.data_size is None:
        raise InputError(f"{goal.epochs} epochs of data of unknown size", hint="give data_size=N (--data-size N) too")


def _hardware(
    prices: str | Path | None, catalogue: str | Path | None
) -> tuple[tuple[Device, ...], tuple[System, ...], PriceFile]:
    """All that is known, with the prices of a file where one is given."""
    from chipwise.advising.prices import PriceFile, check_names, read_prices, with_prices
    from chipwise.devices import known

    devices, systems = known.devices(None if catalogue is None else Path(catalogue)), known.systems()
    if prices is None:
        return devices, systems, PriceFile("")
    from chipwise.codec.files import read_bounded

    path = Path(prices)
    data = read_bounded(path, _MOST_PRICE_BYTES, "prices", hint="prices are a few kilobytes")
    try:
        file = read_prices(data.decode(), path.name)
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name} is no text: {error}", hint="write it as UTF-8") from error
    check_names(file, (*devices, *systems))
    return with_prices(devices, file), with_prices(systems, file), file


def _subject(network: Network) -> Subject:
    from chipwise.advising.advise import Subject
    from chipwise.networks.layers import fixed_batch, layer_rows

    items = fixed_batch(network) or 1
    rows = layer_rows(network, items)
    return Subject(
        name=network.name,
        origin=network.origin,
        parameters=sum(row.parameters for row in rows),
        flops=sum(row.flops for row in rows) // items,
        rows_at=lambda batch: layer_rows(network, batch),
        fixed=fixed_batch(network),
    )
