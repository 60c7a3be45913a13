"""Profiles of machines: kept by fingerprint on the one they were measured on, exported to share, imported from others.

>>> from pathlib import Path
>>> read(Path("no-such-profile.json"))
Traceback (most recent call last):
chipwise.core.errors.InputError: cannot read profile no-such-profile.json: No such file or directory
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from chipwise.codec import records
from chipwise.codec.cache import cache_folder
from chipwise.codec.files import atomic_write, read_bounded
from chipwise.codec.hashes import sha256_bytes
from chipwise.core.device import Machine
from chipwise.core.errors import InputError
from chipwise.core.measured import SCHEMA, MeasuredMachine

_LIMIT_BYTES = 16 << 20
_MOST_KERNELS = 20_000
_HINT = "make one with chipwise doctor --measure --save FILE"


def kept(machine: Machine) -> MeasuredMachine | None:
    """What was measured on this machine before; None where nothing was, or what is kept can no longer be read."""
    path = _path(machine)
    if not path.is_file():
        return None
    try:
        return read(path)
    except InputError:
        return None  # it was written by another version: measuring makes it anew


def keep(measured: MeasuredMachine) -> Path:
    """Keep a profile for this machine. What is not complete does not replace what is.

    Raises:
        StorageError: when it cannot be written.
    """
    path = _path(measured.machine)
    before = None if measured.complete else kept(measured.machine)
    if before is None or not before.complete:
        write(measured, path)
    return path


def write(measured: MeasuredMachine, path: Path) -> None:
    """Write a profile to share.

    Raises:
        StorageError: when it cannot be written.
    """
    atomic_write(path, records.encode(measured, pretty=True))


def read(path: Path) -> MeasuredMachine:
    """Read a profile, checked: its schema, every field, and that all numbers are finite and positive.

    Raises:
        InputError: it cannot be read, is too long, damaged, or something else.
    """
    data = read_bounded(path, _LIMIT_BYTES, "profile", hint=_HINT)
    measured = records.decode(data, MeasuredMachine, f"profile {path}")
    if measured.schema != SCHEMA:
        raise InputError(f"{path} is no profile of a machine: its schema is {measured.schema!r}", hint=_HINT)
    for what, value in _numbers(measured):
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"profile {path} is damaged: {what} is {value}", hint=_HINT)
    for times in measured.layers:
        rest = [times.each_s, *times.errors, *times.usual.values(), *(each.weight for each in times.kernels)]
        if len(times.kernels) > _MOST_KERNELS or not all(map(math.isfinite, rest)) or times.start_s < 0:
            raise InputError(f"profile {path} is damaged: its layers on {times.runtime} make no sense", hint=_HINT)
    return measured


def _numbers(measured: MeasuredMachine) -> Iterator[tuple[str, float]]:
    """Everything that must be above 0, with a name for messages."""
    yield from ((f"the theoretical peak in {name}", value) for name, value in measured.theory.items())
    yield from ((f"the peak in {name}", value) for name, value in measured.device.peak_flops.items())
    if measured.device.bandwidth_bytes_s is not None:
        yield "the bandwidth", measured.device.bandwidth_bytes_s
    yield from (("a rate", each.best.rate) for each in measured.arithmetic)
    yield from (("a rate", each.best.rate) for each in measured.streams)
    yield from (("a rate", each.best.rate) for each in measured.copies)
    yield from (("a call", each.call_s) for each in measured.dispatch)
    for times in measured.layers:
        yield from (("a best rate", value) for value in (times.flops_s, times.values_s, times.least_s, times.factor))
        for kernel in times.kernels:
            yield from (("a size", size) for size in kernel.sizes)


def _path(machine: Machine) -> Path:
    name = sha256_bytes(machine.fingerprint.encode())[:16]
    return cache_folder("machines") / f"{name}.json"
