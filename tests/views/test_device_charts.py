"""Roofs and history: valid SVG that follows light and dark, PNG, names where they belong, nothing overlaps."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import combinations, pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from chipwise.core.device import Device
from chipwise.core.errors import InputError
from chipwise.views import device_charts
from chipwise.views.ink import LIGHT
from chipwise.views.labels import placed, spread

from . import device_samples as samples


def words(svg: bytes) -> str:
    return " ".join(part.strip() for part in ET.fromstring(svg).itertext() if part.strip())


def test_roofs_name_formats_ridges_and_devices() -> None:
    made = device_charts.roofline(samples.lines(samples.OLD, samples.NEW), None, ".svg")
    assert made == device_charts.roofline(samples.lines(samples.OLD, samples.NEW), None, ".svg")
    shown = words(made)
    for part in ("Example X1, 400 GB/s", "fp32, tf32, fp16_vector 82.6 TFLOP/s", "int8 661 TOP/s", "ridge 655", "25.0"):
        assert part in shown
    assert "prefers-color-scheme: dark" in made.decode()
    label = ET.fromstring(made).get("aria-label")
    assert label is not None
    assert "Example X1 fp64 0.500 TFLOP/s, fp32 10.0 TFLOP/s" in label


def test_one_format_can_be_asked_for() -> None:
    shown = words(device_charts.roofline(samples.lines(samples.NEW), "fp32", ".svg"))
    assert "fp32 82.6 TFLOP/s" in shown
    assert "int8" not in shown.replace("integers", "")


def test_pictures_are_png_too() -> None:
    for data in (
        device_charts.roofline(samples.lines(samples.NEW), None, ".png"),
        device_charts.history(samples.lines(samples.NEW, samples.OLD, samples.BOARD), "fp32", ".png"),
    ):
        assert Image.open(io.BytesIO(data)).size[0] > 1000


@pytest.mark.parametrize(
    ("known", "precision", "said"),
    [
        ((), None, "0 roofs"),
        ((samples.NEW,) * 7, None, "7 roofs"),
        ((samples.BOARD,), None, "bandwidth of Example Edge"),
        ((samples.OLD,), "int8", "no int8 peak of Example X1"),
    ],
)
def test_what_has_no_roof_is_refused(known: tuple[Device, ...], precision: str | None, said: str) -> None:
    with pytest.raises(InputError, match=said):
        device_charts.roofline(samples.lines(*known), precision, ".svg")


def test_history_has_three_panels_and_names_what_it_shows() -> None:
    shown = words(device_charts.history(samples.lines(samples.OLD, samples.NEW, samples.BOARD), "fp32", ".svg"))
    for part in ("fp32 peak, TFLOP/s; hollow: 16 bit", "power, W", "memory bandwidth, GB/s"):
        assert part in shown
    assert shown.count("Example X1") == 3
    assert shown.count("Example Edge") == 1  # only its power is known
    with pytest.raises(InputError, match="no device with a year"):
        device_charts.history(samples.lines(replace(samples.OLD, year=None)), "fp32", ".svg")


def test_history_holds_every_point_of_16_bits_and_names_those_that_have_no_other() -> None:
    """The highest peaks of today are of 16 bits, an order above what is reached with 32."""
    half = replace(samples.NEW, name="Only Half", peak_flops={"bf16": 2250e12})
    figure = Figure(figsize=(9.4, 11.4), layout="constrained")
    device_charts._draw_history(figure, LIGHT, samples.lines(samples.OLD, half), "fp32")
    low, high = figure.axes[0].get_ylim()
    points = [float(value) for line in figure.axes[0].lines for value in line.get_ydata()]
    assert max(points) == 2250
    assert all(low < value < high for value in points)
    assert "Only Half" in {text.get_text() for text in figure.axes[0].texts}
    assert "side by side" in figure.axes[2].get_xlabel()


def test_every_roof_of_a_picture_has_a_colour_of_its_own() -> None:
    named = [replace(samples.OLD, name=f"X{place}", bandwidth_bytes_s=4e11 + 1e10 * place) for place in range(6)]
    figure = Figure(figsize=(9.4, 5.6), layout="constrained")
    lines = samples.lines(*named)
    device_charts._draw_roofs(figure, LIGHT, lines, [[("fp32", 1e13, 25.0)]] * 6)
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert len({str(line.get_color()) for line in legend.get_lines()}) == 6


def test_a_crowd_is_drawn_and_named_as_far_as_there_is_room() -> None:
    crowd = [replace(samples.OLD, name=f"Device number {place}", year=2000 + place % 4) for place in range(120)]
    shown = words(device_charts.history(samples.lines(*crowd), "fp32", ".svg"))
    assert 3 < shown.count("Device number") < 360


SPOTS = st.tuples(st.floats(0, 200), st.floats(0, 100))
SIZES = st.tuples(st.floats(5, 60), st.just(8.0))


@given(st.lists(st.tuples(SPOTS, SIZES), max_size=25))
def test_names_never_overlap_and_stay_inside(marks: list[tuple[tuple[float, float], tuple[float, float]]]) -> None:
    middles = placed([spot for spot, _ in marks], [size for _, size in marks], (0, 0, 200, 100))
    boxes = [
        (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        for (x, y), (_, (width, height)) in [(m, k) for m, k in zip(middles, marks, strict=True) if m is not None]
    ]
    assert all(min(box) >= -1e-9 and box[2] <= 200 + 1e-9 and box[3] <= 100 + 1e-9 for box in boxes)
    for one, other in combinations(boxes, 2):
        apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
        assert apart


@given(st.lists(st.floats(0, 1), max_size=12))
def test_spread_keeps_order_and_distance(places: list[float]) -> None:
    moved = spread(places, 0.05, 0.0, 1.0)
    order = sorted(range(len(places)), key=lambda index: places[index])
    for before, after in pairwise(order):
        assert moved[after] - moved[before] >= 0.05 - 1e-3
    assert all(-1e-6 <= place <= 1 + 1e-6 for place in moved)
