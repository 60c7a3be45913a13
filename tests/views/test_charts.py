"""Charts: valid SVG, deterministic, in the page's colours, for awkward numbers too."""

from __future__ import annotations

import io
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from PIL import Image

from chipwise.core.report import Training
from chipwise.views import charts

from . import samples

CHARTS: dict[str, Callable[[], str]] = {
    "curves": lambda: charts.training_curves(samples.training()),
    "candidates": lambda: charts.candidates(samples.manifest()),
    "latencies": lambda: charts.latencies(samples.bench()),
    "confusion": lambda: charts.confusion(samples.confusion(), samples.NAMES),
    "shares": lambda: charts.layer_shares(samples.inspection().layers),
}


def words(svg: str) -> str:
    return " ".join(part.strip() for part in ET.fromstring(svg).itertext() if part.strip())


@pytest.mark.parametrize("name", CHARTS)
def test_svg_is_valid_the_same_every_time_and_in_the_page_colours(name: str) -> None:
    made = CHARTS[name]()
    assert made == CHARTS[name]()
    root = ET.fromstring(made)
    assert root.get("role") == "img"
    assert root.get("aria-label")
    assert "var(--" in made
    assert "#01020" not in made
    assert "<style" not in made
    assert "20" + "26" not in made  # no date


def test_curves_name_the_kept_epoch() -> None:
    assert "kept: epoch 24, 98.96%" in words(CHARTS["curves"]())


def test_candidates_show_times_the_chosen_one_and_the_baseline() -> None:
    made = words(CHARTS["candidates"]())
    assert "openvino fp32 x1, chosen" in made
    assert "24.6 µs" in made
    assert "ONNX Runtime's default, 51.2 µs" in made
    assert "rejected: accuracy" in made


def test_confusion_shows_counts() -> None:
    assert words(CHARTS["confusion"]()).split().count("35") == 6


@pytest.mark.parametrize("loss", [math.nan, math.inf, 0.0])
@pytest.mark.parametrize("epochs", [1, 2])
def test_curves_of_short_and_diverged_trainings(loss: float, epochs: int) -> None:
    record: Training = samples.training(epochs)
    history = (replace(record.history[0], train_loss=loss, val_loss=loss), *record.history[1:])
    assert "<svg" in charts.training_curves(replace(record, history=history, best_epoch=1))


def test_equal_times_and_one_candidate() -> None:
    still = replace(samples.timing(10), quantiles_s=(1e-5,) * 21)
    row = replace(samples.candidates()[0], timing=still)
    made = charts.candidates(replace(samples.manifest(), candidates=(row,), speedup=None))
    assert "10.0 µs" in words(made)


def test_shares_of_a_network_without_work() -> None:
    row = replace(samples.inspection().layers[5], read_bytes=0, write_bytes=0)
    assert "<svg" in charts.layer_shares((row,))


def test_curves_as_a_picture_file() -> None:
    data = charts.training_png(samples.training())
    picture = Image.open(io.BytesIO(data))
    assert picture.format == "PNG"
    assert picture.width > 1000
    assert data == charts.training_png(samples.training())


def test_no_pyplot() -> None:
    code = "import sys, chipwise.views.report; print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
