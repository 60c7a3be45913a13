"""What is chosen on the what-if page: which choice an error speaks of, and how many devices of what kind are meant.

>>> found = devices_of("dgx-a100", 4, None)
>>> found.system.name, found.system.link.name
('4 x A100 SXM4 40GB', 'NVLink 3')
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from chipwise.api.targets import Target, check_asked, target
from chipwise.core.errors import InputError
from chipwise.core.what_if import ChoiceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from chipwise.core.device import Device, Link, System

MOST_DEVICES, MOST_ITEMS = 4096, 2**24


@contextmanager
def chosen(name: str) -> Iterator[None]:
    """Say of which choice an error speaks."""
    try:
        yield
    except ChoiceError:
        raise
    except InputError as error:
        raise ChoiceError(name, error.message, hint=error.hint) from error


def check_chosen(phase: str, precision: str | None, techniques: Sequence[str]) -> None:
    """Refuse what no device can run.

    Raises:
        ChoiceError: the phase, the number format or a technique is not known, or they do not go together.
    """
    with chosen("phase"):
        check_asked(phase, None, ())
    with chosen("techniques"):
        check_asked(phase, None, techniques)
    with chosen("precision"):
        check_asked(phase, precision, techniques)


def check_counts(**counts: int | None) -> None:
    """Refuse numbers out of range, by the names of their choices; None is not given."""
    for name, value in counts.items():
        most = MOST_DEVICES if name == "count" else MOST_ITEMS
        if value is not None and not 1 <= value <= most:
            raise ChoiceError(name, f"{name} is {value}", hint=f"from 1 to {most}")


def devices_of(on: str | Device | System | Target, count: int | None, link: str | None) -> Target:
    """The device, in a system of as many as were asked for; alone where that is one."""
    from chipwise.core.device import System

    with chosen("on"):
        found = target(on)
    given = found.system
    count = count or (given.count if given else 1)
    if count == 1:
        return replace(found, system=None)
    if given is not None:  # that an estimate is of one of them
        found = replace(found, notes=tuple(note for note in found.notes if not note.startswith(given.name)))
    wire = _link(found, link)
    if given is not None and (count, wire) == (given.count, given.link):
        return found
    return replace(found, system=System(f"{count} x {found.device.name}", found.device, count=count, link=wire))


def joined(on: Target) -> Target:
    """One device, as if there were more of it."""
    from chipwise.core.device import System

    return replace(on, system=System(on.device.name, on.device, count=1, link=_link(on, None)))


def _link(found: Target, name: str | None) -> Link | None:
    """What joins several: what was named, the system's, the fastest between two devices, or the way over their host."""
    from chipwise.devices import known

    if name:
        with chosen("link"):
            return known.link(name)
    if found.system is not None and found.system.link is not None:
        return found.system.link
    names = found.device.links or ((found.device.host_link,) if found.device.host_link else ())
    return max(map(known.link, names), key=lambda each: each.bandwidth_bytes_s, default=None)
