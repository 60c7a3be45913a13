"""This machine, whatever it is, and machines that behave badly."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from chipwise.core.device import Gpu
from chipwise.devices.detect import detect, parse_gpus, versions


def test_this_machine() -> None:
    machine = detect()
    assert machine.cpu
    assert machine.architecture == platform.machine()
    assert 1 <= machine.cores <= machine.logical_cpus
    assert machine.memory_bytes is None or machine.memory_bytes > 1 << 26
    assert machine.fingerprint == detect().fingerprint
    assert machine.python == platform.python_version()


def test_affinity_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0}, raising=False)
    assert detect().cores == 1


def test_a_system_without_proc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on macOS and Windows: no /proc, no /sys, no affinity, no sysconf."""
    monkeypatch.setattr(sys.modules[detect.__module__], "_ROOT", tmp_path)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.delattr(os, "sysconf", raising=False)
    machine = detect()
    assert machine.cpu
    assert machine.cores == machine.logical_cpus
    assert (machine.memory_bytes, machine.cache_bytes) == (None, {})


def test_gpus_as_the_driver_lists_them() -> None:
    text = "NVIDIA H200, 143771, 570.86.15\nNVIDIA Jetson, [N/A], 540.4.0\nNVIDIA-SMI has failed\n"
    assert parse_gpus(text) == (
        Gpu("NVIDIA H200", 143771 << 20, "570.86.15"),
        Gpu("NVIDIA Jetson", None, "540.4.0"),
    )


@pytest.mark.parametrize(
    "error", [FileNotFoundError(), PermissionError(), subprocess.TimeoutExpired("nvidia-smi", 5.0)]
)
def test_a_driver_that_does_not_answer_is_never_fatal(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(subprocess, "run", fail)
    assert detect().gpus == ()


def test_a_driver_that_answers_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = subprocess.CompletedProcess([], 9, stdout="a, 1, b\n", stderr="")
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: answer)
    assert detect().gpus == ()


def test_versions_name_only_what_is_installed() -> None:
    found = versions()
    assert found["numpy"]
    assert found["onnxruntime"]
    assert set(found) <= {"chipwise", "numpy", "onnx", "onnx-ir", "onnxruntime", "openvino", "nncf", "torch"}
