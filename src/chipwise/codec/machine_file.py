"""Profiles of measured machines: JSON files that can be shared, and the cache that holds this machine's own.

>>> from chipwise.core.device import Device, Machine
>>> machine = Machine("Example CPU", "x86_64", (), 2, 2)
>>> found = MeasuredMachine(machine, Device("Example CPU", "cpu"), "2026-01-15", {})
>>> decode_machine(encode_machine(found), "example.json") == found
True
"""

from __future__ import annotations

from pathlib import Path

from chipwise.codec import records
from chipwise.codec.cache import cache_folder
from chipwise.codec.files import atomic_write, read_bounded
from chipwise.codec.hashes import sha256_bytes
from chipwise.core.device import Machine
from chipwise.core.errors import InputError
from chipwise.core.measured import SCHEMA, MeasuredMachine

LIMIT_BYTES = 16 << 20  # thousands of kernels on several runtimes are one or two


def encode_machine(found: MeasuredMachine) -> bytes:
    """Write a profile as JSON."""
    return records.encode(found, pretty=True)


def decode_machine(data: bytes, name: str) -> MeasuredMachine:
    """Read a profile; `name` is what errors call it.

    Raises:
        InputError: it is damaged, or no profile of a machine.
    """
    found = records.decode(data, MeasuredMachine, f"profile {name}")
    if found.schema != SCHEMA:
        raise InputError(
            f"profile {name} has schema {found.schema!r}, this reads {SCHEMA}",
            hint="chipwise doctor --measure writes one",
        )
    return found


def read_machine(path: Path) -> MeasuredMachine:
    """Read a profile from a file.

    Raises:
        InputError: it cannot be read, is longer than a profile ever is, is damaged, or is none.
    """
    hint = "chipwise doctor --measure --json > FILE writes one"
    return decode_machine(read_bounded(path, LIMIT_BYTES, "profile", hint=hint), str(path))


def cached_machine(machine: Machine) -> MeasuredMachine | None:
    """What was measured of a machine like this one; None where it never was, or the file is damaged."""
    path = _path(machine)
    try:
        found = read_machine(path) if path.is_file() else None
    except InputError:  # written by another version, or damaged: measured again
        return None
    return found if found is not None and found.machine.fingerprint == machine.fingerprint else None


def store_machine(found: MeasuredMachine) -> Path:
    """Keep what was measured, for every later estimate on machines like it.

    Raises:
        StorageError: when it cannot be written.
    """
    path = _path(found.machine)
    atomic_write(path, encode_machine(found))
    return path


def _path(machine: Machine) -> Path:
    return cache_folder("machines") / f"{sha256_bytes(machine.fingerprint.encode())[:32]}.json"
