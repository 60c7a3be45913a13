"""Profiles of measured machines: JSON files that can be shared, and the cache that holds this machine's own.

>>> from chipwise.core.device import Device, Machine
>>> machine = Machine("Example CPU", "x86_64", (), 2, 2)
>>> found = MeasuredMachine(machine, Device("Example CPU", "cpu"), "2026-01-15", {})
>>> decode_machine(encode_machine(found), "example.json") == found
True
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

LIMIT_BYTES = 16 << 20  # thousands of kernels on several runtimes are one or two
_MOST_KERNELS = 20_000
_HINT = "chipwise doctor --measure --save FILE writes one"


def encode_machine(found: MeasuredMachine) -> bytes:
    """Write a profile as JSON."""
    return records.encode(found, pretty=True)


def decode_machine(data: bytes, name: str) -> MeasuredMachine:
    """Read a profile; `name` is what errors call it.

    Raises:
        InputError: it is damaged, or no profile of a machine.
    """
    found = records.decode(data, MeasuredMachine, f"profile {name}")
    _check(found, name)
    if found.schema != SCHEMA:
        raise InputError(
            f"profile {name} has schema {found.schema!r}, this reads {SCHEMA}",
            hint=_HINT,
        )
    return found


def read_machine(path: Path) -> MeasuredMachine:
    """Read a profile from a file.

    Raises:
        InputError: it cannot be read, is longer than a profile ever is, is damaged, or is none.
    """
    return decode_machine(read_bounded(path, LIMIT_BYTES, "profile", hint=_HINT), str(path))


def cached_machine(machine: Machine) -> MeasuredMachine | None:
    """What was measured of a machine like this one.

    None where it never was, where the file is damaged, and where the measurement ended before arithmetic and memory
    were known: nothing can be told from that.
    """
    path = _path(machine)
    try:
        found = read_machine(path) if path.is_file() else None
    except InputError:  # written by another version, or damaged: measured again
        return None
    if found is None or found.machine.fingerprint != machine.fingerprint:
        return None
    return found if found.device.peak_flops and found.device.bandwidth_bytes_s else None


def store_machine(found: MeasuredMachine) -> Path:
    """Keep what was measured, for every later estimate on machines like it. A part does not replace a whole.

    Raises:
        StorageError: when it cannot be written.
    """
    path = _path(found.machine)
    before = None if found.complete else cached_machine(found.machine)
    if before is None or not before.complete:
        atomic_write(path, encode_machine(found))
    return path


def _check(found: MeasuredMachine, name: str) -> None:
    """Refuse what would make estimates nonsense: rates, times and sizes that are not finite or not above 0."""
    for what, value in _positive(found):
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"profile {name} is damaged: {what} is {value}", hint=_HINT)
    for times in found.layers:
        rest = [times.each_s, times.start_s, *times.errors, *times.usual.values()]
        rest += [number for each in times.kernels for number in (each.weight, each.flops, each.values, each.time_s)]
        if len(times.kernels) > _MOST_KERNELS or not all(map(math.isfinite, rest)):
            raise InputError(f"profile {name} is damaged: its layers on {times.runtime} make no sense", hint=_HINT)


def _positive(found: MeasuredMachine) -> Iterator[tuple[str, float]]:
    yield from ((f"the theoretical peak in {name}", value) for name, value in found.theory.items())
    yield from ((f"the peak in {name}", value) for name, value in found.device.peak_flops.items())
    if found.device.bandwidth_bytes_s is not None:
        yield "the bandwidth", found.device.bandwidth_bytes_s
    yield from ((f"the rate of {each.format} {each.work}s", each.best.rate) for each in found.arithmetic)
    yield from ((f"the rate of {each.kernel} in {each.level}", each.best.rate) for each in found.streams)
    yield from ((f"the rate of copies {each.direction}", each.best.rate) for each in found.copies)
    yield from ((f"a call of {each.runtime}", each.call_s) for each in found.dispatch)
    for times in found.layers:
        rates = (times.flops_s, times.values_s, times.least_s, times.factor)
        yield from ((f"a best rate of {times.runtime}", value) for value in rates)
        yield from ((f"a size of {each.kind}", size) for each in times.kernels for size in each.sizes)


def _path(machine: Machine) -> Path:
    return cache_folder("machines") / f"{sha256_bytes(machine.fingerprint.encode())[:32]}.json"
