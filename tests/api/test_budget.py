"""A budget is wall time: what reading and exporting a network took is not left for the search."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import onnx.parser
import pytest

import chipwise
from chipwise.api import verbs
from chipwise.compiler import compile as compile_module

RELU = '<ir_version: 8, opset_import: ["" : 17]> g (float[N, 8] x) => (float[N, 8] y) { y = Relu(x) }'


@pytest.mark.parametrize(("export_s", "left_s"), [(7.0, 53.0), (50.0, 30.0)])
def test_the_search_gets_what_the_export_leaves_and_at_least_half(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, export_s: float, left_s: float
) -> None:
    given: list[float] = []

    def watched(network: Any, source: bytes, layers: Any, options: Any, *_: Any, **__: Any) -> None:
        given.append(options.budget_s)

    clock = iter((100.0, 100.0 + export_s))
    monkeypatch.setattr(verbs, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(compile_module, "compile_plan", watched)
    onnx.save(onnx.parser.parse_model(RELU), tmp_path / "relu.onnx")
    chipwise.compile(tmp_path / "relu.onnx", budget_s=60.0)
    assert given == [left_s]
