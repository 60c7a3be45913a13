"""An estimate from kernels that were measured on the machine itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chipwise.core.device import Device, Machine
from chipwise.core.estimate import Workload
from chipwise.core.layer import Layer
from chipwise.core.measured import KernelTime, LayerTimes, MeasuredMachine
from chipwise.cost.measured_estimate import estimate_measured

DEVICE = Device("Example CPU", "cpu", peak_flops={"fp32": 1e11}, bandwidth_bytes_s=1e10, memory_bytes=8 * 2**30)
KERNEL = KernelTime("linear", 2e6, 1e6, (1.0, 1000.0, 1000.0, 1.0, 1.0), 1e-3)
TIMES = LayerTimes("onnxruntime", "fp32", 0, (KERNEL,), 1e11, 1e9, 1e-6, {"linear": 0.0, "elementwise": 0.0})
FOUND = MeasuredMachine(Machine("Example CPU", "x86_64", (), 2, 2), DEVICE, "2026-01-15", {}, layers=(TIMES,))
ROWS = [
    Layer("fc", "Gemm", ((1, 1000),), ((1, 1000),), 1_000_000, 2_000_000, 4_004_000, 4_000),
    Layer(
        "odd", "Mystery", ((1, 1000),), ((1, 1000),), read_bytes=4_000, write_bytes=4_000, known=False, after=("fc",)
    ),
]
HERE = Workload(runtime="onnxruntime", compiled=True)


def test_what_was_measured_is_estimated() -> None:
    expected = estimate_measured(ROWS, FOUND, HERE)
    assert expected is not None
    assert expected.time_s.mid is not None
    assert expected.time_s.low < expected.time_s.mid < expected.time_s.high
    assert expected.time_s.coverage == 0.8
    assert expected.memory.weights >= 4_000_000
    assert expected.fits is True
    assert expected.unknown_ops == ("Mystery",)
    assert "2026-01-15" in expected.method
    assert expected.rows[0].name == "fc"


@pytest.mark.parametrize(
    "workload",
    [replace(HERE, phase="training"), replace(HERE, runtime="openvino"), replace(HERE, precision="bf16")],
)
def test_what_was_not_measured_is_not(workload: Workload) -> None:
    assert estimate_measured(ROWS, FOUND, workload) is None


def test_formats_without_instructions_are_noted() -> None:
    emulated = replace(FOUND, layers=(replace(TIMES, precision="bf16", native=False),))
    expected = estimate_measured(ROWS, emulated, replace(HERE, precision="bf16"))
    assert expected is not None
    assert expected.notes == ("Example CPU has no instructions for bf16",)


def test_a_poor_measurement_is_said_with_every_estimate() -> None:
    def notes(*errors: float) -> tuple[str, ...]:
        expected = estimate_measured(ROWS[:1], replace(FOUND, layers=(replace(TIMES, errors=errors),)), HERE)
        assert expected is not None
        return expected.notes

    assert notes(0.1, -0.2, 0.1, 0.9, 0.1) == notes() == ()
    (said,) = notes(0.6, -0.7, 0.5, 0.1, 0.6)
    assert said.startswith("poor: half of the networks measured on 2026-01-15 were missed by 60% or more")
    assert "doctor --measure again when the machine is idle" in said
