"""What the report says of a network elsewhere: four charts and a table, of estimates as on the what-if page."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from tests.views import samples

from chipwise.api.outlook import outlook_of
from chipwise.core.estimate import Interval, MemoryUse
from chipwise.core.report import Outlook, Report
from chipwise.core.what_if import Offer, ScalePoint
from chipwise.views import outlook_charts
from chipwise.views.report import report_html


@pytest.fixture(scope="module")
def outlook() -> Outlook:
    made = outlook_of("lenet5", 1)
    assert made is not None
    return made


def text_of(svg: str) -> str:
    return " ".join(" ".join(ET.fromstring(svg).itertext()).split())


def test_a_page_has_all_of_it(outlook: Outlook) -> None:
    page = report_html(Report("LeNet-5", samples.doctor(), outlook=outlook))
    assert page.count('<figure class="chart">') == 4
    assert "Nothing below was measured" in page
    best = [each for each in outlook.offers.offers if each.best]
    assert 0 < len(best) < len(outlook.offers.offers)
    assert all(each.device in page for each in best[:40])
    assert "Elsewhere" not in report_html(Report("Only a machine", samples.doctor()))


def test_what_is_not_known_leaves_no_gap(outlook: Outlook) -> None:
    here = replace(outlook.here, roofs=(), capacity_bytes=None)
    page = report_html(Report("LeNet-5", samples.doctor(), outlook=replace(outlook, here=here, training=None)))
    assert page.count('<figure class="chart">') == 1


def test_the_workload_is_the_same_as_on_the_page(outlook: Outlook) -> None:
    assert outlook.here.estimation.forecasts[0].estimate.workload.phase == "inference"
    assert outlook.training is not None
    assert (outlook.training.count, outlook.training.scaling[-1].count) == (8, 16)
    assert outlook_of("nothing-of-that-name", 1) is None


def test_memory_beyond_what_there_is() -> None:
    drawn = outlook_charts.memory_bars([("a step on A", MemoryUse(2**30, 2**30), 2**30)], 3.6)
    assert "2.00 GiB" in text_of(drawn)
    assert "a step on A: 2.00 GiB of 1.00 GiB" in drawn


def test_scaling_beside_linear() -> None:
    one = Interval(1.0, 1.0, 1.0)
    points = [ScalePoint(count, Interval(80.0 * count, 90.0 * count, 100.0 * count), one, one) for count in (1, 2, 4)]
    drawn = outlook_charts.scaling_curve(points, "image")
    assert "Scaling to 4 devices: 360 images a second, 100% of linear" in drawn
    assert "linear" in text_of(drawn)


def test_only_what_nothing_beats_is_named() -> None:
    def offer(name: str, seconds: float, joules: float | None, *best: str) -> Offer:
        energy = None if joules is None else Interval(joules, joules, joules)
        return Offer(name, "gpu", "fp32", Interval(seconds, seconds, seconds), energy, None, None, best)

    offers = [
        offer("Quick", 1e-3, 50.0, "energy"),
        offer("Frugal", 1e-1, 5.0, "energy"),
        offer("Worse", 1e-1, 90.0),
        offer("Dark", 1, None),
    ]
    said = text_of(outlook_charts.front(offers, "", 9.4))
    assert "Quick" in said
    assert "Frugal" in said
    assert "Worse" not in said
    assert "Worse" in text_of(outlook_charts.front(offers, "Worse", 9.4)), "this machine is always named"
