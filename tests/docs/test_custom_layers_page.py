"""The page on custom layers: its code runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import onnx
import onnx.parser
import pytest

from chipwise.core.custom_layers import forget

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "custom-layers.md"
GRAPH = """<ir_version: 8, opset_import: ["": 17, "my": 1]> g (float[N, 3] x) => (float[N, 3] y)
    { a = Neg (x)  b = my.Gate <slope = 2.0> (a)  y = Relu (b) }"""


def test_code_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx.save(onnx.parser.parse_model(GRAPH), tmp_path / "gated.onnx")
    monkeypatch.chdir(tmp_path)
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(compile(code, str(PAGE), "exec"), {})
    forget("my::Gate")
    said = capsys.readouterr().out
    assert "my::Gate" in said
    assert "('custom layer my::Gate',)" in said
    assert "(2, 3)" in said
