"""Curves as drawings and pages: they are well-formed, say what they show, and never read a name as markup."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from chipwise.views.curve_charts import error_curves
from chipwise.views.curve_page import curve_html, moved_html
from chipwise.views.curve_table import shown
from chipwise.views.moved_charts import moved_curves
from chipwise.views.moved_table import names_of

from . import curve_samples


def test_moved_pictures_are_drawn_and_told() -> None:
    record = curve_samples.moved()
    root = ET.fromstring(moved_curves(record, ".svg"))
    text = " ".join(root.itertext())
    assert all(name in text for name in ("mlp", "cnn", "knn", "shifted by, pixels", "times as large"))
    assert root.attrib["aria-label"].startswith(
        "Accuracy as the picture moves. Shifted by 0 to 4 pixels, accuracy on average: cnn 84.0%"
    )


def test_a_page_of_moved_pictures_holds_every_number() -> None:
    page = moved_html(replace(curve_samples.moved(), networks=("<b>", "b", "c")))
    assert "<b>" not in page
    assert page.count("&lt;b&gt;") >= 3
    assert page.count('<th scope="row">') == 8


def test_names_keep_their_folders_only_where_these_tell_them_apart() -> None:
    assert names_of(curve_samples.moved()) == ("mlp", "cnn", "knn")
    alike = replace(curve_samples.moved(), networks=("a/net", "b/net", "knn"))
    assert names_of(alike) == ("a/net", "b/net", "knn")


@pytest.mark.parametrize("name", ["curve_data", "curve_epochs"])
def test_learning_curves_are_drawn_and_told(name: str) -> None:
    record = curve_samples.RECORDS[name]()
    root = ET.fromstring(error_curves(record, ".svg"))
    text = " ".join(root.itertext())
    assert all(word in text for word in ("validation error", "training error", "overfits", "underfits", "plain"))
    assert record.lines[0].advice in root.attrib["aria-label"]


def test_a_page_of_a_curve_holds_every_point() -> None:
    record = curve_samples.epochs_curve()
    page = curve_html(replace(record, network="<b>"))
    assert "<b>" not in page
    assert page.count('<th scope="row">') == 60


def test_epochs_that_are_shown() -> None:
    points = curve_samples.epochs_curve().lines[0].points
    numbers = [point.epochs for point in shown(points)]
    assert {1, 25, 60} <= set(numbers)
    assert len(numbers) <= 12
    assert numbers == sorted(numbers)
