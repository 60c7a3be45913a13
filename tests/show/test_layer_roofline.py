"""The roofline of layers: which points there are, and that the same estimate gives the same picture."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from chipwise.core.estimate import Interval
from chipwise.show.layer_dots import above_roof, bytes_rate, dots, frame, left_out, roofs, whole_dot
from chipwise.show.layer_roofline import roofline_file
from chipwise.show.layer_roofline_page import roofline_html

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
    assert above_roof(fast, ceilings, bandwidth).startswith("2 dots lie above the roof")
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
