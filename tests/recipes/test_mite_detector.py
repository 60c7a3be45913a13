"""The worked recipe of a staged pipeline finds most mites on boards that it has not seen, and draws them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from chipwise.tasks.pictures import open_picture

pytest.importorskip("torch")
pytest.importorskip("cv2")
pytestmark = pytest.mark.runtime

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "mite_detector.py"


@pytest.fixture(scope="module")
def recipe() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mite_detector", RECIPE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mite_detector"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_boards_are_seeded_and_the_stages_find_the_mites(recipe: ModuleType) -> None:
    board, again, other = (recipe.draw_board(seed) for seed in (3, 3, 4))
    assert np.array_equal(board.picture, again.picture)
    assert not np.array_equal(board.picture, other.picture)
    data = recipe.training_crops([board, other])
    assert data.class_names == ("debris", "mite")
    assert int(data.labels.sum()) >= 38  # of 40
    assert len(data) > 60


def test_each_box_and_each_mite_counts_once(recipe: ModuleType) -> None:
    mites = np.array([[50.0, 50.0], [80.0, 80.0]])
    boxes = np.array([[40, 40, 60, 60], [42, 42, 60, 60], [80, 80, 100, 100]])
    assert recipe.matched(boxes, mites) == [(0, 0)]
    assert recipe.matched(boxes[:0], mites) == []


def test_quick_run(recipe: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = recipe.main(["--quick", "-o", str(tmp_path)])
    assert result.proposed.value > 0.95
    assert result.recall.value > 0.7
    assert result.precision.value > 0.6
    said = capsys.readouterr().out
    assert "seed 0" in said
    assert "recall: " in said
    drawn, plain = (open_picture(tmp_path / part / "board-0.png") for part in ("found", "."))
    assert drawn.shape == plain.shape
    assert (drawn != plain).any()
