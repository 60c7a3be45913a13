"""A plan from elsewhere is rebuilt and checked on its sample, or refused with the reason; it never runs wrongly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import chipwise
from chipwise.codec.plan_file import read_plan, write_plan
from chipwise.compiler import load as load_module
from chipwise.compiler.load import open_plan
from chipwise.compiler.runner import from_plan
from chipwise.compiler.sources import find_source
from chipwise.core.device import Machine
from chipwise.core.errors import ChipwiseError, PlanError, RuntimeUnavailableError
from chipwise.core.network import TensorSpec
from chipwise.core.plan import Choice, Part, Plan
from chipwise.core.task import Detection, Stream, Task
from chipwise.devices.detect import detect

ELSEWHERE = Machine("another processor", "aarch64", ("asimd", "asimdhp", "sve"), 96, 192, os="Other 1.0", python="3.9")
VERSIONS = {"onnxruntime": "0.1", "numpy": "0.1"}


def chosen(plan: Plan, **changes: Any) -> Plan:
    """The plan with something else in its choice."""
    return replace(plan, manifest=replace(plan.manifest, choice=replace(plan.manifest.choice, **changes)))


def said(plan: Plan, **changes: Any) -> Plan:
    """The plan with something else in its manifest."""
    return replace(plan, manifest=replace(plan.manifest, **changes))


@pytest.mark.parametrize(
    "moved",
    [
        {"machine": ELSEWHERE},
        {"machine": replace(ELSEWHERE, isa=(), cores=1)},
        {"machine": replace(detect(), cores=64, isa=("avx2",))},
        {"versions": VERSIONS},
        {"machine": ELSEWHERE, "versions": {}, "created": "1999-12-31T23:59:59Z"},
    ],
)
def test_plan_of_another_fingerprint_is_rebuilt_and_answers_alike(
    plan: Plan, tmp_path: Path, moved: dict[str, Any]
) -> None:
    write_plan(tmp_path / "moved.plan", said(plan, **moved))
    there = chipwise.load(tmp_path / "moved.plan")
    here = from_plan(plan, "here", detect())
    inputs = np.random.default_rng(0).random((5, 1, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(there.run(inputs)["y"], here.run(inputs)["y"], rtol=1e-5, atol=1e-5)


def test_plan_of_more_cores_takes_those_that_are_here(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[Choice] = []
    build = load_module.build

    def watched(choice: Choice, model: bytes) -> Any:
        built.append(choice)
        return build(choice, model)

    monkeypatch.setattr(load_module, "build", watched)
    small = replace(detect(), cores=1)
    open_plan(chosen(said(plan, machine=ELSEWHERE), threads=96), small)
    open_plan(chosen(said(plan, machine=ELSEWHERE), threads=0), small)
    assert [choice.threads for choice in built] == [1, 0]


def test_moved_plan_with_another_answer_is_refused(plan: Plan) -> None:
    moved = said(plan, machine=ELSEWHERE)
    wrong = replace(moved, expected_outputs=tuple(array * np.float32(1.1) for array in moved.expected_outputs))
    with pytest.raises(RuntimeUnavailableError, match="differs from the plan's stored output"):
        open_plan(wrong, detect())


def test_another_networks_graph_is_refused(plan: Plan) -> None:
    proto = onnx.load_model_from_string(plan.model)
    for weights in proto.graph.initializer:
        array = onnx.numpy_helper.to_array(weights)
        if array.dtype == np.float32:
            weights.CopyFrom(onnx.numpy_helper.from_array(array[::-1].copy(), weights.name))
    with pytest.raises(RuntimeUnavailableError, match="differs from the plan's stored output"):
        open_plan(replace(plan, model=proto.SerializeToString()), detect())


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_that_is_not_native_is_refused(plan: Plan, precision: str) -> None:
    pytest.importorskip("openvino")
    old = Machine("an old one", "x86_64", ("avx2",), 4, 4)
    with pytest.raises(RuntimeUnavailableError, match=f"runs in {precision} on openvino"):
        open_plan(said(plan, choice=Choice("openvino", precision)), old)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"batch": 0}, "batch 0"),
        ({"batch": 10**9}, "batch 1000000000"),
        ({"streams": -1}, "streams -1"),
        ({"streams": 2**63}, "streams"),
        ({"threads": -1}, "-1 threads"),
        ({"precision": "fp99"}, "fp99"),
        ({"runtime": "../onnxruntime"}, "unknown runtime"),
        ({"runtime": "tensorrt"}, "."),
        ({"parts": (Part("onnxruntime", until="nowhere"), Part("onnxruntime"))}, "cut"),
        ({"parts": (Part("onnxruntime", until="y"),)}, "cut"),
        ({"parts": (Part("onnxruntime", until="flat"),) * 100_000}, "100000 parts"),
    ],
)
def test_choices_that_nothing_can_run_are_refused(plan: Plan, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ChipwiseError, match=says):
        open_plan(chosen(plan, **changes), detect())


def test_inputs_and_outputs_are_those_of_the_graph(plan: Plan) -> None:
    (x,), (y,) = plan.manifest.inputs, plan.manifest.outputs
    for changes in (
        {"inputs": (replace(x, name="../x"),)},
        {"inputs": (replace(x, dtype="python"),)},
        {"inputs": (replace(x, shape=(1, 8, 8)),)},
        {"outputs": (replace(y, name="z"),)},
        {"outputs": (replace(y, dtype="int64"),)},
    ):
        with pytest.raises(ChipwiseError, match="the plan"):
            open_plan(said(plan, **changes), detect())
    for changes in ({"inputs": (x, x)}, {"outputs": ()}):
        with pytest.raises(PlanError, match="sample arrays"):
            open_plan(said(plan, **changes), detect())
    more = replace(plan, expected_outputs=plan.expected_outputs * 2)
    with pytest.raises(RuntimeUnavailableError, match="outputs"):
        open_plan(said(more, outputs=(y, TensorSpec("z", y.shape))), detect())


def test_samples_are_what_the_graph_takes(plan: Plan) -> None:
    (x,), (y,) = plan.sample_inputs, plan.expected_outputs
    for wrong in (x.astype(np.float64), x.astype(">f4"), x[0], x.astype("S4")):
        with pytest.raises(PlanError, match="sample"):
            open_plan(replace(plan, sample_inputs=(wrong,)), detect())
    with pytest.raises(PlanError, match="no numbers"):
        open_plan(replace(plan, expected_outputs=(y.astype("S4"),)), detect())


def test_tasks_cannot_ask_for_memory_or_time_without_end(plan: Plan, tmp_path: Path) -> None:
    seen = plan.manifest.task.preprocess
    assert seen is not None
    tasks = [
        Task(preprocess=replace(seen, **change))
        for change in (
            {"height": 10**9}, {"width": 0}, {"channels": 3, "order": "RGB"}, {"layout": "NHWC"}, {"crop": 10**9},
            {"resize": -1}, {"fill": 256}, {"mean": ()}, {"std": (0.0,)}, {"std": (1.0, 1.0)},
        )
    ]  # fmt: skip
    tasks += [Task("sequence", stream=Stream(*each)) for each in ((0,), (-3,), (1, -1), (10**12,), (1, 10**12))]
    for task in tasks:
        write_plan(tmp_path / "x.plan", said(plan, task=task))
        with pytest.raises(PlanError, match="the plan"):
            open_plan(read_plan(tmp_path / "x.plan"), detect())


def test_limits_of_a_detector_lie_between_0_and_1(plan: Plan) -> None:
    seen = plan.manifest.task.preprocess
    for limits in ({"overlap": -0.5}, {"threshold": 1e9}):
        task = Task("detection", preprocess=seen, detection=Detection("yolo", **limits))
        with pytest.raises(PlanError, match="between 0 and 1"):
            open_plan(said(plan, task=task), detect())


def test_a_source_is_looked_for_by_its_digest_only(plan: Plan) -> None:
    for digest in ("x" * 100_000, "../" * 21 + "a", "a" * 63 + "\n", ""):
        with pytest.raises(PlanError, match="digest"):
            find_source(said(plan, source=replace(plan.manifest.source, digest=digest)))


def test_what_cannot_be_is_not_shown_either(plan: Plan) -> None:
    first = next(each for each in plan.manifest.candidates if each.timing is not None)
    assert first.timing is not None
    untimed = replace(first, timing=replace(first.timing, quantiles_s=()))
    for wrong, says in (
        (chosen(plan, batch=0), "batch 0"),
        (chosen(plan, batch=10**9), "batch 1000000000"),
        (said(plan, candidates=(untimed,)), "0 quantiles"),
        (replace(plan, model=bytes(100)), "no ONNX graph"),
    ):
        with pytest.raises(ChipwiseError, match=says):
            chipwise.show(wrong)
