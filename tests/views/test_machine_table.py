"""What a machine was measured to do, at two widths. CHIPWISE_UPDATE_GOLDEN=1 rewrites the files."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from chipwise.core.device import Device
from chipwise.core.measured import (
    Arithmetic,
    Copy,
    Dispatch,
    KernelTime,
    LayerTimes,
    MeasuredMachine,
    Stream,
    Sustained,
)
from chipwise.core.report import Doctor
from chipwise.views import tables
from chipwise.views.machine_table import features_line, measured_table

from . import samples
from .test_tables import GOLDEN, text_of

SURE, DISTURBED = Sustained(1.0, 0.02, 5), Sustained(1.0, 0.3, 8, 8)


def rate(value: float, kind: Sustained = SURE) -> Sustained:
    return replace(kind, rate=value)


def measured() -> MeasuredMachine:
    """A server with a card; the card's rates and one of the processor's are doubtful."""
    machine = samples.MACHINE
    arithmetic = [
        Arithmetic("product", "fp64", "numpy", 1024, 2, rate(1.57e11)),
        Arithmetic("product", "fp32", "torch", 2048, 2, rate(3.25e11)),
        Arithmetic("product", "fp32", "onnxruntime", 1024, 2, rate(3.1e11)),
        Arithmetic("product", "fp32", "onnxruntime", 1024, 1, rate(1.6e11)),
        Arithmetic("product", "bf16", "openvino", 1024, 2, rate(2.9e12, DISTURBED)),
        Arithmetic("product", "fp16", "torch", 256, 2, rate(5.9e8), native=False),
        Arithmetic("fft", "fp32", "torch", 4096, 2, rate(1.9e10)),
        Arithmetic("product", "tf32", "torch", 8192, 0, rate(3.9e14)),
    ]
    levels = (("L1d", 3e11), ("L2", 1.2e11), ("L3", 4e10), ("memory", 1.1e10))
    streams = [
        Stream(level, kernel, threads, size, rate(speed * threads))
        for (level, speed), size in zip(levels, (24576, 1 << 20, 16 << 20, 1 << 28), strict=True)
        for kernel in ("copy", "add")
        for threads in (1, 2)
        if (level, kernel) != ("L1d", "copy")
    ]
    kernel = KernelTime("conv", 1e9, 1e6, (3136.0, 64.0, 64.0, 9.0, 1.0, 1.0), 4e-3)
    layers = (
        LayerTimes("onnxruntime", "fp32", 0, (kernel,) * 600, 1e11, 1e9, 1e-6, {}, errors=(0.02, -0.05, 0.04, -0.2)),
        LayerTimes("openvino", "bf16", 0, (kernel,) * 300, 1e11, 1e9, 1e-6, {}, native=False),
    )
    return MeasuredMachine(
        machine, Device(machine.cpu, "cpu"), "2026-01-15", {"onnxruntime": "1.23.2"},
        theory={"fp64": 1.73e11, "fp32": 3.46e11, "bf16": 5.5e12, "int8": 1.1e13}, theory_basis="2 cores x 2.70 GHz",
        arithmetic=tuple(arithmetic), streams=tuple(streams),
        dispatch=(Dispatch("onnxruntime", 4.2e-6, 1.1e-6), Dispatch("torch", 2.1e-6, 1.9e-6)),
        copies=(Copy("to device", True, 1 << 26, rate(5.4e10)), Copy("to host", False, 1 << 26, rate(1.2e10))),
        layers=layers, clock_hz=2.7e9, seconds=131.4, notes=("this is a virtual machine: its host may share cores",),
    )  # fmt: skip


@pytest.mark.parametrize("width", [80, 120])
def test_golden(width: int) -> None:
    made = text_of(measured_table(measured()), width)
    assert max(map(len, made.splitlines())) <= width
    path = GOLDEN / f"machine_{width}.txt"
    if os.environ.get("CHIPWISE_UPDATE_GOLDEN"):
        path.write_text(made, encoding="utf-8")
    assert made == path.read_text(encoding="utf-8")


def test_theory_stands_beside_what_was_reached() -> None:
    lines = text_of(measured_table(measured()), 100).splitlines()
    rows = {line.split()[0]: line for line in reversed(lines) if line.strip()}
    assert "94%" in rows["fp32"]  # 325 of 346
    assert "torch, 2048" in rows["fp32"]
    assert "not known" in rows["fp16"]
    assert "emulated" in rows["fp16"]
    assert "~2.90 T" in rows["bf16"]


def test_an_unfinished_measurement_says_so_and_shows_what_there_is() -> None:
    part = replace(measured(), complete=False, streams=(), dispatch=(), layers=(), copies=())
    made = text_of(measured_table(part), 80)
    assert "not to the end" in made
    assert "fp64" in made
    assert "STREAM" not in made


def test_doctor_shows_what_was_measured() -> None:
    record = replace(samples.doctor(), measured=measured())
    assert isinstance(record, Doctor)
    assert "of theory" in text_of(tables.doctor(record), 80)
    assert "of theory" not in text_of(tables.doctor(samples.doctor()), 80)


def test_features_are_told_by_their_usual_names() -> None:
    assert features_line(samples.MACHINE) == "AVX2, AVX-512, VNNI, BF16, AMX; not FP16"
    arm = replace(samples.MACHINE, architecture="aarch64", isa=("asimd", "asimddp", "sve"))
    assert features_line(arm) == "NEON, dot product, SVE; not FP16, BF16, I8MM, SVE2, SME"
    assert features_line(replace(arm, architecture="riscv64", isa=())) == "none that matter here"
