"""What is looked at: devices once and several times, systems, and what is there already.

>>> from chipwise.core.device import Device
>>> [each.name for each in copies(Device("Chip", "gpu", host_link="PCIe 4.0 x16"), (1, 2))]
['Chip', '2 x Chip']
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from chipwise.core.device import Device, Link, System
from chipwise.core.errors import InputError, UnknownNameError
from chipwise.devices import known

_SEVERAL = re.compile(r"^(.+?)\s*[x×*]\s*(\d{1,4})$", re.IGNORECASE)
# Links that join two cards, not more: those of PCIe cards are bridges.
_PAIRS = ("PCIe", "RTX", "A40", "A30")
_MOST, _SHORTEST = 4096, 3  # devices; letters of a name before an x, as rtx3081 is none of 3081


@dataclass(frozen=True, slots=True)
class Hardware:
    """One device, several with a link, or a whole system.

    Attributes:
        name: with the number of devices.
        device: one chip of them; count: how many; link: between them, None for one or where it is not known.
        system: of which it is all; None for cards without their host.
        own: it is there already.
    """

    name: str
    device: Device
    count: int = 1
    link: Link | None = None
    system: System | None = None
    own: bool = False

    @property
    def power_w(self) -> float | None:
        """At full power: of the whole where that is stated, else of all devices."""
        if self.system is not None and self.system.power_w is not None:
            return self.system.power_w
        return None if self.device.power_w is None else self.count * self.device.power_w

    def as_system(self) -> System:
        """Its devices and their link, for what is reckoned of several."""
        return System(self.name, self.device, self.count, self.link)


def copies(device: Device, counts: Sequence[int], *, own: bool = False) -> list[Hardware]:
    """A device so many times, in one machine."""
    chip = device.one_chip()
    return [
        Hardware(chip.name if count == 1 else f"{count} x {chip.name}", chip, count, _between(chip, count), own=own)
        for count in counts
    ]


def of_system(system: System, *, own: bool = False) -> Hardware:
    """All devices of a system.

    Raises:
        InputError: it has no accelerators, or several and no link between them is known.
    """
    if system.device is None:
        raise InputError(f"{system.name} has no accelerators to advise on", hint="chipwise devices shows what is known")
    if system.count > 1 and system.link is None:
        raise no_link(system.name)
    return Hardware(system.name, system.device.one_chip(), system.count, system.link, system, own)


def no_link(name: str) -> InputError:
    """The error for several devices of which nobody knows how they are joined."""
    return InputError(
        f"no link speed between the devices of {name} is known: how they train together cannot be told",
        hint="name a system with a link, or one device",
    )


def owned(text: str, devices: Sequence[Device], systems: Sequence[System], *, training: bool) -> Hardware:
    """Read "rtx3080x2", "rtx3080" or the name of a system.

    Args:
        text: what is there.
        devices: with the prices and devices of one's own.
        systems: likewise.
        training: devices that train together need a link.

    Raises:
        UnknownNameError: with the nearest names. InputError: no devices, or no link between them is known.
    """
    name, count = text.strip(), 1
    found = _named(name, devices, systems)
    match = _SEVERAL.match(name)
    if found is None and match is not None:
        found, count = _named(match[1], devices, systems), int(match[2])
        name = match[1] if found is not None or len(known.plain_name(match[1])) >= _SHORTEST else name
    if found is None:
        try:
            known.find(name)
        except UnknownNameError as error:
            raise UnknownNameError(f"unknown device {name!r}", hint=error.hint) from error
    if not 1 <= count <= _MOST:
        raise InputError(f"{text!r} is {count} devices", hint=f"from 1 to {_MOST:,}, as rtx3080x2")
    if isinstance(found, System):
        if count > 1:
            raise InputError(f"{text!r} is several systems", hint="name one: chipwise knows of no link between several")
        return of_system(found, own=True)
    assert found is not None
    made = copies(found, (count * found.chips,), own=True)[0]
    if made.count > 1 and made.link is None and training:
        raise no_link(made.name)
    return made


def _named(name: str, devices: Sequence[Device], systems: Sequence[System]) -> Device | System | None:
    plain = known.plain_name(name)
    every: list[Device | System] = [*devices, *systems]
    for each in every:
        if plain and plain in {known.plain_name(said) for said in (each.name, *each.aliases)}:
            return each
    return None


def _between(device: Device, count: int) -> Link | None:
    """The link of its own that joins so many, else that to the host, through which they reach each other."""
    if count == 1:
        return None
    bridged = any(word in device.name for word in _PAIRS)
    names = [*(device.links if count == 2 or not bridged else ()), device.host_link]
    return next((known.link(name) for name in names if name), None)
