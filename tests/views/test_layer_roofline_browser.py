"""The page of a roofline in a real browser: no message, no request, nothing cut off; hover, keys and the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chipwise.views.layer_roofline_page import roofline_html

from . import estimate_samples as samples

pytestmark = pytest.mark.runtime


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("roofline") / "roofline.html"
    path.write_text(roofline_html("net", samples.layered().forecasts[0].estimate, samples.CARD), encoding="utf-8")
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_page_fits_its_screen(opened: Any, page_file: Path, width: int, scheme: str) -> None:
    with opened(page_file, width, scheme) as page:
        outside = """() => {
          const view = document.getElementById('view').getBoundingClientRect();
          return [...document.querySelectorAll('#view text, #view circle')].map(e => [e, e.getBoundingClientRect()])
            .filter(([, box]) => box.left < view.left || box.right > view.right || box.bottom > view.bottom)
            .map(([e]) => e.textContent);
        }"""
        assert page.evaluate(outside) == []
        assert page.evaluate("document.querySelectorAll('#view circle').length") == 13


def test_dark_and_light_differ(browser: Any, page_file: Path) -> None:
    colours = []
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        page.goto(page_file.as_uri())
        colours.append(page.evaluate("getComputedStyle(document.querySelector('#view circle')).fill"))
        page.close()
    assert colours[0] != colours[1]


def test_what_is_pointed_at_is_said(opened: Any, page_file: Path) -> None:
    with opened(page_file, 1280) as page:
        page.hover("#view circle >> nth=2")
        assert page.inner_text("#about").startswith("stage0.conv2 (Conv)")
        assert "bound by memory" in page.inner_text("#about")
        assert page.evaluate("document.querySelectorAll('tr.at, circle.at').length") == 2
        page.hover("#view .whole")
        assert page.inner_text("#about").startswith("all layers")


def test_arrow_keys_go_through_the_layers(opened: Any, page_file: Path) -> None:
    with opened(page_file, 1280) as page:
        page.focus("#view")
        said = []
        for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "ArrowLeft"):
            page.keyboard.press(key)
            said.append(page.inner_text("#about").partition("\n")[0])
        assert said[0] == said[2] == "stage0.conv0 (BatchNormalization)"
        assert said[1] == "stage0.conv1 (Conv)"
        assert said[3] == "fc (Gemm)"


def test_a_row_of_the_table_finds_its_dot(opened: Any, page_file: Path) -> None:
    with opened(page_file, 390) as page:
        page.click("tr[data-dot] >> nth=5")
        assert page.inner_text("#about").startswith("stage1.conv1 (Conv)")


def test_it_is_drawn_anew_for_another_width(opened: Any, page_file: Path) -> None:
    with opened(page_file, 1280) as page:
        before = page.evaluate("document.getElementById('view').getAttribute('viewBox')")
        page.set_viewport_size({"width": 500, "height": 800})
        page.wait_for_function(
            "before => document.getElementById('view').getAttribute('viewBox') !== before", arg=before
        )
        assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
