"""Every device of the catalogue with one workload: which are quickest, and which nothing beats for energy or money.

>>> found = offers("lenet5", batch=64)
>>> len(found.offers) > 40, any(each.best for each in found.offers)
(True, True)
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from chipwise.api.choosing import check_chosen, chosen
from chipwise.api.estimating import forecast_on, loaded_network
from chipwise.api.targets import target, workload_on
from chipwise.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chipwise.api.given import NetworkLike
    from chipwise.core.device import Device
    from chipwise.core.estimate import Interval, Workload
    from chipwise.core.layer import Layer
    from chipwise.core.what_if import Offer, Offers

# What is compared with the time of an item, by the name that `Offer.best` has for it.
_AGAINST = ("energy", "rent", "buy")


def offers(
    network: NetworkLike,
    *,
    phase: str = "training",
    batch: int = 32,
    precision: str | None = None,
    compiled: bool = False,
    techniques: Sequence[str] = (),
) -> Offers:
    """Estimate one workload on every device of the catalogue, one of each.

    Args:
        network: as `estimate` takes it.
        phase: "inference" or "training".
        batch: items that go through at a time.
        precision: as of `estimate`, and so are compiled and techniques; None is what each device usually runs.
        compiled: likewise.
        techniques: likewise.

    Returns:
        Those that it can be told of, quickest first. A device without a middle estimate, or whose memory is too small,
        is among those that are left out.

    Raises:
        ChoiceError: a choice cannot be on any device. MissingExtraError: as of `estimate`.
    """
    from chipwise.core.what_if import LeftOut, Offers
    from chipwise.devices import known
    from chipwise.networks.layers import layer_rows

    with chosen("network"):
        loaded = loaded_network(network)
    check_chosen(phase, precision, techniques)
    with chosen("batch"):
        rows = layer_rows(loaded, batch)
    settings: dict[str, Any] = {"phase": phase, "compiled": compiled, "precision": precision}
    settings |= {"techniques": tuple(techniques), "runtime": ""}
    found, left = [], []
    for device in known.devices():
        try:
            on = target(device)
            workload, _ = workload_on(on, batch=batch, **settings)
            found.append(_offer(rows, device, workload))
        except InputError as error:
            left.append(LeftOut(device.name, error.message))
    ordered = sorted(found, key=lambda each: (each.item_s.mid or 0.0, each.device))
    return Offers(_marked(ordered), tuple(left))


def _offer(rows: Sequence[Layer], device: Device, workload: Workload) -> Offer:
    from chipwise.core.what_if import Offer

    on = target(device)
    forecast = forecast_on(rows, on, workload)
    expected = forecast.estimate
    if expected.time_s.mid is None:
        raise InputError(f"only a floor is known of {device.name}")
    if expected.fits is False:
        raise InputError(f"it does not fit into the memory of {device.name}")
    return Offer(
        device=expected.device,
        kind=device.kind,
        precision="amp" if "amp" in workload.techniques else workload.precision,
        item_s=expected.time_s.times(1 / workload.batch),
        thousand_j=forecast.thousand.energy_j,
        rent_usd=_price(on.device, forecast.thousand.time_s, "rent"),
        buy_usd=_price(on.device, forecast.thousand.time_s, "buy"),
    )


def _price(device: Device, time_s: Interval, way: Any) -> Interval | None:
    from chipwise.cost.money import by_way, price_of

    return price_of(by_way(device, way), time_s)


def _marked(found: Sequence[Offer]) -> tuple[Offer, ...]:
    """With what each is best against; the middles decide."""
    from chipwise.cost.front import undominated

    best: list[tuple[str, ...]] = [() for _ in found]
    for against in _AGAINST:
        value = _middle(against)
        priced = [(place, cost) for place, each in enumerate(found) if (cost := value(each)) is not None]
        kept = undominated([(found[place].item_s.mid or 0.0, cost) for place, cost in priced])
        for (place, _), keeps in zip(priced, kept, strict=True):
            best[place] += (against,) if keeps else ()
    return tuple(replace(each, best=names) for each, names in zip(found, best, strict=True))


def _middle(against: str) -> Callable[[Offer], float | None]:
    field = {"energy": "thousand_j", "rent": "rent_usd", "buy": "buy_usd"}[against]

    def middle(each: Offer) -> float | None:
        known = getattr(each, field)
        return None if known is None else known.mid

    return middle
