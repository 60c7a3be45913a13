"""A real plan opened up: every layer with its format and, here, its time; another machine's without."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from chipwise.compiler import plan_sheet as sheets
from chipwise.compiler.plan_sheet import formats, named, plan_sheet
from chipwise.compiler.quantizers import quantize
from chipwise.core.device import Device, Machine
from chipwise.core.plan import Choice, Plan
from chipwise.core.plan_sheet import PlanSheet
from chipwise.devices.detect import detect
from chipwise.networks.layers import layer_rows
from chipwise.networks.onnx_file import from_bytes

DEVICE = Device("x", "cpu", peak_flops={"fp32": 1e11}, bandwidth_bytes_s=1e10)


@pytest.fixture(autouse=True)
def _no_cache(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "measure_peaks", lambda machine: DEVICE)
    monkeypatch.setattr(sheets, "ceiling", lambda quick, machine: (quick, ""))
    monkeypatch.setattr(sheets, "cached_machine", lambda machine: None)


def opened(plan: Plan, machine: Machine | None = None) -> PlanSheet:
    model = named(plan.model)
    rows = layer_rows(from_bytes(model, "x"), plan.manifest.choice.batch)
    return plan_sheet(plan, "x.plan", model, rows, machine or detect())


@pytest.fixture
def float_plan(plan: Plan, source: bytes) -> Plan:
    choice = Choice("onnxruntime")
    return replace(plan, model=source, manifest=replace(plan.manifest, choice=choice))


@pytest.fixture
def int8_plan(float_plan: Plan) -> Plan:
    calibration = np.repeat(float_plan.sample_inputs[0][None], 4, axis=0)
    model = quantize("onnxruntime", float_plan.model, calibration, detect(), ())
    choice = Choice("onnxruntime", "int8", quantizer="onnxruntime")
    return replace(float_plan, model=model, manifest=replace(float_plan.manifest, choice=choice))


def test_layers_are_timed_against_the_roofline(float_plan: Plan) -> None:
    sheet = opened(float_plan)
    (layer,) = (each for each in sheet.layers if each.op == "Gemm")
    assert (layer.format, layer.flops) == ("fp32", 10 * (2 * 64 + 1))
    assert layer.time_s is not None
    assert layer.floor_s == pytest.approx(layer.moved_bytes / 1e10)
    assert layer.bound == "memory"
    assert sheet.work == {"fp32": layer.flops}
    assert sheet.layers_s == pytest.approx(sum(each.time_s or 0 for each in sheet.layers) + sheet.beside_s)
    assert sheet.denormal_weights == 0
    assert sheet.denormal_values == {}
    assert sheet.notes == ()


def test_layers_of_a_plan_with_streams_are_timed_alone(float_plan: Plan) -> None:
    choice = Choice("onnxruntime", streams=2)
    sheet = opened(replace(float_plan, manifest=replace(float_plan.manifest, choice=choice)))
    assert any(each.time_s is not None for each in sheet.layers)
    assert sheet.notes == ("layers are timed in one request alone; the plan keeps 2 in flight",)


def test_int8_layers_are_told_from_float_ones(int8_plan: Plan) -> None:
    sheet = opened(int8_plan)
    (layer,) = (each for each in sheet.layers if each.op == "Gemm")
    assert layer.format == "int8"
    assert not any("Quantize" in each.op for each in sheet.layers)
    assert sheet.work == {"int8": layer.flops}
    assert layer.floor_s is None  # no peak is known of int8
    assert sheet.peak_share is None
    kept = formats(ir.serde.deserialize_model(onnx.load_model_from_string(named(int8_plan.model))), "bf16")
    assert {kept[each.name] for each in sheet.layers} <= {"int8", "bf16"}


def test_what_multiplies_eight_bit_weights_in_float_is_no_int8_layer() -> None:
    text = '<ir_version: 8, opset_import: ["": 17]> g (float[1, 2] x) => (float[1, 2] y) '
    text += "<int8[2, 2] w = {1, 2, 3, 4}, float s = {0.5}, int8 z = {0}> "
    text += "{ d = DequantizeLinear(w, s, z) [n] y = MatMul(x, d) }"
    assert formats(ir.serde.deserialize_model(onnx.parser.parse_model(text)), "int8")["n"] == "fp32"


def test_a_plan_of_another_machine_is_shown_without_times(float_plan: Plan) -> None:
    sheet = opened(float_plan, replace(detect(), cpu="Another"))
    assert sheet.layers_s is None
    assert all(each.time_s is None and each.floor_s is None for each in sheet.layers)
    assert any("another machine" in note for note in sheet.notes)
    assert not sheet.peaks


def test_a_runtime_without_kernel_times_says_so(float_plan: Plan) -> None:
    facts = replace(float_plan.manifest, choice=Choice("reference"))
    sheet = opened(replace(float_plan, manifest=facts))
    assert sheet.beside_s is None
    assert sheet.notes == ("layers are not timed: reference has no times of kernels",)


def test_a_peak_that_a_layer_exceeds_is_doubted(float_plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = replace(DEVICE, peak_flops={"fp32": 1.0})
    monkeypatch.setattr(sheets, "measure_peaks", lambda machine: slow)
    monkeypatch.setattr(sheets, "ceiling", lambda quick, machine: (quick, ""))
    assert any("was disturbed" in note for note in opened(float_plan).notes)


def test_denormal_values_are_found(float_plan: Plan) -> None:
    tiny = tuple(np.full_like(array, 1e-41) for array in float_plan.sample_inputs)
    proto = onnx.load_model_from_string(float_plan.model)
    for tensor in proto.graph.initializer:
        if tensor.name == "b":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.zeros(10, np.float32), "b"))
    made = replace(float_plan, model=proto.SerializeToString(), sample_inputs=tiny)
    found = opened(made).denormal_values
    assert found is not None
    assert sum(found.values()) == 10  # every score
