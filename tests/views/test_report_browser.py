"""The page in a real browser: no console message, no request, nothing cut off, every picture loaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chipwise.views.report import report_html

from . import samples

pytestmark = pytest.mark.runtime


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    long = "a_very_long_name_without_any_place_to_break_it" * 3
    report = samples.report()
    rows = tuple(replace(row, name=long) for row in report.bench.rows)
    layers = tuple(replace(row, name=f"{long}{index}") for index, row in enumerate(report.inspection.layers))
    wide = replace(
        report,
        title=long,
        bench=replace(report.bench, rows=rows),
        inspection=replace(report.inspection, layers=layers),
        check=replace(report.check, class_names=tuple(f"{long}{name}" for name in samples.NAMES)),
    )
    folder = tmp_path_factory.mktemp("report")
    made = {}
    for name, record in (("usual", report), ("long names", wide)):
        made[name] = folder / f"{name}.html"
        made[name].write_text(report_html(record), encoding="utf-8")
    return made


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", ["usual", "long names"])
def test_page(opened: Any, pages: dict[str, Path], name: str, width: int, scheme: str) -> None:
    with opened(pages[name], width, scheme) as page:
        assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        assert page.evaluate("document.images.length") == 8
        if name == "usual":
            places = "[...document.querySelectorAll('.scroll, .tiles, section')]"
            assert not page.evaluate(f"{places}.some(e => e.scrollWidth > e.clientWidth + 1)")


def test_dark_and_light_differ(browser: Any, pages: dict[str, Path]) -> None:
    colours = []
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        page.goto(pages["usual"].as_uri())
        text = "getComputedStyle(document.querySelector('.chart .wide text')).fill"
        colours.append((page.evaluate("getComputedStyle(document.body).backgroundColor"), page.evaluate(text)))
        page.close()
    assert colours[0][0] != colours[1][0]
    assert colours[0][1] != colours[1][1]
