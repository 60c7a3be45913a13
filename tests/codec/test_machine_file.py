"""Profiles of machines: what is written is read again; damage and other schemas are one clear line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from chipwise.codec import machine_file
from chipwise.codec.machine_file import cached_machine, decode_machine, encode_machine, read_machine, store_machine
from chipwise.core.device import Device, Machine
from chipwise.core.errors import InputError
from chipwise.core.measured import KernelTime, LayerTimes, MeasuredMachine, Stream, Sustained

MACHINE = Machine("Example Xeon", "x86_64", ("avx2", "fma"), 2, 4)
KERNEL = KernelTime("conv", 1e9, 1e6, (3136.0, 64.0, 64.0, 9.0, 1.0), 4e-3, 0.1)
TIMES = LayerTimes("onnxruntime", "fp32", 0, (KERNEL,), 1e11, 1e9, 1e-6, {"conv": 0.0}, errors=(0.1, -0.05))
FOUND = MeasuredMachine(
    MACHINE,
    Device("Example Xeon", "cpu", peak_flops={"fp32": 1e11}, bandwidth_bytes_s=1e10, source="measured here"),
    "2026-01-15",
    {"onnxruntime": "1.23.2"},
    streams=(Stream("L2", "copy", 2, 1 << 20, Sustained(5e10, 0.02, 9, 1)),),
    layers=(TIMES,),
)


def test_a_profile_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "machine.json"
    path.write_bytes(encode_machine(FOUND))
    assert read_machine(path) == FOUND


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "cannot be read"),
        (b"{}", "missing required field `machine`"),
        (b"[" * 100_000, "cannot be read"),
        (encode_machine(FOUND)[:-40], "cannot be read"),
        (encode_machine(FOUND).replace(b'"cores": 2', b'"cores": "two"'), "cores"),
        (encode_machine(replace(FOUND, schema="chipwise.machine/9")), "has schema 'chipwise.machine/9'"),
    ],
)
def test_damage_is_one_line(data: bytes, says: str) -> None:
    with pytest.raises(InputError) as raised:
        decode_machine(data, "mine.json")
    assert says in raised.value.message
    assert "mine.json" in raised.value.message


def test_a_file_that_is_too_long_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_file, "LIMIT_BYTES", 10)
    (tmp_path / "long.json").write_bytes(encode_machine(FOUND))
    with pytest.raises(InputError, match="more than 10 bytes"):
        read_machine(tmp_path / "long.json")
    with pytest.raises(InputError, match="cannot read profile"):
        read_machine(tmp_path / "absent.json")


def test_the_cache_knows_machines_by_their_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHIPWISE_CACHE", str(tmp_path))
    assert cached_machine(MACHINE) is None
    path = store_machine(FOUND)
    assert path.parent == tmp_path / "machines"
    assert cached_machine(MACHINE) == FOUND
    assert cached_machine(replace(MACHINE, cores=4)) is None
    path.write_bytes(b"damaged")
    assert cached_machine(MACHINE) is None
    path.write_bytes(encode_machine(replace(FOUND, machine=replace(MACHINE, cores=4))))
    assert cached_machine(MACHINE) is None
