"""The whole measurement, with a clock that the test controls and two small networks; and its command."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

import chipwise
from chipwise.clock import arithmetic, streams
from chipwise.clock.interleave import Timer
from chipwise.clock.sustained import Watch
from chipwise.codec.machine_file import cached_machine, encode_machine, store_machine
from chipwise.compiler import layer_times, measure_machine
from chipwise.core.device import Device, Machine
from chipwise.core.errors import InputError
from chipwise.core.events import silent
from chipwise.core.measured import MeasuredMachine
from chipwise.devices.detect import detect
from chipwise.runtimes import onnxruntime, products
from chipwise.runtimes.engine import EngineOptions
from chipwise.runtimes.probes import PROBES

MACHINE = Machine("Example", "x86_64", ("avx2", "fma"), 2, 2, {"L2": 1 << 18}, 1 << 29)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two libraries' products, and two networks that take next to nothing."""
    few = {"digits": PROBES["digits"], "small-pictures": PROBES["small-pictures"]}
    monkeypatch.setattr(layer_times, "PROBES", few)
    monkeypatch.setattr(layer_times, "_LEAST_NETWORKS", 2)
    monkeypatch.setattr(measure_machine, "_LAYERS", (("onnxruntime", "fp32"),))
    monkeypatch.setattr(arithmetic, "SIZES", {"product": (32, 64), "fft": (256,)})
    monkeypatch.setattr(streams, "_MEMORY_BYTES", (1 << 18, 1 << 18))
    monkeypatch.setattr(streams, "_CALL_BYTES", 1 << 14)
    monkeypatch.setattr(measure_machine, "_torch", lambda: None)
    monkeypatch.setattr(measure_machine, "products", lambda machine: tuple(products.numpy_products(1)))


def ticking() -> Watch:
    """Every look at the clock is 50 ms after the last."""
    ticks = count()
    return Watch(Timer(now=lambda: next(ticks) * 0.05, cpu=lambda: 0.0), busy=lambda: None)


@pytest.mark.usefixtures("quick")
def test_every_stage_is_kept_and_the_last_one_completes() -> None:
    stages: list[MeasuredMachine] = []
    found = measure_machine.measure_machine(MACHINE, budget_s=600, progress=silent, keep=stages.append, watch=ticking())
    assert [each.complete for each in stages] == [False, False, False, False, True]
    assert stages[-1] == found
    assert {(each.work, each.format) for each in found.arithmetic if each.through == "numpy"} == {
        ("product", "fp32"), ("product", "fp64"), ("fft", "fp32"), ("fft", "fp64"),
    }  # fmt: skip
    assert set(found.device.peak_flops) == {"fp32", "fp64"}
    assert found.device.bandwidth_bytes_s
    assert {each.runtime for each in found.dispatch} >= {"onnxruntime"}
    times = found.layer_times("onnxruntime", "fp32")
    assert times is not None
    assert {"conv", "pool", "linear"} <= set(times.usual)
    assert found.layer_times("openvino", "fp32") is None


@pytest.mark.usefixtures("quick")
def test_calls_and_layers_are_timed_on_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """As networks are run, and as estimates for this machine stand for: 0 is all, and the default of options is one."""
    asked: list[tuple[str, int]] = []

    def spy(what: str) -> None:
        real = getattr(onnxruntime, what)

        def call(model: bytes, options: EngineOptions, *rest: object) -> object:
            asked.append((what, options.threads))
            return real(model, options, *rest)

        monkeypatch.setattr(onnxruntime, what, call)

    spy("build")
    spy("node_times")
    monkeypatch.setattr(measure_machine, "_fewer", lambda _: [])  # products with fewer threads are meant to be
    found = measure_machine.measure_machine(
        MACHINE, budget_s=600, progress=silent, keep=lambda _: None, watch=ticking()
    )
    assert len([what for what, _ in asked if what == "build"]) > 2  # two chains of operators, then networks
    assert set(asked) == {("build", 0), ("node_times", 0)}
    times = found.layer_times("onnxruntime", "fp32")
    assert times is not None
    assert times.threads == 0


@pytest.mark.usefixtures("quick")
def test_when_time_is_over_what_is_missing_is_said() -> None:
    found = measure_machine.measure_machine(MACHINE, budget_s=2, progress=silent, keep=lambda _: None, watch=ticking())
    assert found.layers == ()
    assert any(note.startswith("time was over") for note in found.notes)


@pytest.mark.usefixtures("quick")
def test_an_interruption_leaves_the_stages_before() -> None:
    stages: list[MeasuredMachine] = []

    def keep(found: MeasuredMachine) -> None:
        stages.append(found)
        if len(stages) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_machine.measure_machine(MACHINE, budget_s=600, progress=silent, keep=keep, watch=ticking())
    assert stages[-1].streams
    assert not stages[-1].complete


def measured(machine: Machine) -> MeasuredMachine:
    device = Device(machine.cpu, "cpu", peak_flops={"fp32": 1e11}, bandwidth_bytes_s=1e10)
    return MeasuredMachine(machine, device, "2026-01-15", {})


def test_a_measurement_that_nothing_can_be_told_from_is_none() -> None:
    machine = replace(MACHINE, cpu="Example start")
    ended = measured(machine)
    store_machine(replace(ended, device=replace(ended.device, bandwidth_bytes_s=None), complete=False))
    assert cached_machine(machine) is None


def test_a_part_does_not_replace_a_whole() -> None:
    machine = replace(MACHINE, cpu="Example part")
    store_machine(measured(machine))
    store_machine(replace(measured(machine), complete=False, seconds=1.0))
    kept = cached_machine(machine)
    assert kept is not None
    assert kept.complete


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda found: replace(found, device=replace(found.device, peak_flops={"fp32": 0.0})), "the peak in fp32 is 0"),
        (lambda found: replace(found, theory={"fp32": -1.0}), "the theoretical peak in fp32 is -1"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(
    damage: Callable[[MeasuredMachine], MeasuredMachine], says: str, tmp_path: Path
) -> None:
    path = tmp_path / "odd.json"
    path.write_bytes(encode_machine(damage(measured(MACHINE))))
    with pytest.raises(InputError, match=says):
        chipwise.doctor(profile=path)


def test_another_machines_profile_is_shown_and_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_bytes(encode_machine(measured(MACHINE)))
    answer = chipwise.doctor(profile=path)
    assert answer.measured is not None
    assert answer.measured.machine.cpu == "Example"
    assert any("another machine (Example, 2 cores)" in note for note in answer.notes)
    assert cached_machine(MACHINE) is None


def test_this_machines_profile_is_kept_and_saved_again(tmp_path: Path) -> None:
    path, copy = tmp_path / "own.json", tmp_path / "copy.json"
    path.write_bytes(encode_machine(measured(detect())))
    answer = chipwise.doctor(profile=path, save=copy)
    assert f"written to {copy}" in answer.notes
    assert any("kept for estimates" in note for note in answer.notes)
    assert json.loads(copy.read_text()) == json.loads(path.read_text())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"measure": True, "profile": "x.json"}, "stands in the place of a measurement"),
        ({"measure": True, "budget_s": 1.0}, "1 s is too short"),
        ({"profile": "no-such-file.json"}, "cannot read profile no-such-file.json"),
    ],
)
def test_bad_requests_are_one_line(options: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        chipwise.doctor(**options)  # type: ignore[arg-type]


def test_nothing_is_saved_into_a_folder_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        chipwise.doctor(save=tmp_path / "no" / "such" / "machine.json")
    assert not list(tmp_path.iterdir())
