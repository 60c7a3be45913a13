"""Hardware: what devices, systems and links can do, cost and draw, and who says so.

>>> chip = hardware("rtx4090").lines[0]
>>> chip.name, chip.year
('GeForce RTX 4090', 2022)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from chipwise.api.notebook import drawn
from chipwise.api.pictures import check_picture
from chipwise.core.errors import InputError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chipwise.core.device import Device, Erratum, Link, System
    from chipwise.core.report import Hardware, HardwareLine

    Known = Device | System | Link

Kind = Literal["gpu", "cpu", "tpu", "edge", "fpga", "system", "link"]
KINDS = ("gpu", "cpu", "tpu", "edge", "fpga", "system", "link")
# What can be sorted by, and whether the largest value comes first.
ORDERS = {
    "flops": True, "flops-per-watt": True, "flops-per-dollar": True, "bandwidth": True, "memory": True, "year": True,
    "power": False, "price": False, "name": False,
}  # fmt: skip
_USUAL = ("fp32", "bf16", "fp16", "int8")
_PICTURES = (".svg", ".png")


@drawn
def hardware(
    *names: str,
    compare: bool = False,
    kind: str | None = None,
    sort: str | None = None,
    precision: str | None = None,
    errata: bool = False,
    top500: bool = False,
    roofline: str | Path | None = None,
    history: str | Path | None = None,
    catalogue: str | Path | None = None,
) -> Hardware:
    """Tell what is known of hardware: a list of all, one in full, or several side by side.

    Args:
        names: devices, systems and links; case, spaces and dashes do not matter.
        compare: side by side, which several names are anyway unless they are to be sorted; wants at least two.
        kind: "gpu", "cpu", "tpu", "edge", "fpga", "system" or "link": only these are listed.
        sort: what to list by, best first, unknown last: "flops", "flops-per-watt", "flops-per-dollar", "bandwidth",
            "memory", "year", "power", "price" or "name". Several names are listed then instead of compared.
        precision: number format of eta, mu and the roofline; "fp32" where none is given, or what all named ones have.
        errata: figures that are widely printed and wrong; of these devices, where names are given.
        top500: the fastest machines of June 2007 beside these devices, or cards of today.
        roofline: an .svg or .png file to draw the roofs of the named devices into.
        history: an .svg or .png file to draw year against FLOP/s, watts and bandwidth into.
        catalogue: a TOML file of yours, or a folder of them, with more devices.

    Raises:
        UnknownNameError: no such hardware, kind, order or number format. InputError: the catalogue of yours cannot be
        read, or what is asked for does not go together.
    """
    from chipwise.core.report import Hardware
    from chipwise.cost.figures import figures
    from chipwise.devices import known
    from chipwise.devices.measured_peaks import measured_peaks

    _check_list(kind, sort, len(names))
    listing = {"kind": kind, "sort": sort, **({"roofline": roofline, "history": history} if errata else {})}
    _check_view([name for name, given in listing.items() if given], compare=compare, errata=errata, top500=top500)
    if compare and len(names) < 2:
        raise InputError(
            f"{len(names)} {'name is' if len(names) == 1 else 'names are'} given to compare", hint="name two or more"
        )
    pictures = [check_picture(Path(path), "a chart", _PICTURES) for path in (roofline, history) if path is not None]
    extra = None if catalogue is None else Path(catalogue)
    everything = _everything(extra)
    asked = [known.anything(name, extra) for name in names]
    if precision is not None:
        _check_precision(precision, everything)
    used = precision or ("fp64" if top500 else _shared_format(asked))
    found: Sequence[Known] = asked or ([] if errata else _listed(everything, kind))
    if top500:
        found = [*_machines(everything), *(asked or _cards(everything))]
    lines = tuple(figures(each, (top500 and _fp64(each)) or used) for each in found)
    if sort is not None:
        lines = sort_lines(lines, sort, used)
    view = "errata" if errata else "top500" if top500 else _view(len(asked), None if compare else sort)
    if view in ("comparison", "top500") and len({each.kind == "link" for each in lines}) > 1:
        raise InputError("a link cannot be compared with a device", hint="name devices and systems, or only links")
    measured = measured_peaks(asked[0].name) if view == "sheet" else ()
    record = Hardware(view, lines, _errata(asked, view), used, tuple(map(str, pictures)), measured, sort or "")
    _draw(record, roofline, history, precision)
    return record


def hardware_names() -> list[str]:
    """Short names of devices, systems and links, for completion."""
    from chipwise.devices import known

    spelled = {_dashed(name) for each in _everything(None) for name in (each.name, *_aliases(each))}
    return sorted(spelled | set(known.names()))


def sort_lines(lines: Sequence[HardwareLine], order: str, precision: str) -> tuple[HardwareLine, ...]:
    """Lines best first by one of `ORDERS`; those of which it is not known last, by name."""
    from chipwise.core.report import order_of

    sign = -1 if ORDERS[order] else 1

    def key(each: HardwareLine) -> tuple[bool, float, str]:
        known = order_of(each, order, precision)
        return known is None, sign * (known or 0.0), each.name.lower()

    return tuple(sorted(lines, key=key))


def _check_list(kind: str | None, sort: str | None, count: int) -> None:
    if kind is not None and kind not in KINDS:
        raise unknown_name("kind of hardware", kind, KINDS)
    if kind is not None and count:
        raise InputError(f"{kind!r} chooses from the list, and names are given too", hint="leave the names or it out")
    if sort is not None and sort not in ORDERS:
        raise unknown_name("order", sort, ORDERS)


def _check_view(listing: Sequence[str], *, compare: bool, errata: bool, top500: bool) -> None:
    """Refuse several questions at once, and what only a list heeds where no list is asked for."""
    views = [name for name, asked in (("compare", compare), ("errata", errata), ("top500", top500)) if asked]
    if len(views) > 1:
        raise InputError(f"{' and '.join(views)} are several questions", hint="ask one of them")
    if views and listing:
        raise InputError(f"{listing[0]} is a matter of lists, and {views[0]} is none", hint="leave one of them out")


def _check_precision(precision: str, everything: Sequence[Known]) -> None:
    from chipwise.core.device import Link

    formats = {name for known in everything if not isinstance(known, Link) for name in known.peak_flops}
    if precision not in formats:
        raise unknown_name("number format", precision, formats)


def _everything(extra: Path | None) -> list[Known]:
    from chipwise.devices import known

    return [*known.devices(extra), *known.systems(), *known.links()]


def _shared_format(asked: Sequence[Known]) -> str:
    """The first of the usual formats that all have a peak in: "fp32" of most, "int8" of some accelerators."""
    peaks = [
        getattr(each, "peak_flops", {}) or getattr(getattr(each, "device", None), "peak_flops", {}) for each in asked
    ]
    return next((name for name in _USUAL if asked and all(name in each for each in peaks)), _USUAL[0])


def _aliases(known: Known) -> tuple[str, ...]:
    return getattr(known, "aliases", ())


def _dashed(name: str) -> str:
    return "-".join(name.lower().split())


def _listed(everything: Sequence[Known], kind: str | None) -> list[Known]:
    """What a list shows: devices, or one kind; by kind, then by year."""
    from chipwise.core.device import Device, Link

    def sort_of(each: Known) -> str:
        return each.kind if isinstance(each, Device) else "link" if isinstance(each, Link) else "system"

    wanted = (kind,) if kind else ("gpu", "tpu", "cpu", "edge", "fpga")
    found = [each for each in everything if sort_of(each) in wanted]
    return sorted(found, key=lambda each: (wanted.index(sort_of(each)), each.year or 0, each.name))


def _machines(everything: Sequence[Known]) -> list[Known]:
    from chipwise.core.device import System

    found = [each for each in everything if isinstance(each, System) and each.device is None and each.reached_flops]
    return [*sorted(found, key=lambda each: -(each.reached_flops or 0.0))]


def _cards(everything: Sequence[Known]) -> list[Known]:
    """The card of the highest fp64 peak of each vendor, and the newest one that has a price."""
    from chipwise.core.device import Device

    gpus = [each for each in everything if isinstance(each, Device) and each.kind == "gpu"]
    cards = sorted((each for each in gpus if _fp64(each)), key=lambda each: -each.peak_flops[_fp64(each)])
    best = {each.vendor: each for each in reversed(cards)}.values()
    newest = max((each for each in cards if each.price_usd), key=lambda each: each.year or 0, default=None)
    return [*sorted(best, key=cards.index), *([newest] if newest and newest not in best else [])]


def _fp64(known: Known) -> str:
    """The format in which its fp64 peak is stated, by matrix units where it has some; empty where none is known."""
    peaks = getattr(known, "peak_flops", {})
    return next((name for name in ("fp64_matrix", "fp64") if name in peaks), "")


def _view(asked: int, sort: str | None) -> Literal["list", "sheet", "comparison"]:
    return "sheet" if asked == 1 else "comparison" if asked and sort is None else "list"


def _errata(asked: Sequence[Known], view: str) -> tuple[Erratum, ...]:
    """All of them where that is the question and nothing is named; else those about what is named."""
    from chipwise.devices import known

    if not asked:
        return known.errata() if view == "errata" else ()
    names = {known.plain_name(name) for each in asked for name in (each.name, *_aliases(each))}
    return tuple(each for each in known.errata() if known.plain_name(each.device) in names)


def _draw(record: Hardware, roofline: str | Path | None, history: str | Path | None, precision: str | None) -> None:
    if roofline is None and history is None:
        return
    from chipwise.codec.files import atomic_write
    from chipwise.views import device_charts

    if roofline is not None:
        drawn = device_charts.roofline(record.lines, precision, Path(roofline).suffix.lower())
        atomic_write(Path(roofline), drawn)
    if history is not None:
        atomic_write(Path(history), device_charts.history(record.lines, record.precision, Path(history).suffix.lower()))
