"""Recipes run, and give the numbers that they promise."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

RECIPES = Path(__file__).resolve().parent.parent.parent / "recipes"


def recipe(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"recipe_{name}", RECIPES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.runtime
def test_computational_graph(tmp_path: Path) -> None:
    """The numbers of the lecture notes."""
    made = recipe("computational_graph").main([str(tmp_path / "f.svg")])
    inputs = {step.label: round(step.gradient[0], 2) for step in made.steps if not step.reads}
    assert inputs == {"w0": -0.20, "x0": 0.39, "w1": -0.39, "x1": -0.59, "w2": 0.20}
    inner = [(step.label, round(step.value[0], 2), round(step.gradient[0], 2)) for step in made.steps if step.reads]
    assert inner == [
        ("×", -2.0, 0.20),
        ("×", 6.0, 0.20),
        ("+", 4.0, 0.20),
        ("+", 1.0, 0.20),
        ("−x", -1.0, -0.20),
        ("exp", 0.37, -0.53),
        ("+ 1", 1.37, -0.53),
        ("1 ÷ x", 0.73, 1.0),
    ]
    said = "".join(ET.parse(tmp_path / "f.svg").getroot().itertext())
    assert all(number in said for number in ("0.73", "-0.20", "0.39", "-0.39", "-0.59", "1.37", "-0.53"))


@pytest.mark.runtime
def test_graphs(capsys: pytest.CaptureFixture[str]) -> None:
    """Every way agrees (asserted inside), and every runtime that takes the branch takes both."""
    made = recipe("graphs").main(["--quick", "--json"])
    assert json.loads(capsys.readouterr().out) == made
    assert {"NumPy, by hand", "torch", "torch.compile"} <= {way["name"] for way in made["sum"]}
    assert "3 operations forward: 1 generated" in made["sum"][2]["note"]
    rows = {row["runtime"]: row for row in made["conditional"]}
    assert rows["onnxruntime"]["error"] == pytest.approx(0, abs=1e-5)
    assert rows["reference"]["error"] == pytest.approx(0, abs=1e-5)
    assert all(row["reason"] for row in rows.values() if row["error"] is None)


def test_kernels_on_a_photograph(tmp_path: Path) -> None:
    module = recipe("kernels_on_a_photograph")
    planes = list(module.main(["-o", str(tmp_path / "sheet.png")]).values())
    assert [plane.shape for plane in planes] == [(256, 256)] * 4 + [(128, 128)] * 2
    picture, first = planes[0], planes[1]
    wanted = sum(module.KERNELS[0][i][j] * picture[99 + i, 49 + j] for i in range(3) for j in range(3))
    assert first[100, 50] == pytest.approx(wanted)
    assert planes[4][10, 20] == picture[20:22, 40:42].max()
    assert planes[5][10, 20] == picture[20:22, 40:42].mean()
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert np.asarray(sheet).std() > 30


def test_kernels_on_a_given_photograph(tmp_path: Path) -> None:
    Image.new("RGB", (300, 201), (10, 200, 30)).save(tmp_path / "photo.jpg")
    planes = recipe("kernels_on_a_photograph").main([str(tmp_path / "photo.jpg"), "-o", str(tmp_path / "sheet.png")])
    assert planes["the picture"].shape == (172, 256)


@pytest.mark.runtime
@pytest.mark.parametrize(
    ("name", "words", "code"),
    [
        ("computational_graph", ["--help"], 0),
        ("computational_graph", ["/dev/null/f.svg"], 3),
        ("kernels_on_a_photograph", ["nofile.jpg"], 2),
        ("kernels_on_a_photograph", ["-o", "/dev/null/sheet.png"], 3),
    ],
)
def test_what_cannot_be_done_ends_as_a_command_does(name: str, words: list[str], code: int, tmp_path: Path) -> None:
    command = [sys.executable, str(RECIPES / f"{name}.py"), *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, done.stderr
    said = [line.partition(":")[0] for line in done.stderr.splitlines()]
    assert said in ([["error"], ["error", "hint"]] if code else [[]]), done.stderr
    assert not list(tmp_path.iterdir())
