"""What a candidate should take is told by the measured machine where there is one, else by its peaks."""

from __future__ import annotations

import pytest

from chipwise.compiler import predict
from chipwise.core.device import Device, Machine
from chipwise.core.estimate import Interval
from chipwise.core.layer import Layer
from chipwise.core.plan import Choice

HERE = Machine("Example CPU", "x86_64", (), 2, 2)
PEAKS = Device("Example CPU", "cpu", peak_flops={"fp32": 1e11, "int8": 4e11}, bandwidth_bytes_s=1e10)
LAYERS = (Layer("c", "Conv", ((1, 8, 4, 4),), ((1, 16, 4, 4),), flops=10**9, read_bytes=1024, write_bytes=1024),)


def test_a_quick_look_ranks_number_formats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "cached_machine", lambda _: None)
    monkeypatch.setattr(predict, "measure_peaks", lambda _: PEAKS)
    found = predict.predictions(LAYERS, HERE)
    assert found.rank(Choice("openvino", "int8")) < found.rank(Choice("onnxruntime", "fp32")) < float("inf")
    assert found.of(Choice("openvino", "bf16")) is None
    assert found.rank(Choice("openvino", "bf16")) == float("inf")


def test_a_measured_runtime_goes_before_its_floor() -> None:
    found = predict.Predictions({("openvino", "fp32"): Interval(1.0, 2.0, 3.0)}, {"fp32": Interval(0.5, None, None)})
    assert found.rank(Choice("openvino", "fp32")) == 2.0
    assert found.rank(Choice("onnxruntime", "fp32")) == 0.5
    assert found.of(Choice("openvino", "fp32", streams=2)) == Interval(0.5, None, None), "measured one call at a time"
