"""`crossover` in Python: predictions grow, what is measured is real, and what is too large is told from it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

import chipwise
from chipwise.core.device import Device, Machine
from chipwise.core.errors import InputError, UnknownNameError
from chipwise.networks.sized import mlp

CARDS = ("rtx3090", "h100")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Device:
    """This machine without the half second that a look at its peaks takes."""
    device = Device("Example CPU", "cpu", peak_flops={"fp32": 1e11}, bandwidth_bytes_s=2e10, memory_bytes=2**33)
    monkeypatch.setattr("chipwise.clock.peaks.measure_peaks", lambda machine: device)
    machine = Machine("Example CPU", "x86_64", (), cores=1, logical_cpus=1, memory_bytes=2**33)
    monkeypatch.setattr("chipwise.devices.detect.detect", lambda: machine)
    return device


def steady(monkeypatch: pytest.MonkeyPatch, seconds: float) -> list[int]:
    """Steps whose time is known: so much for every million parameters, and a little for any."""
    seen: list[int] = []

    def times(module: Any, *_: object, **__: object) -> np.ndarray:
        seen.append(sum(value.numel() for value in module.parameters()))
        return np.full(5, 2e-4 + seconds * seen[-1] / 1e6)

    monkeypatch.setattr("chipwise.training.sized_steps.step_times", times)
    return seen


@pytest.mark.parametrize("net", ["mlp", "cnn"])
def test_predicted_steps_grow_with_parameters(net: str) -> None:
    record = chipwise.crossover(net, smallest=10**4, largest=10**8, points=5, on=CARDS, data_size=1000)
    assert [each.device for each in record.lines] == ["GeForce RTX 3090", "H100 SXM5 80GB"]
    for each in record.lines:
        steps = [point.step_s.mid or 0.0 for point in each.points]
        assert all(left < right for left, right in pairwise(steps))
        assert [point.parameters for point in each.points] == sorted(point.parameters for point in each.points)
        launches = [point.parts.shares["launch"] for point in each.points if point.parts is not None]
        assert launches[0] > 0.5 > launches[-1]
        for point in each.points:
            assert point.parts is not None
            assert sum(point.parts.shares.values()) == pytest.approx(1)
            assert point.parts.transfer_s > 10e-6
            assert point.epoch_s is not None
            assert point.epoch_s.mid == pytest.approx(16 * (point.step_s.mid or 0.0))
            assert not point.measured


def test_a_step_is_what_estimate_says_and_the_way_there() -> None:
    record = chipwise.crossover("mlp", smallest=10**5, largest=10**6, points=2, on=["rtx3090", "h100"], batch=32)
    point = record.lines[0].points[0]
    told = chipwise.estimate(
        mlp(point.width), on="rtx3090", phase="train", batch=32, precision="fp32", example_input=torch.zeros(2, 784)
    ).forecasts[0].estimate  # fmt: skip
    assert point.parts is not None
    assert (point.step_s.mid or 0) - point.parts.transfer_s == pytest.approx(told.time_s.mid or 0, rel=0.02)
    assert point.parts.transfer_s == pytest.approx(10e-6 + 32 * (784 * 4 + 8) / 31.5e9)


def test_this_machine_is_measured_and_overtaken(here: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = steady(monkeypatch, 5e-3)
    record = chipwise.crossover("mlp", smallest=10**4, largest=10**7, points=4, on=["h100", "here"])
    mine, card = record.lines
    assert (mine.device, mine.here, card.here) == ("here", True, False)
    assert seen == [point.parameters for point in mine.points]
    assert all(point.measured and point.timing is not None for point in mine.points)
    assert mine.points[0].foretold_s is None
    assert all(point.foretold_s is not None for point in mine.points[1:])
    (crossing,) = record.crossings
    assert (crossing.device, crossing.against, crossing.kind) == ("H100 SXM5 80GB", "here", "at")
    found = crossing.parameters
    assert (found.low or 0) < (found.mid or 0) < (found.high or 0)
    assert found.mid is not None
    assert 10**4 < found.mid < 3 * 10**5
    assert crossing.parts is not None
    assert crossing.parts.shares["launch"] > 0.9
    assert 2e-4 + 5e-3 * found.mid / 1e6 == pytest.approx(crossing.step_s, rel=0.2)


def test_what_would_take_too_long_is_told_from_the_last_measured(here: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    steady(monkeypatch, 1.0)
    record = chipwise.crossover("mlp", smallest=10**4, largest=10**8, points=5, on=["here", "h100"], budget_s=20)
    points = record.lines[0].points
    assert [point.measured for point in points] == [True, True, True, False, False]
    told = points[3].step_s
    assert told.mid is not None
    assert (told.low or 0) < told.mid < (told.high or 0)
    assert told.high is not None
    assert told.coverage is None
    assert told.mid > 2 * (points[2].step_s.mid or 0)
    assert (points[4].step_s.high or 0) / (points[4].step_s.mid or 1) > told.high / told.mid


def test_what_does_not_fit_into_the_memory_is_not_tried(here: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    steady(monkeypatch, 1e-6)
    record = chipwise.crossover("mlp", smallest=10**7, largest=10**9, points=3, on=["here"], budget_s=60)
    assert [point.measured for point in record.lines[0].points] == [True, True, False]  # 16 GB of 8


def test_what_does_not_fit_overtakes_nothing() -> None:
    record = chipwise.crossover("mlp", smallest=10**7, largest=10**10, points=4, on=CARDS)
    small, large = record.lines
    assert [point.fits for point in small.points] == [True, True, True, False]
    assert [point.fits for point in large.points][-1] is False
    assert any("GeForce RTX 3090: " in note and "do not fit into its memory" in note for note in record.notes)
    assert record.crossings[0].step_s < (large.points[-1].step_s.mid or 0)
    nothing = chipwise.crossover("mlp", smallest=8 * 10**9, largest=10**10, points=2, on=CARDS)
    assert nothing.crossings == ()


def test_notes_are_said_once_and_name_their_device() -> None:
    record = chipwise.crossover("mlp", smallest=10**4, largest=10**7, points=3, on=CARDS)
    assert len(set(record.notes)) == len(record.notes)
    assert not any("% of the time" in note for note in record.notes)
    assert all("RTX 3090" in note or "H100" in note for note in record.notes)


def test_ctrl_c_leaves_the_rest_to_the_model(here: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    def times(module: Any, *_: object, **__: object) -> np.ndarray:
        if sum(value.numel() for value in module.parameters()) > 50_000:
            raise KeyboardInterrupt
        return np.full(5, 1e-3)

    monkeypatch.setattr("chipwise.training.sized_steps.step_times", times)
    record = chipwise.crossover("mlp", smallest=10**4, largest=10**6, points=3, on=["here"])
    assert [point.measured for point in record.lines[0].points] == [True, False, False]
    assert not record.complete


def test_steps_here_are_really_trained(here: Device) -> None:
    record = chipwise.crossover(
        "cnn", smallest=1000, largest=3000, points=2, on=["here"], batch=2, precision="amp", budget_s=0.0
    )
    assert record.lines[0].points[0].measured
    assert (record.lines[0].points[0].step_s.mid or 0) > 0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"smallest": 10**5, "largest": 10**5}, "from 100,000 to 100,000"),
        ({"smallest": 10**6, "largest": 10**5}, "the first is the smaller"),
        ({"smallest": 0}, "a network of 0 parameters"),
        ({"largest": 10**12}, "a network of 1,000,000,000,000"),
        ({"points": 1}, "1 points"),
        ({"points": 51}, "from 2 to 50"),
        ({"batch": 0}, "batch is 0"),
        ({"data_size": 0}, "data has 0 items"),
        ({"on": []}, "no device"),
        ({"smallest": 10**4, "largest": 10**4 + 1}, "one mlp alone"),
        ({"on": ["tpu-v3"]}, "training on TPU v3"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as told:
        chipwise.crossover("mlp", **{"on": CARDS, **settings})
    assert said in f"{told.value.message} {told.value.hint}"


def test_unknown_names_have_near_matches() -> None:
    with pytest.raises(UnknownNameError, match="unknown device 'rtx3O90'") as told:
        chipwise.crossover("mlp", on=["rtx3O90"])
    assert "RTX 3090" in told.value.hint
    with pytest.raises(UnknownNameError, match="network 'mpl'"):
        chipwise.crossover("mpl", on=CARDS)
    with pytest.raises(UnknownNameError, match="precision 'fp31'"):
        chipwise.crossover("mlp", on=CARDS, precision="fp31")
