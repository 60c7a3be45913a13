"""What is done with a plan: run, check, bench, and finding its source again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Literal, cast

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from chipwise.compiler.bench import _row, bench_plan
from chipwise.compiler.check import check_plan
from chipwise.compiler.feeds import read_array
from chipwise.compiler.load import open_plan
from chipwise.compiler.regression import Baseline, compare
from chipwise.compiler.run import run_all
from chipwise.compiler.runner import Runner, from_plan
from chipwise.compiler.sources import find_source, keep_source
from chipwise.compiler.trials import build
from chipwise.core.errors import DataError, InputError, UnknownNameError
from chipwise.core.measure import Timing
from chipwise.core.network import TensorSpec
from chipwise.core.plan import Plan
from chipwise.core.report import BenchResult
from chipwise.datasets.dataset import Dataset
from chipwise.devices.detect import detect
from chipwise.runtimes.engine import Engine
from chipwise.views import claims


@pytest.fixture
def labelled(plan: Plan, digits: Dataset) -> Plan:
    return replace(plan, manifest=replace(plan.manifest, task=replace(plan.manifest.task, labels=digits.class_names)))


def opened(plan: Plan) -> Runner:
    return from_plan(plan, "x.plan", detect())


def feeding(plan: Plan, *inputs: TensorSpec) -> Runner:
    """The plan's engine behind other inputs than its own."""
    return Runner(open_plan(plan, detect()), plan.manifest.task, "x.plan", plan.manifest.choice, inputs)


def test_run_names_the_class_of_a_picture(labelled: Plan, digits: Dataset, tmp_path: Path) -> None:
    test = digits.split(0).test
    for digit in (0, 1, 6):
        Image.fromarray(test.inputs[test.labels == digit][0][..., 0]).save(tmp_path / f"{digit}.png")
    paths = [tmp_path / f"{digit}.png" for digit in (0, 1, 6)]
    result = run_all(opened(labelled), paths, top=3)
    assert [each.top[0][0] for each in result.predictions] == ["0", "1", "6"]
    assert all(len(each.top) == 3 for each in result.predictions)
    assert all(0 <= share <= 1 for each in result.predictions for _, share in each.top)
    assert result.latency_s > 0


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 1, 8, 8), (5, 1, 8, 8)])
def test_run_takes_one_item_or_a_batch(labelled: Plan, tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "x.npy", np.zeros(shape, np.float64))
    result = run_all(opened(labelled), [tmp_path / "x.npy"])
    assert len(result.predictions) == (shape[0] if len(shape) == 4 else 1)


def test_uint8_array_is_a_picture(labelled: Plan, digits: Dataset, tmp_path: Path) -> None:
    test = digits.split(0).test
    np.save(tmp_path / "u8.npy", test.inputs[0][..., 0])
    np.save(tmp_path / "f32.npy", test.inputs[:1].transpose(0, 3, 1, 2).astype(np.float32) / 255)
    as_picture, as_array = (
        run_all(opened(labelled), [tmp_path / name]).predictions[0].top for name in ("u8.npy", "f32.npy")
    )
    assert [name for name, _ in as_picture] == [name for name, _ in as_array]
    np.testing.assert_allclose([s for _, s in as_picture], [s for _, s in as_array], rtol=1e-3)


def test_raw_outputs_without_a_task(plan: Plan, tmp_path: Path) -> None:
    raw = replace(plan, manifest=replace(plan.manifest, task=replace(plan.manifest.task, kind="tensor")))
    np.save(tmp_path / "x.npy", np.zeros((2, 1, 8, 8), np.float32))
    (prediction,) = run_all(opened(raw), [tmp_path / "x.npy"]).predictions
    assert prediction.outputs[0].shape == (2, 10)


def test_arrays_with_objects_or_too_large_headers_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    header = b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }"
    (tmp_path / "huge.npy").write_bytes(header.ljust(127) + b"\n1234")
    (tmp_path / "cut.npy").write_bytes(b"PK\x03\x04 an archive that was cut short")
    for name in ("objects.npy", "huge.npy", "absent.npy", "cut.npy"):
        with pytest.raises(DataError, match=name):
            read_array(tmp_path / name)


@pytest.mark.parametrize("array", [np.array(["a"]), np.ones((1, 8, 8), complex), np.zeros((1, 8), [("a", "f4")])])
def test_arrays_of_something_else_are_refused(labelled: Plan, tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(DataError, match=r"x\.npy holds"):
        run_all(opened(labelled), [tmp_path / "x.npy"])


def test_integers_are_not_bent(plan: Plan, tmp_path: Path) -> None:
    runner = feeding(plan, TensorSpec("x", ("batch", 2), "int8"))
    for array in (np.array([[0.5, 1]]), np.array([[300, 1]])):
        np.save(tmp_path / "x.npy", array)
        with pytest.raises(DataError, match="int8"):
            run_all(runner, [tmp_path / "x.npy"])


def test_as_many_files_as_inputs(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"takes 2 inputs.*received 3"):
        run_all(feeding(plan, *plan.manifest.inputs * 2), [tmp_path / "x.npy"] * 3)


def test_check_compares_pair_by_pair_on_the_test_split(plan: Plan, source: bytes, digits: Dataset) -> None:
    result = check_plan(plan, "x.plan", source, digits, detect(), max_drop=None)
    test = digits.split().test
    assert result.split == "test"
    assert result.drop.source.count == len(test.labels) >= 360
    assert result.drop.candidate.value > 0.8
    assert sum(map(sum, result.confusion)) == len(test.labels)
    wrong = len(test.labels) - sum(result.confusion[i][i] for i in range(10))
    assert wrong == result.drop.source.count - result.drop.candidate.correct
    assert all(each.truth != each.predicted for each in result.mistakes)
    chances = [each.probability for each in result.mistakes]
    assert chances == sorted(chances, reverse=True)


def test_check_fails_a_plan_that_lost_accuracy(plan: Plan, source: bytes, digits: Dataset) -> None:
    proto = onnx.load_model_from_string(source)
    weights = next(tensor for tensor in proto.graph.initializer if tensor.name == "w")
    weights.CopyFrom(numpy_helper.from_array(np.roll(numpy_helper.to_array(weights), 1, axis=0), "w"))
    model = proto.SerializeToString()
    expected = build(plan.manifest.choice, model).run(plan.sample_inputs)
    broken = replace(plan, model=model, expected_outputs=tuple(expected))
    result = check_plan(broken, "x.plan", source, digits, detect(), max_drop=0.01)
    assert not result.ok
    assert result.drop.lost > 50
    assert "more than 1.00%" in result.reason


def test_bench_times_the_plan_against_peers(plan: Plan, source: bytes) -> None:
    result = bench_plan(plan, "x.plan", source, detect(), peers=("onnxruntime",), budget_s=2)
    assert [row.name for row in result.rows] == ["plan", "onnxruntime default"]
    assert result.rows[0].speedup is None
    assert result.rows[1].speedup is not None
    assert result.rows[1].speedup.rounds >= 10
    assert result.ok


def slowed(result: BenchResult, factor: float) -> BenchResult:
    """The same result as if everything had taken `factor` times as long."""
    rows = tuple(
        replace(row, timing=Timing(row.timing.count, tuple(q * factor for q in row.timing.quantiles_s)))
        for row in result.rows
        if row.timing is not None
    )
    return replace(result, rows=rows)


def test_bench_fails_a_regression(plan: Plan, source: bytes) -> None:
    before = bench_plan(plan, "x.plan", source, detect(), peers=(), budget_s=1)
    ten_times_faster, ten_times_slower = slowed(before, 0.1), slowed(before, 10)
    worse = bench_plan(plan, "x", source, detect(), peers=(), budget_s=1, baseline=Baseline(ten_times_faster, 0.05))
    assert not worse.ok
    assert worse.regression is not None
    assert worse.regression > 1.05
    better = bench_plan(plan, "x", source, detect(), peers=(), budget_s=1, baseline=Baseline(ten_times_slower, 0.05))
    assert better.ok


def test_baseline_of_something_else_is_refused(plan: Plan, source: bytes) -> None:
    before = bench_plan(plan, "x.plan", source, detect(), peers=(), budget_s=0.1)
    for other in (replace(before, network="another"), replace(before, batch=8), replace(before, rows=())):
        with pytest.raises(InputError, match="baseline"):
            bench_plan(plan, "x", source, detect(), peers=(), budget_s=0.1, baseline=Baseline(other, 0.05))


def test_regression_is_relative_to_a_common_peer(plan: Plan, source: bytes) -> None:
    before = bench_plan(plan, "x.plan", source, detect(), peers=("onnxruntime",), budget_s=1)
    slower_machine = slowed(before, 3)
    same = compare(Baseline(before, 0.05), slower_machine.rows)
    assert same.factor == pytest.approx(1)
    assert same.ok
    assert "relative to onnxruntime default" in same.reason
    plan_row = slowed(before, 3).rows[0]
    worse = compare(Baseline(before, 0.05), (plan_row, *before.rows[1:]))
    assert worse.factor == pytest.approx(3)
    assert not worse.ok


@pytest.mark.parametrize("name", ["onnxrt", "onnxruntime:fp8", "reference"])
def test_unknown_peer(plan: Plan, source: bytes, name: str) -> None:
    with pytest.raises(UnknownNameError, match=name):
        bench_plan(plan, "x", source, detect(), peers=(name,), budget_s=1)


@pytest.mark.runtime
def test_a_runtime_is_a_peer_in_each_way_that_people_call_it(plan: Plan, source: bytes) -> None:
    pytest.importorskip("openvino")
    pytest.importorskip("torch")
    result = bench_plan(plan, "x.plan", source, detect(), peers=("openvino:fp32", "inductor:eager"), budget_s=0.1)
    assert [(row.name, row.precision) for row in result.rows[1:]] == [
        ("openvino fp32", "fp32"),
        ("inductor eager", "fp32"),
    ]


def test_a_peer_that_rounds_more_than_the_plan_may_is_no_rival(plan: Plan, source: bytes) -> None:
    coarse = cast("Engine", SimpleNamespace(precision="bf16"))
    samples = {"plan": np.full(9, 2.0), "openvino default": np.full(9, 1.0)}
    close = _row("openvino default", coarse, samples, replace(plan.manifest, label="close"))
    assert not close.alike
    assert "bf16 changes answers" in close.note
    assert _row("openvino default", coarse, samples, replace(plan.manifest, label="lossy")).alike
    result = bench_plan(plan, "x.plan", source, detect(), peers=(), budget_s=0.1)
    assert claims.peers(replace(result, rows=(*result.rows, close))) == []


@pytest.mark.parametrize(
    ("label", "limit", "alike"), [("close", -1.0, False), ("close", 0.5, True), ("lossy", -1.0, True)]
)
def test_a_peer_that_answers_otherwise_is_no_rival(
    plan: Plan,
    source: bytes,
    monkeypatch: pytest.MonkeyPatch,
    label: Literal["close", "lossy"],
    limit: float,
    alike: bool,
) -> None:
    monkeypatch.setattr("chipwise.compiler.bench._APART", limit)
    told = replace(plan, manifest=replace(plan.manifest, label=label))
    (_, peer) = bench_plan(told, "x.plan", source, detect(), peers=("onnxruntime",), budget_s=0.1).rows
    assert peer.alike is alike
    assert ("its answers differ by" in peer.note) is not alike


def test_source_is_found_by_digest(plan: Plan, source: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    changed = replace(plan, model=b"quantized")
    monkeypatch.setenv("CHIPWISE_CACHE", str(tmp_path))
    with pytest.raises(InputError, match="not in the cache"):
        find_source(changed)
    assert find_source(changed, source) == source
    with pytest.raises(InputError, match="is not the network"):
        find_source(changed, source + b"x")
    keep_source(source)
    assert find_source(changed) == source
