"""What each process of a mesh has, told before anything is cut: as much as strategies really leave it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from chipwise.api.mesh_memory import Meshes, candidates, most_processes  # noqa: E402
from chipwise.api.transfer import begun, network_to_train  # noqa: E402
from chipwise.core.errors import InputError  # noqa: E402
from chipwise.core.events import silent  # noqa: E402
from chipwise.core.training_memory import ProcessMemory, Savings  # noqa: E402
from chipwise.cost.mesh_memory import mesh_time, rank_way  # noqa: E402
from chipwise.cost.training_memory import Around  # noqa: E402
from chipwise.datasets.by_name import load as load_data  # noqa: E402
from chipwise.networks.layers import layer_rows  # noqa: E402
from chipwise.networks.load import load  # noqa: E402
from chipwise.networks.torch_source import build_module  # noqa: E402
from chipwise.training.dropout import set_dropout  # noqa: E402
from chipwise.training.parallel.launch import bare_bytes  # noqa: E402
from chipwise.training.parallel.mesh import parse_mesh  # noqa: E402
from chipwise.training.parallel.portions import portions_of  # noqa: E402
from chipwise.training.settings import Settings  # noqa: E402

pytestmark = pytest.mark.runtime
ROWS = cache(partial(layer_rows, load("mlp-4096")))
AROUND = Around("adamw", process_bytes=0, batch=64)
VALUES = 784 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 10 + 10
LARGEST = 4096 * 4097


@pytest.fixture(scope="module")
def module() -> nn.Module:
    source = load("mlp-4096").source
    assert source is not None
    made = build_module(source)
    set_dropout(made, 0.0)
    return made


def ranks(module: nn.Module, mesh: str, **changes: object) -> tuple[ProcessMemory, ...]:
    wanted = parse_mesh(mesh)
    savings = replace(Savings(64 // wanted.shares, returned=True), **changes)
    return rank_way(ROWS, AROUND, savings, portions_of(module, wanted))


@pytest.mark.parametrize(
    ("mesh", "weights", "gradients", "state"),
    [
        ("dp2", VALUES, VALUES, 2 * VALUES),
        ("zero12", VALUES, VALUES, 2 * 4096 * 4096),  # the largest matrix goes to one process, the rest to the other
        ("zero22", VALUES / 2, VALUES / 2, VALUES),
        ("fsdp4", VALUES / 4, VALUES / 4, VALUES / 2),
        ("tp2", (VALUES + 4096 + 40970) / 2, (VALUES + 4096 + 40970) / 2, VALUES + 4096 + 40970),
        ("dp2,tp2", (VALUES + 4096 + 40970) / 2, (VALUES + 4096 + 40970) / 2, VALUES + 4096 + 40970),
    ],
)
def test_parts_are_divided_as_the_strategy_divides_them(
    module: nn.Module, mesh: str, weights: float, gradients: float, state: float
) -> None:
    (found,) = ranks(module, mesh)
    step = found.step
    assert step.weights == step.best == pytest.approx(4 * weights, rel=1e-3)
    assert step.gradients == pytest.approx(4 * gradients, rel=1e-3) or not step.saved
    assert step.optimizer == pytest.approx(4 * state, rel=1e-3)
    assert found.memory.total >= step.total


def test_stages_have_what_they_train(module: nn.Module) -> None:
    first, last = ranks(module, "pp2")
    assert (first.place, last.place) == ("stage 1 of 2", "stage 2 of 2")
    assert first.step.weights + last.step.weights == 4 * VALUES
    assert last.step.weights == 4 * 40970


def test_what_is_gathered_is_the_largest_part(module: nn.Module) -> None:
    (third,), (second,) = ranks(module, "fsdp2"), ranks(module, "zero22")
    assert third.step.messages == 2 * 4 * LARGEST
    assert second.step.messages == pytest.approx(4 * (VALUES + LARGEST), rel=1e-3)
    (plain,) = ranks(module, "dp2")
    assert plain.step.messages == 0
    assert third.memory.moment.startswith("back through")


def test_what_is_said_costs_time(module: nn.Module) -> None:
    times = {}
    for mesh in ("dp2", "zero12", "zero22", "fsdp2", "tp2"):
        wanted = parse_mesh(mesh)
        savings = Savings(64 // wanted.shares)
        times[mesh] = mesh_time(ROWS, AROUND, savings, portions_of(module, wanted), wanted.processes)
    assert 1 < times["dp2"] < times["zero12"]
    assert times["zero22"] < times["fsdp2"]
    assert times["tp2"] < times["dp2"], "activations are smaller than these weights"


def test_regions_are_not_predicted(module: nn.Module) -> None:
    with pytest.raises(InputError, match="sph2 takes is not predicted"):
        portions_of(module, parse_mesh("sph2"))


@pytest.mark.parametrize(("mesh", "most"), [("auto", 3), ("auto:8", 8), ("AUTO:2", 2), ("dp2", None), (None, None)])
def test_numbers_of_processes(mesh: str | None, most: int | None) -> None:
    assert most_processes(mesh, 3) == most


def test_candidates_are_what_the_network_takes() -> None:
    start = begun(network_to_train("mlp-4096", None), load_data("digits"), 0, silent)
    meshes = Meshes(start, Settings(batch_size=64, dropout=0.0), ROWS, AROUND, 1000, 0)
    set_dropout(start.module, 0.0)
    found = [str(mesh) for mesh in candidates(meshes, 4)]
    assert found[:3] == ["dp2", "dp4", "zero12"]
    assert {"zero24", "fsdp2", "tp2", "pp2", "dp2,tp2", "dp2,fsdp2"} <= set(found)
    assert "pp4" not in found, "it has three layers with weights"
    assert all(parse_mesh(mesh).processes == 4 for mesh in map(str, candidates(meshes, 4, machines=4)))


def test_a_bare_process_tells_its_memory() -> None:
    assert 50e6 < bare_bytes() < 2e9
