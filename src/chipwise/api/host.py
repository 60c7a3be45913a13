"""What the ledger of runs says about this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chipwise.core.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from chipwise.core.device import Machine
    from chipwise.training.runs import Host
    from chipwise.training.settings import Settings


def host_of(machine: Machine, device: str = "cpu") -> Host:
    """Facts of what trains, where the catalogue has it by its own name, and versions of libraries.

    Args:
        machine: this one.
        device: as of `Settings`: the processor, or a graphics processor.

    Raises:
        InputError: it is not here.
    """
    from chipwise.devices import known
    from chipwise.devices.detect import versions
    from chipwise.training.place import CPU, card_name, place_of
    from chipwise.training.runs import Host

    place = place_of(device)
    name = machine.cpu if place == CPU else card_name(place)
    try:
        facts = known.device(name) if name else None
    except UnknownNameError:
        facts = None
    return Host(facts, versions())


def check_place(settings: Settings, mesh: str | None = None) -> None:
    """Refuse a device that is not here, or has no such number format, before anything is read.

    Raises:
        InputError: it is; or a mesh, whose processes are of processors, shall train on another.
    """
    from chipwise.training.place import CPU, check_format, place_of
    from chipwise.training.settings import AUTO

    several = mesh not in (None, "1")
    device = place_of(settings.device) if not several or settings.device != AUTO else CPU
    if several and device != CPU:
        raise InputError(
            f"device={settings.device} trains in one process, and mesh={mesh} has several, on processors",
            hint="one of them",
        )
    check_format(settings.precision, device)
