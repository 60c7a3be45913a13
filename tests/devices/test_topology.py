"""Cores, clocks and theory, on machines that the test makes up."""

from __future__ import annotations

from pathlib import Path

import pytest

from chipwise.devices.theory import theory
from chipwise.devices.topology import clock_hz, is_guest, nominal_hz, threads_per_core

SIBLINGS = "sys/devices/system/cpu/cpu0/topology/thread_siblings_list"


def put(root: Path, name: str, text: str) -> Path:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)
    return root


@pytest.mark.parametrize(("text", "count"), [("0\n", 1), ("0,4\n", 2), ("0-1\n", 2), ("0-1,8-9\n", 4), ("?\n", None)])
def test_threads_of_a_core(tmp_path: Path, text: str, count: int | None) -> None:
    assert threads_per_core(put(tmp_path, SIBLINGS, text)) == count


def test_the_clock_is_cpufreqs_before_cpuinfos(tmp_path: Path) -> None:
    assert clock_hz(tmp_path) is None
    put(tmp_path, "proc/cpuinfo", "flags : fpu hypervisor avx2\ncpu MHz : 2793.438\ncpu MHz : 2800.0\n")
    assert clock_hz(tmp_path) == 2.8e9
    put(tmp_path, "sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq", "3400000\n")
    assert clock_hz(tmp_path) == 3.4e9
    assert is_guest(tmp_path)


def test_nominal_clock_is_in_the_name() -> None:
    assert nominal_hz("Intel(R) Xeon(R) Processor @ 2.80GHz") == pytest.approx(2.8e9)
    assert nominal_hz("AMD EPYC 7B13") is None


def test_theory_by_instruction_sets() -> None:
    wide = ("amx_bf16", "amx_int8", "avx2", "avx512_bf16", "avx512_vnni", "avx512f", "fma")
    peaks, basis = theory(wide, cores=2, clock_hz=2e9)
    assert peaks == {"fp64": 128e9, "fp32": 256e9, "bf16": 4096e9, "int8": 8192e9}
    assert "2 cores" in basis
    assert "2.00 GHz" in basis
    assert theory(("avx2", "fma"), cores=1, clock_hz=1e9)[0] == {"fp64": 16e9, "fp32": 32e9}


@pytest.mark.parametrize(("isa", "hz"), [(("asimd",), 2e9), (("avx2", "fma"), None)])
def test_what_cannot_be_told_stays_unknown(isa: tuple[str, ...], hz: float | None) -> None:
    peaks, basis = theory(isa, cores=4, clock_hz=hz)
    assert peaks == {}
    assert "not known" in basis
