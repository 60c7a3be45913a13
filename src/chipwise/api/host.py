"""What the ledger of runs says about this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chipwise.core.errors import UnknownNameError

if TYPE_CHECKING:
    from chipwise.core.device import Machine
    from chipwise.training.runs import Host


def host_of(machine: Machine) -> Host:
    """The processor's facts, where the catalogue has it by the machine's name for it, and versions of libraries."""
    from chipwise.devices import known
    from chipwise.devices.detect import versions
    from chipwise.training.runs import Host

    try:
        device = known.device(machine.cpu)
    except UnknownNameError:
        device = None
    return Host(device, versions())
