"""The plan file: an uncompressed zip of a manifest, a portable ONNX graph and a sample, every member hashed.

Members: `manifest.json`, `manifest.sha256` (hex digest of the manifest), `model.onnx`, `sample/input_N.npy` and
`sample/output_N.npy`. Nothing is ever unpacked to disk, nothing is compressed (so nothing can unfold to more than the
file's own size), and every size, name and hash is checked before any library parses a member.

>>> read_plan(Path("no-such.plan"))
Traceback (most recent call last):
chipwise.core.errors.PlanError: cannot read plan no-such.plan: No such file or directory
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from chipwise.codec.files import atomic_path, read_bounded
from chipwise.codec.hashes import sha256_bytes
from chipwise.codec.npy import read_npy
from chipwise.codec.records import encode
from chipwise.core.errors import DataError, PlanError
from chipwise.core.plan import PLAN_SCHEMA, FileFacts, Manifest, Plan

if TYPE_CHECKING:
    from numpy.typing import NDArray

MANIFEST, DIGEST, MODEL = "manifest.json", "manifest.sha256", "model.onnx"
_SAMPLE = re.compile(r"^sample/(input|output)_(\d{1,3})\.npy$")
_LIMIT_BYTES = 4 << 30  # a graph of 2 GiB, and as much again of samples
_MAX_MANIFEST_BYTES = 16 << 20
_MAX_MEMBERS = 256
_DAMAGED = "make it again with: chipwise compile"
# What the standard library raises on damaged archives, by experiment with flipped bits; none of them is our bug.
_ZIP_ERRORS = (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, struct.error, ValueError, OverflowError)


def write_plan(path: Path, plan: Plan) -> None:
    """Write a plan, whole or not at all. The same plan gives the same bytes.

    Raises:
        StorageError: when the file cannot be written.
    """
    members = {MODEL: plan.model}
    members |= {f"sample/input_{i}.npy": _npy_bytes(array) for i, array in enumerate(plan.sample_inputs)}
    members |= {f"sample/output_{i}.npy": _npy_bytes(array) for i, array in enumerate(plan.expected_outputs)}
    facts = {name: FileFacts(len(data), sha256_bytes(data)) for name, data in members.items()}
    manifest = encode(replace(plan.manifest, files=facts), pretty=True)
    with atomic_path(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        for name, data in {MANIFEST: manifest, DIGEST: sha256_bytes(manifest).encode(), **members}.items():
            archive.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), data)


def read_plan(path: Path) -> Plan:
    """Read and verify a plan.

    Raises:
        PlanError: when it is missing, no plan, damaged, of another schema, or holds anything unexpected.
    """
    return _read_archive(path, read_bounded(path, _LIMIT_BYTES, "plan", PlanError))


def _read_archive(path: Path, data: bytes) -> Plan:
    if not zipfile.is_zipfile(io.BytesIO(data)):
        raise PlanError(f"{path} is not a plan file (it is no zip archive, or it was cut short)", hint=_DAMAGED)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check_members(path, archive, len(data))
            manifest = _read_manifest(path, archive)
            members = {name: archive.read(name) for name in manifest.files}
    except _ZIP_ERRORS as error:
        raise PlanError(f"plan {path} is damaged: {error}", hint=_DAMAGED) from error
    for name, facts in manifest.files.items():
        if len(members[name]) != facts.size_bytes or sha256_bytes(members[name]) != facts.sha256:
            raise PlanError(f"plan {path} is damaged: {name} does not match its hash", hint=_DAMAGED)
    return Plan(
        manifest=manifest,
        model=members[MODEL],
        sample_inputs=_samples(path, members, "input", len(manifest.inputs)),
        expected_outputs=_samples(path, members, "output", len(manifest.outputs)),
    )


def _check_members(path: Path, archive: zipfile.ZipFile, archive_bytes: int) -> None:
    infos = archive.infolist()
    names = [info.filename for info in infos]
    if len(infos) > _MAX_MEMBERS or len(set(names)) != len(names):
        raise PlanError(f"{path} is not a plan file: {len(infos)} members, or one twice", hint=_DAMAGED)
    for info in infos:
        if info.filename not in (MANIFEST, DIGEST, MODEL) and not _SAMPLE.match(info.filename):
            raise PlanError(f"{path} is not a plan file: it holds {info.filename!r}", hint=_DAMAGED)
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise PlanError(f"{path} is not a plan file: {info.filename} is compressed", hint=_DAMAGED)
    if sum(info.file_size for info in infos) > archive_bytes:
        raise PlanError(f"{path} is not a plan file: its members overlap", hint=_DAMAGED)
    for name in (MANIFEST, DIGEST, MODEL):
        if name not in names:
            raise PlanError(f"{path} is not a plan file: {name} is missing", hint=_DAMAGED)


def _read_manifest(path: Path, archive: zipfile.ZipFile) -> Manifest:
    if archive.getinfo(MANIFEST).file_size > _MAX_MANIFEST_BYTES:
        raise PlanError(f"plan {path} is damaged: its manifest is larger than 16 MiB", hint=_DAMAGED)
    data = archive.read(MANIFEST)
    if archive.read(DIGEST) != sha256_bytes(data).encode():
        raise PlanError(f"plan {path} is damaged: {MANIFEST} does not match its hash", hint=_DAMAGED)
    try:
        schema = msgspec.json.decode(data, type=dict[str, msgspec.Raw]).get("schema", msgspec.Raw(b"null"))
        if bytes(schema) != b'"' + PLAN_SCHEMA.encode() + b'"':
            raise PlanError(
                f"plan {path} has schema {bytes(schema)[:60].decode(errors='replace')}, this reads {PLAN_SCHEMA}",
                hint="compile it again with this version",
            )
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise PlanError(f"plan {path} has a manifest that cannot be read: {error}", hint=_DAMAGED) from error
    held = set(archive.namelist()) - {MANIFEST, DIGEST}
    if set(manifest.files) != held:
        raise PlanError(f"plan {path} is damaged: members and manifest do not agree", hint=_DAMAGED)
    return manifest


def _npy_bytes(array: NDArray[np.generic]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return stream.getvalue()


def _samples(path: Path, members: dict[str, bytes], kind: str, count: int) -> tuple[NDArray[np.generic], ...]:
    names = [f"sample/{kind}_{i}.npy" for i in range(count)]
    held = sum(name.startswith(f"sample/{kind}_") for name in members)
    if held != count or any(name not in members for name in names):
        raise PlanError(f"plan {path} is damaged: {held} sample {kind}s for {count} {kind}s", hint=_DAMAGED)
    return tuple(_npy_array(path, name, members[name]) for name in names)


def _npy_array(path: Path, name: str, data: bytes) -> NDArray[np.generic]:
    """Read one .npy member."""
    try:
        return read_npy(io.BytesIO(data), len(data), name)
    except DataError as error:
        raise PlanError(f"plan {path} is damaged: {error.message}", hint=_DAMAGED) from error
