"""As fast as was asked for, by a clock that counts multiply-adds: which channels go, and in which steps."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

pytest.importorskip("torch")
import torch

import chipwise
from chipwise.compression import faster
from chipwise.compression.faster import Faster, parse_faster, quickened, shares, table_of, with_shapes
from chipwise.compression.latency_choice import Quickening, calibrated, cells, quickening
from chipwise.compression.latency_table import LatencyTable, LayerTimes, layers_of, measured
from chipwise.compression.stopwatch import stopwatch
from chipwise.core.errors import InputError
from chipwise.optimize.channels import ChannelGroup, Place
from chipwise.training.feed import Feed
from chipwise.training.trainable import put_back, simplified, trainable

from .clocks import graph_s, multiplying
from .graphs import QUICK, lecture, residual, two_layers

pytestmark = pytest.mark.runtime


def quick(graph, step: int, table: LatencyTable | None = None, worth: float = 1.0) -> Quickening:
    """All channels worth the same, at the pace of multiply-adds."""
    graph = with_shapes(graph)
    if table is None:
        table = measured(graph, multiplying().layer, known=LatencyTable("multiply-adds", step, ()))
    found = quickening(trainable(graph), table, graph_s(graph), step, lambda _: 0.0)
    found.narrowing.worth = [torch.full((cell.width,), worth) for cell in found.narrowing.groups]
    found.judge = lambda _: worth_gone(found)
    return found


def worth_gone(found: Quickening) -> float:
    """A judge that counts what the channels that are gone were worth."""
    return sum(float(worth[~alive].sum()) for worth, alive in
               zip(found.narrowing.worth, found.narrowing.alive, strict=True))  # fmt: skip


def left(found: Quickening) -> list[int]:
    return [int(each.sum()) for each in found.narrowing.alive]


def test_channels_of_expensive_layers_go_first() -> None:
    graph = residual(width=32, inner=64)
    found = quick(graph, 16)
    assert [cell.width for cell in found.narrowing.groups] == [32, 64]
    found.drop_to(0.9 * found.seconds())
    assert left(found) == [16, 64], "16 channels of the sum save twice what 16 inner ones do, and are worth as much"
    table = found.pace.table
    (row,) = [each for each in table.rows if each.shape.kind == "Conv"]
    slow = tuple((1.0 if inputs == 64 else 1e-3 * inputs / 64,) * len(row.outputs) for inputs in row.inputs)
    rows = tuple(dataclasses.replace(each, measured_s=slow) if each == row else each for each in table.rows)
    other = quick(graph, 16, dataclasses.replace(table, rows=rows))
    other.drop_to(0.9 * other.seconds())
    assert left(other) == [32, 48], "here the layer that reads 64 is what costs"


def test_a_busy_machine_is_not_believed() -> None:
    """Nothing that the clock says makes more go than the table allows for."""
    graph = two_layers(width=64)
    calm = multiplying()
    wanted = Faster(2.0, 8, dataclasses.replace(calm, race=lambda *_: (np.full(5, 1e-6), np.full(5, 1e-3))))
    table = measured(with_shapes(graph), calm.layer, known=LatencyTable("multiply-adds", 8, ()))
    narrow, _ = quickened(graph, graph, 0.5, table, wanted, lecture(), QUICK)
    assert next(layer.outputs for layer in layers_of(with_shapes(narrow))) >= 16


def test_a_table_that_promises_too_little_takes_little_too_much() -> None:
    """Where less work saves more time than the table says, the last round measures before it is there."""
    graph = two_layers(width=512)
    calm = multiplying()

    def race(before: ir.Model, after: ir.Model, _: float) -> tuple[np.ndarray, np.ndarray]:
        first, second = (graph_s(with_shapes(graph)) for graph in (before, after))
        return np.full(5, first), np.full(5, first * (second / first) ** 1.25)

    wanted = Faster(2.0, 8, dataclasses.replace(calm, race=race))
    table = measured(with_shapes(graph), calm.layer, known=LatencyTable("multiply-adds", 8, ()))
    narrow, _ = quickened(graph, graph, 0.5, table, wanted, lecture(), QUICK)
    assert 0.46 < (graph_s(with_shapes(narrow)) / graph_s(with_shapes(graph))) ** 1.25 <= 0.5, "0.41 by the table alone"


def test_what_is_worth_most_stays() -> None:
    found = quick(two_layers(width=32), 8)
    found.narrowing.worth[0] = torch.arange(32.0)
    found.drop_to(0.5 * found.seconds())
    assert found.narrowing.alive[0].tolist() == [False] * 16 + [True] * 16


@pytest.mark.parametrize(("step", "share"), [(16, 0.5), (8, 0.3), (16, 0.8)])
def test_widths_stay_multiples_of_the_step(step: int, share: float) -> None:
    graph = residual(width=48, inner=72)
    found = quick(graph, step)
    found.narrowing.worth = [torch.rand(cell.width) + 0.1 for cell in found.narrowing.groups]
    found.drop_to(share * found.seconds())
    small = simplified(simplified(put_back(graph, found.narrowing.made.values())))
    for layer in layers_of(small):
        if layer.shape.kind == "Conv":
            assert layer.outputs % step == 0 or layer.outputs == 72, "of a group of which nothing went"
    layers = found.widths()
    assert layers is not None
    assert graph_s(small) == pytest.approx(found.pace.table.seconds(layers), rel=1e-6), "the widths it counts are real"
    assert graph_s(small) <= share * graph_s(graph)


def test_a_branch_goes_as_a_whole_and_what_the_answer_needs_does_not() -> None:
    graph = residual(width=16, inner=16)
    found = quick(graph, 16)
    found.drop_to(0.0)
    assert left(found) == [16, 0], "beside the block is a way for the answer; instead of the first layer there is none"
    small = simplified(simplified(put_back(graph, found.narrowing.made.values())))
    assert [node.op_type for node in small.graph] == ["Conv", "Relu", "GlobalAveragePool", "Flatten", "Gemm"]
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = found.narrowing.made.module(x).detach()
    np.testing.assert_allclose(trainable(small).module(x).detach(), expected, rtol=1e-4, atol=1e-5)
    chain = quick(two_layers(width=16), 16)
    chain.drop_to(0.0)
    assert left(chain) == [16]


def test_what_changes_answers_least_goes_whatever_gradients_said_of_it() -> None:
    graph = residual(width=16, inner=32)
    graph.graph.initializers["v"].const_value = ir.tensor(np.zeros((16, 32, 3, 3), np.float32), name="v")
    found = quick(graph, 16)
    module, x = found.narrowing.made.module, torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    expected, weights = module(x).detach(), found.narrowing.made.values()
    tries: list[int] = []

    def judge(now: torch.nn.Module) -> float:
        tries.append(1)
        return float((now(x).detach() - expected).square().mean())

    found.judge = judge
    found.drop_to(2 * found.seconds())
    assert not tries
    assert all((weights[name] == each).all() for name, each in found.narrowing.made.values().items())
    found.narrowing.worth[1] *= 1e6
    found.drop_to(0.95 * found.seconds())
    assert left(found) == [16, 0]
    assert len(tries) == 1 + 2, "the network as it is, without half of the branch, and without all of it"


def test_steps_are_judged_by_samples_from_all_over_the_data() -> None:
    """Folders of pictures come class by class."""
    graph, told = two_layers(), lecture(count=1000)
    feed = Feed(told.train.inputs.clone(), told.train.labels)
    feed.inputs[:900] = 0.0
    judge = faster._judge(graph, dataclasses.replace(told, train=feed))
    other = trainable(two_layers(seed=1)).module.eval()
    first = judge(other)
    feed.inputs[900:] = 0.0
    assert first != pytest.approx(faster._judge(graph, dataclasses.replace(told, train=feed))(other), rel=1e-3)
    assert faster._judge(graph, told)(trainable(graph).module.eval()) == pytest.approx(0.0, abs=1e-6)


def test_cells_of_a_shortcut_that_adds_channels() -> None:
    narrow = Place("a", 0, np.arange(4), True)
    wide = Place("b", 0, np.array([4, 0, 1, 2, 3, 5]), True)
    found = cells(ChannelGroup(6, (narrow, wide)))
    assert [(cell.width, [place.weight for place in cell.places]) for cell in found] == [(4, ["a", "b"]), (2, ["b"])]
    assert found[1].places[0].channels.tolist() == [0, -1, -1, -1, -1, 1]


def test_a_pace_says_of_what_was_measured_what_was_measured() -> None:
    graph = residual()
    layers = layers_of(graph)
    table = measured(graph, multiplying().layer, known=LatencyTable("", 16, ()))
    for measured_s in (0.3 * graph_s(graph), graph_s(graph), 5 * graph_s(graph)):
        assert calibrated(table, layers, measured_s).seconds(layers) == pytest.approx(measured_s)
    half = tuple(dataclasses.replace(layer, outputs=layer.outputs // 2) for layer in layers)
    assert calibrated(table, layers, 5 * graph_s(graph)).seconds(half) < 4.6 * graph_s(graph), "the rest goes as well"
    assert isinstance(table.rows[0], LayerTimes)


def test_rounds_take_a_quarter_at_most() -> None:
    assert shares(2.0) == (0.75, 0.5625, 0.5)
    assert shares(1.1) == pytest.approx((1 / 1.1,))
    assert parse_faster("1.5X") == 1.5
    for wrong in ("0.5x", "1x", "fast", "-2x", "nanx", "1e9x"):
        with pytest.raises(InputError, match="faster is"):
            parse_faster(wrong)


@pytest.fixture
def no_clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    counted: list[int] = []
    monkeypatch.setattr("chipwise.compression.stopwatch.stopwatch", lambda: multiplying(counted, rest_s=1e-6))
    return counted


def test_digits_end_to_end(tmp_path: Path, no_clock: list[int]) -> None:
    quickly = {"epochs": 2, "threads": 1, "augment": "none"}
    chipwise.train("lenet-300-100", "digits", folder=tmp_path / "run", **(quickly | {"epochs": 5}))
    output = tmp_path / "fast.cwz"
    found = chipwise.compress(tmp_path / "run", "digits", output=output, faster="2x", **quickly)
    assert found.met
    assert found.target == "2x as fast on multiply-adds"
    assert [stage.name for stage in found.stages] == ["narrow", "narrow", "narrow", "train"]
    assert found.speed is not None
    assert found.speed.ratio.mid >= 2
    assert found.speed.predicted_s == pytest.approx(found.speed.after.median_s, rel=0.1)
    assert found.test is not None
    assert found.test.candidate.value > 0.85
    network = chipwise.load(output)
    (scores,) = network.run(np.zeros((2, *network.inputs[0].shape[1:]), np.float32)).values()
    assert scores.shape == (2, 10)
    step = found.speed.step
    assert all(layer.shape[0] % step == 0 for layer in found.layers[:-1])
    timed, before = len(no_clock), output.read_bytes()
    again = chipwise.compress(tmp_path / "run", "digits", output=output, faster="2x", **quickly)
    assert output.read_bytes() == before, "an interrupted one goes on where it stopped"
    assert len(no_clock) == timed
    assert again.stages == found.stages


def test_the_real_clock_times_both(tmp_path: Path) -> None:
    clock = stopwatch()
    graph = residual()
    before, after = clock.race(graph, graph, 0.01)
    assert len(before) == len(after) >= 5
    wanted = Faster(2.0, 16, clock, table_s=0.1)
    table = table_of(graph, wanted, tmp_path / "t.json")
    assert all(each > 0 for row in table.rows for each in np.ravel(row.measured_s))
