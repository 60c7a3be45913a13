"""Factories of the user's: what they are for is known only when their outputs are."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import chipwise

pytest.importorskip("torch")
pytestmark = pytest.mark.runtime

FACTORY = """
from torch import nn

def sharper():
    return nn.Conv2d(3, 3, 3, padding=1)

def scores():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 6 * 10, 4))
"""
SHAPE = (3, 8, 12)


@pytest.fixture(autouse=True)
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "factories_here.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "factories_here", raising=False)


@pytest.mark.filterwarnings("ignore:no weights were given")
def test_a_picture_comes_out_where_it_looks_like_what_goes_in() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    runner = chipwise.load("factories_here:sharper", input_shape=SHAPE)
    assert runner.task.kind == "image"
    assert runner.task.preprocess.fit == "letterbox"  # what comes out should not be squeezed
    said = runner.predict(picture)
    assert [spec.shape for spec in said.outputs] == [(1, 3, 8, 12)]
    told = chipwise.load("factories_here:sharper", input_shape=SHAPE, preprocess="fit=stretch,scale=1")
    assert (told.task.preprocess.fit, told.task.preprocess.scale) == ("stretch", 1.0)
    (drawn,) = chipwise.run("factories_here:sharper", [picture], input_shape=SHAPE, output="out").predictions
    assert Path(drawn.drawn).stat().st_size


@pytest.mark.filterwarnings("ignore:no weights were given")
def test_scores_are_of_classes() -> None:
    runner = chipwise.load("factories_here:scores", input_shape=SHAPE)
    assert runner.task.kind == "classification"
    assert len(runner.predict(np.zeros((8, 12, 3), np.uint8)).top) == 4
