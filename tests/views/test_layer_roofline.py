"""The roofline of layers: which points there are, and that the same estimate gives the same picture."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from chipwise.core.estimate import EstimateRow, Interval
from chipwise.views.ink import LIGHT
from chipwise.views.layer_dots import above_roof, bytes_rate, dots, frame, left_out, roofs, whole_dot
from chipwise.views.layer_roofline import _draw, roofline_file
from chipwise.views.layer_roofline_page import roofline_html

from . import estimate_samples as samples

ONE = samples.layered().forecasts[0].estimate
HALF = replace(ONE, workload=replace(ONE.workload, precision="fp16"))


def test_every_layer_that_does_arithmetic_is_a_dot() -> None:
    made = dots(ONE)
    assert {dot.name for dot in made} == {row.name for row in ONE.rows} - {"flatten"}
    assert [dot.time_s for dot in made] == sorted((dot.time_s for dot in made), reverse=True)
    assert sum(dot.share for dot in made) == pytest.approx(1 - 2e-6 / sum(row.time_s for row in ONE.rows))
    assert left_out(ONE) == "1 layer without arithmetic is not drawn (0.1% of the time)"
    slow = replace(ONE, time_s=ONE.time_s.times(2))
    assert left_out(slow).endswith("(less than 0.1% of the time); 50.0% of the time is beside the layers")
    assert dots(slow)[0].share == pytest.approx(made[0].share / 2)
    first = made[0]
    assert first.intensity == pytest.approx(first.flops / first.moved_bytes)
    assert first.flops_s == pytest.approx(first.flops / first.time_s)


def test_all_layers_together_take_the_middle_or_else_the_sum() -> None:
    whole = whole_dot(ONE)
    assert whole is not None
    assert whole.flops_s == pytest.approx(sum(row.flops for row in ONE.rows) / ONE.time_s.mid)
    floor = whole_dot(replace(ONE, time_s=Interval(1.0, None, None)))
    assert floor is not None
    assert floor.time_s == pytest.approx(sum(row.time_s for row in ONE.rows))
    assert whole_dot(replace(ONE, rows=())) is None


def test_the_frame_holds_points_and_roofs() -> None:
    made, ceilings = dots(ONE), roofs(samples.CARD, "fp16")
    assert [roof.name for roof in ceilings] == ["fp16", "fp32"]
    span = frame(made, ceilings, samples.CARD.bandwidth_bytes_s)
    assert all(span.left < dot.intensity < span.right and span.bottom < dot.flops_s < span.top for dot in made)
    assert span.top > ceilings[0].flops_s
    assert span.right > ceilings[0].flops_s / samples.CARD.bandwidth_bytes_s
    assert frame((), (), None).left < frame((), (), None).right


def test_points_above_the_roof_are_explained() -> None:
    ceilings, bandwidth = roofs(samples.CARD, "fp32"), samples.CARD.bandwidth_bytes_s
    assert above_roof([dot for dot in dots(ONE) if dot.name != "fc"], ceilings, bandwidth) == ""
    fast = [replace(dot, flops_s=2 * bandwidth * dot.intensity) for dot in dots(ONE)[:2]]
    assert above_roof(fast, ceilings, bandwidth).startswith("2 dots lie above the slope: caches serve traffic")
    boosted = above_roof([replace(fast[0], flops_s=1.1 * ceilings[0].flops_s)], ceilings, bandwidth)
    assert boosted == "1 dot lies above the roof: the clock exceeds the stated one"
    assert above_roof(fast[:1], ceilings, bandwidth).startswith("1 dot lies")
    assert above_roof(fast, (), bandwidth) == above_roof(fast, ceilings, None) == ""


def test_bandwidth_is_decimal() -> None:
    assert [bytes_rate(value) for value in (1.008e12, 25.6e9, 999e6, 0.5)] == [
        "1.01 TB/s", "25.6 GB/s", "999 MB/s", "0.500 B/s",
    ]  # fmt: skip


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_pictures_are_the_same_each_time(suffix: str) -> None:
    made = roofline_file("net", ONE, samples.CARD, suffix)
    assert made == roofline_file("net", ONE, samples.CARD, suffix)
    assert made.startswith(b"<svg" if suffix == ".svg" else b"\x89PNG")


def test_svg_says_what_it_shows_and_escapes_names() -> None:
    hostile = replace(ONE, rows=(replace(ONE.rows[0], name="<script>$x$"), *ONE.rows[1:]))
    svg = roofline_file("a & b", hostile, samples.CARD, ".svg").decode()
    assert "<script>" not in svg
    assert "a &amp; b on Example Card 4090" in svg
    assert "prefers-color-scheme: dark" in svg
    assert "memory 1.01 TB/s" in svg
    assert "fp32 82.6 TFLOP/s" in svg
    assert "fp16 165 TFLOP/s" in roofline_file("net", HALF, samples.CARD, ".svg").decode()


def test_names_cover_neither_names_nor_dots_nor_lines() -> None:
    """Of layers that crowd where the slope begins, as additions of a residual network do."""
    bandwidth = samples.CARD.bandwidth_bytes_s
    crowd = [
        EstimateRow(f"layer{place}/Add", 4e-4, "memory", "Add", "elementwise", 0.1 * 6e8, 6e8) for place in range(3)
    ] + [
        EstimateRow(f"conv{place}", 1e-4 + place * 1e-6, "compute", "Conv", "conv", 6e9, 6e9 / (20 + place))
        for place in range(9)
    ]
    total = sum(row.time_s for row in crowd)
    expected = replace(ONE, rows=tuple(crowd), time_s=Interval(total / 2, total, total * 2))
    figure = Figure(figsize=(9.4, 5.6), layout="constrained")
    _draw(figure, LIGHT, "net", expected, samples.CARD)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    names = [text for text in axes.texts if not text.get_rotation() and text.get_text()]
    assert {"fp32 82.6 TFLOP/s", "layer0/Add, 19%"} <= {text.get_text() for text in names}
    boxes = [Text.get_window_extent(text).padded(-2) for text in names]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    slope = next(text for text in axes.texts if text.get_text() == "memory 1.01 TB/s")
    start = slope.get_window_extent().padded(-3)
    along = [(start.x0 + start.width * part / 20, start.y0 + start.height * part / 20) for part in range(21)]
    middle = axes.transData.transform([(row.flops / row.moved_bytes, row.flops / row.time_s) for row in crowd])
    assert not any(box.contains(x, y) for box in boxes for x, y in [*along, *middle])
    assert all(math.dist(one, other) > 10 for one in along for other in middle)
    assert axes.bbox.contains(*along[0])
    ridge = 82.6e12 / bandwidth
    drawn = axes.transData.transform([(x, x * bandwidth) for x in np.geomspace(axes.get_xlim()[0], ridge, 300)])
    assert not any(box.contains(x, y) for box in boxes for x, y in drawn)


def test_what_is_hardly_known_is_drawn_too() -> None:
    bare = replace(samples.CARD, peak_flops={}, bandwidth_bytes_s=None)
    for expected in (ONE, replace(ONE, rows=()), replace(ONE, rows=ONE.rows[:1])):
        assert roofline_file("net", expected, bare, ".svg").startswith(b"<svg")
        assert "<table>" in roofline_html("net", expected, bare)


def test_page_has_every_layer_and_escapes_names() -> None:
    hostile = replace(ONE, rows=(replace(ONE.rows[0], name="</script><b>"), *ONE.rows[1:]), notes=("<i>n",))
    page = roofline_html("<net>", hostile, samples.CARD)
    assert page.count("<tr") == len(ONE.rows) + 1
    assert "</script><b>" not in page
    assert "<i>n" not in page
    assert "&lt;net&gt;" in page
    assert "Work not known for MyAttention, NonMaxSuppressionPlus" in page
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert data is not None
    assert len(json.loads(data[1])["dots"]) == len(ONE.rows) - 1
