"""The search over meshes: all of them, what fits first, and the limits in which one must win."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chipwise.core.device import Device, Link, System
from chipwise.core.estimate import Estimate, EstimateRow, Interval, Workload
from chipwise.core.estimation import MeshForecast
from chipwise.core.layer import Layer
from chipwise.cost.best_mesh import meshes_of, parts_of, shapes
from chipwise.cost.memory import memory_of
from chipwise.cost.together import copies_of

GIB = 2**30
CHIP = Device("Chip", "gpu", memory_bytes=64 * GIB)
BOX = System("Box", CHIP, 8, Link("wire", 100e9))
WORKLOAD = Workload("training", 8, techniques=("adam",))


def made_by(parameters: int, op: str = "Gemm", bound: str = "compute"):  # type: ignore[no-untyped-def]
    """Sixteen equal layers that take a millisecond an item each."""

    def made(micro: int) -> tuple[Sequence[Layer], Estimate]:
        layers = [
            Layer(f"l{place}", op, ((micro, 1000),), ((micro, 1000),), parameters, micro * 10**9,
                  write_bytes=4000 * micro, saved_bytes=4000 * micro)
            for place in range(16)
        ]  # fmt: skip
        workload = replace(WORKLOAD, batch=micro)
        rows = tuple(EstimateRow(layer.name, 1e-3 * micro, bound) for layer in layers)  # type: ignore[arg-type]
        mid = 16e-3 * micro
        memory = memory_of(layers, CHIP, workload)
        return layers, Estimate("Chip", workload, rows, Interval(0.9 * mid, mid, 1.2 * mid), memory, "compute", "")

    return made


def found_for(parameters: int, device: Device = CHIP, system: System = BOX, **about: str) -> tuple[MeshForecast, ...]:
    return meshes_of(made_by(parameters, **about), system, device, 64)


@given(st.integers(1, 512), st.booleans())
def test_shapes_are_all_that_multiply_to_the_count(count: int, tensor: bool) -> None:
    found = list(shapes(count, tensor=tensor))
    wanted = {
        (copies, group, count // copies // group)
        for copies in range(1, count + 1)
        for group in range(1, count + 1 if tensor else 2)
        if count % copies == 0 and (count // copies) % group == 0
    }
    assert set(found) == wanted
    assert len(found) == len(wanted)


def test_where_all_fits_copies_win_with_the_step_that_is_told_of_them() -> None:
    found = found_for(10**6)
    layers, alone = made_by(10**6)(8)
    copies = copies_of(alone.workload, alone.time_s, layers, BOX)
    assert copies is not None
    assert found[0].mesh == "dp8"
    assert found[0].step_s == copies.step_s
    assert found[0].batch == 64
    assert found[0].memory_bytes == alone.memory.device_bytes
    assert {each.mesh for each in found} >= {"dp8", "zero18", "zero28", "fsdp8", "tp8", "pp8", "dp2,tp2,pp2"}
    assert len(found) == len(list(shapes(8, tensor=True))) + 3
    rates = [each.items_s.mid for each in found]
    assert rates == sorted(rates, reverse=True)
    assert all(each.step_s.low <= each.step_s.mid <= each.step_s.high for each in found)


def test_where_no_copy_fits_what_is_cut_or_shared_out_wins() -> None:
    """16 layers of 10^8 weights: with Adam 16 bytes each are 24 GiB."""
    small = replace(CHIP, memory_bytes=12 * GIB)
    found = found_for(10**8, small)
    by_mesh = {each.mesh: each for each in found}
    assert found[0].fits
    assert by_mesh["dp8"].fits is False
    assert by_mesh["fsdp8"].fits
    assert by_mesh["pp8"].fits
    fitting = [bool(each.fits) for each in found]
    assert fitting == sorted(fitting, reverse=True)
    assert all((each.memory_bytes <= 12 * GIB) == each.fits for each in found)


def test_nothing_is_cut_within_layers_that_have_no_products() -> None:
    assert not [each.mesh for each in found_for(10**6, op="Conv") if "tp" in each.mesh]


def test_slow_wires_cost_groups_most() -> None:
    slow = {each.mesh: each for each in found_for(10**6, system=replace(BOX, link=Link("wire", 1e6)))}
    quick = {each.mesh: each for each in found_for(10**6)}
    lost = {mesh: slow[mesh].step_s.mid / each.step_s.mid for mesh, each in quick.items() if "," not in mesh}
    assert lost["tp8"] > lost["pp8"] > 1
    assert (slow["tp8"].communication or 0) > (quick["tp8"].communication or 0)


def test_what_waits_for_launches_gains_nothing_from_being_cut() -> None:
    layers, alone = made_by(10**6, bound="launch")(4)
    whole = sum(part.forward_s + part.backward_s for part in parts_of(layers, alone, 1.0, 1))
    cut = sum(part.forward_s + part.backward_s for part in parts_of(layers, alone, 1.0, 4))
    assert whole == pytest.approx(1.0)
    assert cut == pytest.approx(1.0)
    layers, alone = made_by(10**6)(4)
    assert sum(part.forward_s for part in parts_of(layers, alone, 1.0, 4)) == pytest.approx(1 / 12)


def test_nothing_is_told_without_a_link_or_with_a_floor_alone() -> None:
    assert found_for(10**6, system=replace(BOX, link=None)) == ()

    def floor(micro: int) -> tuple[Sequence[Layer], Estimate]:
        layers, alone = made_by(10**6)(micro)
        return layers, replace(alone, time_s=Interval(1.0, None, None))

    assert meshes_of(floor, BOX, CHIP, 64) == ()
