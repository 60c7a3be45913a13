"""`chipwise formats`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chipwise.cli.formats import complete_format


def test_a_table_of_formats(cli: Any) -> None:
    ended = cli("formats", "--only", "int8, posit-8-1")
    assert ended.code == 0
    assert "posit (8,1)" in ended.out
    assert "bf16" not in ended.out


def test_gates(cli: Any) -> None:
    ended = cli("formats", "--gates")
    assert "full adder" in ended.out
    assert "10,848" in ended.out  # of the multiplier of 32 bits


def test_json(cli: Any) -> None:
    found = json.loads(cli("formats", "--gates", "--json").out)
    assert found["schema"] == "chipwise.formats/1"
    assert {"int8", "log-8-1-5-5-7", "posit-16-1"} <= {each["name"] for each in found["formats"]}
    assert found["circuits"][1] == {
        "name": "half adder", "bits": 1, "gates": 5, "depth": 3, "used_by": "", "area_um2": None,
    }  # fmt: skip


def test_a_picture_is_named_first(cli: Any, tmp_path: Path) -> None:
    path = tmp_path / "values.png"
    ended = cli("formats", "--only", "int4", "--picture", path)
    assert ended.out.splitlines()[0].strip() == str(path)
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--only", "posit-8-9"], "posit-8-1"), (["--network", "lenet5"], "--data"), (["--samples", "0"], "0 samples")],
)
def test_refusals_have_hints(cli: Any, arguments: list[str], said: str) -> None:
    ended = cli("formats", *arguments)
    assert ended.code == 2
    assert said in ended.err


def test_completion_goes_on_after_a_comma() -> None:
    assert complete_format("int8,posit-9") == ["int8,posit-9-1"]


def test_completion_imports_no_numpy() -> None:
    asked = "import sys; from chipwise.cli.formats import complete_format as c; c('int'); print('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout == "False\n"
