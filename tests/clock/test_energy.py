"""Joules from counters like Linux's: packages are added, wraps noticed, and what is missing is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from chipwise.clock.energy import EnergyCounter, energy_counter, interleave_energy
from chipwise.core.errors import RuntimeUnavailableError


def zone(folder: Path, name: str, energy: str, wrap: str = "1000000") -> Path:
    (folder / name).mkdir(parents=True)
    (folder / name / "energy_uj").write_text(energy)
    (folder / name / "max_energy_range_uj").write_text(wrap)
    return folder / name / "energy_uj"


def test_packages_are_counted_and_their_parts_are_not(tmp_path: Path) -> None:
    one, two = zone(tmp_path, "intel-rapl:0", "100"), zone(tmp_path, "intel-rapl:1", "900000")
    zone(tmp_path, "intel-rapl:0:0", "7")
    zone(tmp_path, "dtpm", "7")
    counter = energy_counter(tmp_path)
    assert counter.files == (one, two)
    before = counter.read()
    one.write_text("500100")
    two.write_text("100000")
    assert counter.joules(before, counter.read()) == pytest.approx(0.5 + 0.2), "the second one wrapped"


@pytest.mark.parametrize("energy", ["", "none"])
def test_no_counter_is_said(tmp_path: Path, energy: str) -> None:
    zone(tmp_path, "intel-rapl:0", energy)
    with pytest.raises(RuntimeUnavailableError, match="no energy counter") as caught:
        energy_counter(tmp_path)
    assert caught.value.exit_code == 3


def test_contenders_take_turns_and_joules_are_per_call(tmp_path: Path) -> None:
    path = zone(tmp_path, "intel-rapl:0", "0", "0")
    order = []

    def spends(name: str, microjoules: int) -> None:
        order.append(name)
        path.write_text(str(int(path.read_text()) + microjoules))

    found = interleave_energy(
        {"a": lambda: spends("a", 2000), "b": lambda: spends("b", 6000)},
        energy_counter(tmp_path),
        budget_s=0.0,
        turn_s=0.001,
    )
    assert len(found["a"]) == len(found["b"]) == 5
    assert found["a"] == pytest.approx([0.002] * 5)
    assert found["b"] == pytest.approx([0.006] * 5)
    assert {"a", "b"} == set(order)


def test_a_counter_that_stands_still_is_refused(tmp_path: Path) -> None:
    path = zone(tmp_path, "intel-rapl:0", "5")
    with pytest.raises(RuntimeUnavailableError, match="stands still"):
        interleave_energy({"a": lambda: None}, EnergyCounter((path,), (0,)), budget_s=0.0, turn_s=0.001)
