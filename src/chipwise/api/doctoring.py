"""Doctor: what this machine is, what runs on it, and what it was measured to do.

>>> doctor().machine.cores >= 1
True
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from chipwise.api.notebook import drawn
from chipwise.core.errors import InputError
from chipwise.core.events import Progress, silent

if TYPE_CHECKING:
    from chipwise.core.device import Machine
    from chipwise.core.measured import MeasuredMachine
    from chipwise.core.report import Doctor

_LEAST_S = 5.0


@drawn
def doctor(
    *,
    measure: bool = False,
    budget_s: float = 150.0,
    profile: str | Path | None = None,
    save: str | Path | None = None,
    progress: Progress = silent,
) -> Doctor:
    """Tell what this machine is, which runtimes are usable on it or why not, and what was measured of it.

    What is measured is kept for the next time, and `estimate` predicts from it.

    Args:
        measure: measure it now: arithmetic, memory, overheads, and layers on its runtimes.
        budget_s: wall time for that.
        profile: a file that `save` wrote, of this machine or another. One of this machine is kept in the place of a
            measurement; another's is shown.
        save: a file to write what was measured into, to share.
        progress: told what is measured.

    Raises:
        InputError: a profile that cannot be read or is damaged, both a profile and a measurement, nothing to save, a
            folder that there is not, or a budget of less than 5 s. StorageError: a file that cannot be written.
    """
    from chipwise.codec import machine_file
    from chipwise.codec.files import atomic_write
    from chipwise.core.report import Doctor
    from chipwise.devices.detect import detect, versions
    from chipwise.runtimes import status

    if measure and profile is not None:
        raise InputError("a profile stands in the place of a measurement", hint="give --measure or --profile, not both")
    if measure and not budget_s >= _LEAST_S:
        raise InputError(f"{budget_s:g} s is too short to measure anything", hint="the default is 150 s; 60 s will do")
    if save is not None:
        _check_save(Path(save))
    machine = detect()
    notes: tuple[str, ...] = ()
    if measure:
        found: MeasuredMachine | None = _measured(machine, budget_s, progress)
    elif profile is not None:
        found, notes = _imported(machine, Path(profile))
    else:
        found = machine_file.cached_machine(machine)
    if save is not None:
        if found is None:
            raise InputError("nothing was measured on this machine yet", hint="chipwise doctor --measure --save FILE")
        atomic_write(Path(save), machine_file.encode_machine(found))
        notes = (*notes, f"written to {save}")
    return Doctor(machine, status(machine), versions(), (*notes, *_stale(found)), found)


def _check_save(path: Path) -> None:
    """Refuse what cannot be written before anything is measured; no folder is made for it."""
    from chipwise.codec.files import check_writable

    if not path.resolve().parent.is_dir():
        raise InputError(f"no such folder: {path.parent}", hint="make it first, or name a file elsewhere")
    check_writable(path)


def _stale(found: MeasuredMachine | None) -> tuple[str, ...]:
    """Say where a runtime is no longer the one that was measured."""
    from chipwise.devices.detect import versions

    now, before = versions(), {} if found is None else found.versions
    measured = () if found is None else sorted({times.runtime for times in found.layers})
    return tuple(
        f"measured with {name} {before[name]}, and {now[name]} is installed: measure again"
        for name in measured
        if name in now and before.get(name, now[name]) != now[name]
    )


def _measured(machine: Machine, budget_s: float, progress: Progress) -> MeasuredMachine:
    from chipwise.codec import machine_file
    from chipwise.compiler.measure_machine import measure_machine

    return measure_machine(machine, budget_s=budget_s, progress=progress, keep=machine_file.store_machine)


def _imported(machine: Machine, path: Path) -> tuple[MeasuredMachine, tuple[str, ...]]:
    from chipwise.codec import machine_file

    found = machine_file.read_machine(path)
    if found.machine.fingerprint == machine.fingerprint:
        machine_file.store_machine(found)
        return found, (f"{path.name} is of this machine, and kept for estimates",)
    return found, (
        f"{path.name} is of another machine ({found.machine.cpu}, {found.machine.cores} cores): shown, not used for "
        f"estimates here; chipwise estimate NET --profile {path.name} predicts for it",
    )
