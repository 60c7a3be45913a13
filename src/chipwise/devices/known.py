"""Hardware that is known from data sheets: chips and cards, the links between them, whole systems, and misprints.

The facts stand in `catalogue/*.toml` beside this module, each with its source. Names are found whatever their case,
spaces and dashes are, with or without the vendor's prefix ("GeForce RTX 4090", "rtx4090"). Files of your own are read
in the same form: give a file, or a folder of them, as `extra`.

>>> device("rtx-3090").multiprocessors, link("NVLink 3").bandwidth_bytes_s
(82, 300000000000.0)
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Protocol, TypeVar

from chipwise.codec.files import read_bounded
from chipwise.core.device import Device, Erratum, Link, System
from chipwise.core.errors import InputError, UnknownNameError
from chipwise.devices.catalogue_file import (
    MAX_BYTES,
    Tables,
    read_device,
    read_erratum,
    read_link,
    read_system,
    read_tables,
)

CATALOGUE = Path(__file__).parent / "catalogue"
# What vendors, drivers and operating systems put around a name.
_FILLERS = {
    "nvidia", "geforce", "tesla", "intel", "amd", "google", "core", "cpu", "gpu", "processor", "r", "tm", "instinct",
    "corporation", "with", "radeon", "graphics",
}  # fmt: skip
_WORD = re.compile(r"[^\W_]+")  # letters and digits of any script
_CORES = re.compile(r"\b\d+-core\b|@.*$")


class _Named(Protocol):
    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=_Named)


def devices(extra: Path | None = None) -> tuple[Device, ...]:
    """Every chip and card of the catalogue, and of `extra` (a TOML file, or a folder of them); read once a process.

    Raises:
        InputError: naming file, device and key, when a file does not fit; when two devices have one name.
    """
    return tuple(_devices(extra)[0])


def device(name: str, extra: Path | None = None) -> Device:
    """The chip or card of that name or alias.

    Raises:
        UnknownNameError: with the nearest names, when there is none; systems are found by `system` and `find`.
        InputError: as of `devices`.
    """
    by_name = _devices(extra)[1]
    if (known := by_name.get(plain_name(name))) is not None:
        return known
    if plain_name(name) in _systems()[1]:
        raise InputError(f"{name!r} is a system of several devices", hint="estimate it as a whole, or name its device")
    raise _unknown("device", name, by_name)


def links() -> tuple[Link, ...]:
    """Every connection of the catalogue: to the host, between devices, between systems."""
    return tuple(_links()[0])


def link(name: str) -> Link:
    """The connection of that name; raises UnknownNameError."""
    by_name = _links()[1]
    if (known := by_name.get(plain_name(name))) is None:
        raise _unknown("link", name, by_name)
    return known


def systems() -> tuple[System, ...]:
    """Every system of several devices, and the Top500 of June 2007."""
    return tuple(_systems()[0])


def system(name: str) -> System:
    """The system of that name or alias; raises UnknownNameError."""
    by_name = _systems()[1]
    if (known := by_name.get(plain_name(name))) is None:
        raise _unknown("system", name, by_name)
    return known


def find(name: str, extra: Path | None = None) -> Device | System:
    """The device of that name, or else the system; raises UnknownNameError with the nearest of both."""
    by_name: dict[str, Device | System] = {**_systems()[1], **_devices(extra)[1]}
    if (known := by_name.get(plain_name(name))) is None:
        raise _unknown("device or system", name, by_name)
    return known


def namesakes(asked: str, extra: Path | None = None) -> tuple[str, ...]:
    """Other devices whose names begin as one that was asked for by a short name: "a100" may be a card or a module.

    >>> namesakes("rtx4090"), namesakes("h100")
    ((), ('H100 PCIe 80GB',))
    """
    found, by_name = _devices(extra)
    short = plain_name(asked)
    meant = by_name.get(short)
    if meant is None or plain_name(meant.name) == short:
        return ()
    # A digit after it makes another number: an A10 is no A100.
    return tuple(
        each.name
        for each in found
        if each is not meant and re.match(rf"{re.escape(short)}(?!\d)", plain_name(each.name))
    )


def anything(name: str, extra: Path | None = None) -> Device | System | Link:
    """The device, system or link of that name; raises UnknownNameError with the nearest of all."""
    named: dict[str, Device | System | Link] = {**_links()[1], **_systems()[1], **_devices(extra)[1]}
    if (known := named.get(plain_name(name))) is None:
        raise _unknown("hardware", name, named)
    return known


def names() -> list[str]:
    """Every name and alias of devices and systems, as short as they are found by ("rtx4090"), in order."""
    return sorted({*_devices(None)[1], *_systems()[1]})


@cache
def errata() -> tuple[Erratum, ...]:
    """Figures that are widely printed and wrong, with the right ones."""
    sources = _sources()
    return tuple(read_erratum(tables, row, sources) for tables in _files(CATALOGUE) for row in tables.rows("erratum"))


def plain_name(name: str) -> str:
    """A name without case, spaces, dashes, vendor and the other words around it: two that give one are the same."""
    words = _WORD.findall(_CORES.sub("", name.lower()))
    return "".join(word for word in words if word not in _FILLERS) or "".join(words)


@cache
def _files(place: Path) -> tuple[Tables, ...]:
    """All TOML files of a folder, in the order of their names, or the one file."""
    paths = sorted(place.glob("*.toml")) if place.is_dir() else [place]
    if not paths:
        raise InputError(f"no .toml file in {place}", hint="give a TOML file, or a folder of them")
    return tuple(read_tables(_text(path), path.name) for path in paths)


def _text(path: Path) -> str:
    data = read_bounded(path, MAX_BYTES, "catalogue", hint="facts of hardware are a few kilobytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name} is no text: {error}", hint="write it as UTF-8") from error


@cache
def _sources() -> dict[str, str]:
    """Sources of the whole catalogue, by key."""
    return {key: text for tables in _files(CATALOGUE) for key, text in tables.sources.items()}


@cache
def _devices(extra: Path | None) -> tuple[list[Device], dict[str, Device]]:
    found: list[Device] = []
    for place in (CATALOGUE, extra):
        for tables in _files(place) if place else ():
            if place is extra and tables.data.keys() & {"link", "system", "erratum"}:
                raise InputError(f"{tables.file} has more than devices", hint="only [[device]] and sources are read")
            sources = {**_sources(), **tables.sources}
            found += [read_device(tables, row, sources) for row in tables.rows("device")]
    return found, _by_name(found, lambda each: each.aliases)


@cache
def _links() -> tuple[list[Link], dict[str, Link]]:
    found = [read_link(tables, row, _sources()) for tables in _files(CATALOGUE) for row in tables.rows("link")]
    return found, _by_name(found, lambda _: ())


@cache
def _systems() -> tuple[list[System], dict[str, System]]:
    of_devices = _devices(None)[1]

    def known(name: str) -> Device:
        if (each := of_devices.get(plain_name(name))) is None:
            raise _unknown("device", name, of_devices)
        return each

    found = [
        read_system(tables, row, _sources(), known, link)
        for tables in _files(CATALOGUE)
        for row in tables.rows("system")
    ]
    return found, _by_name(found, lambda each: each.aliases)


def _by_name(found: Iterable[T], aliases: Callable[[T], tuple[str, ...]]) -> dict[str, T]:
    """Everything under each of its plain names.

    Raises:
        InputError: when two share one, or one has neither letters nor digits.
    """
    named: dict[str, T] = {}
    for each in found:
        for plain in {plain_name(name) for name in (each.name, *aliases(each))}:
            if not plain:
                raise InputError(f"{each.name!r} has a name without letters and digits", hint="rename it")
            if plain in named:
                raise InputError(
                    f"{named[plain].name!r} and {each.name!r} are both called {plain!r}", hint="rename one of them"
                )
            named[plain] = each
    return named


def _unknown(kind: str, name: str, named: Mapping[str, Device | Link | System]) -> UnknownNameError:
    """The error for a name that is not known: the nearest three are offered, by their names or aliases."""
    close = difflib.get_close_matches(plain_name(name), named, n=6, cutoff=0.5)
    near = list(dict.fromkeys(named[plain].name for plain in close))[:3]
    hint = f"did you mean {' or '.join(near)}?" if near else f"chipwise devices lists what is known: {_counts(named)}"
    return UnknownNameError(f"unknown {kind} {name!r}", hint=hint)


def _counts(named: Mapping[str, Device | Link | System]) -> str:
    """How many there are of each sort, and where they are listed: "73 devices, 12 systems (--kind system)"."""
    said = []
    for sort, where in ((Device, "devices"), (System, "systems (--kind system)"), (Link, "links (--kind link)")):
        names = {each.name for each in named.values() if isinstance(each, sort)}
        said += [f"{len(names)} {where}"] if names else []
    return ", ".join(said)
