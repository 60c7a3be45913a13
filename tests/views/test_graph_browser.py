"""The page of a network in a real browser: no message, no request, nothing cut off; groups, keys, search and zoom."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chipwise.core.computation import Computation, Step
from chipwise.views.computation_picture import computation_html
from chipwise.views.graph_picture import graph_html

from .test_graph_picture import chain, inspection

pytestmark = pytest.mark.runtime
BLOCKS = [f"stage{place // 24}.{place % 24 // 3}.conv{place % 3}" for place in range(96)]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("graphs")
    long = "a_very_long_name_without_any_place_to_break_it" * 3
    endless = [f"stage{place // 40}.conv{place % 40}" for place in range(1200)]
    steps = (Step("x", (), (3.0,), (2.0,)), Step("× 2", (0,), (6.0,), (1.0,)))
    made = {
        "blocks": graph_html(inspection(chain(BLOCKS))),
        "long": graph_html(inspection(chain([f"{long}{place}" for place in range(5)]))),
        "endless": graph_html(inspection(chain(endless))),
        "grouped": graph_html(inspection(chain([f"{long}{place // 40}.conv{place % 40}" for place in range(80)]))),
        "values": computation_html(Computation(long, steps)),
    }
    for name, text in made.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in made}


@pytest.fixture
def page(opened: Any, pages: dict[str, Path]) -> Iterator[Any]:
    with opened(pages["blocks"], 1280) as shown:
        yield shown


def seen(page: Any) -> int:
    return int(page.evaluate("document.querySelectorAll('#boxes .box:not(.gone)').length"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", ["blocks", "long", "values"])
def test_page(opened: Any, pages: dict[str, Path], name: str, width: int, scheme: str) -> None:
    with opened(pages[name], width, scheme) as page:
        if name != "values":
            assert page.evaluate("document.scrollingElement.scrollHeight <= innerHeight")
            tools = "[...document.querySelectorAll('header button, header input')]"
            assert page.evaluate(f"{tools}.every(e => e.getBoundingClientRect().right <= innerWidth)")


def test_dark_and_light_differ(browser: Any, pages: dict[str, Path]) -> None:
    colours = []
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        page.goto(pages["blocks"].as_uri())
        colours.append(page.evaluate("getComputedStyle(document.querySelector('.body')).fill"))
        page.close()
    assert colours[0] != colours[1]


def test_groups_open_and_close(page: Any) -> None:
    page.click("#none")
    assert seen(page) == 4
    page.click("#b0")
    assert seen(page) == 3 + 8
    page.keyboard.press("Enter")  # the frame has the focus now
    assert seen(page) == 4
    page.keyboard.press("Enter")
    page.click("#all")
    assert seen(page) == len(BLOCKS)
    assert page.evaluate("document.querySelectorAll('.edge').length") > len(BLOCKS)


def test_no_box_lies_on_another(page: Any) -> None:
    page.click("#all")
    overlap = """() => {
      const boxes = [...document.querySelectorAll('#boxes .box:not(.gone) .body')].map(e => e.getBoundingClientRect());
      return boxes.some((a, i) => boxes.slice(i + 1).some(b =>
        a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1));
    }"""
    assert not page.evaluate(overlap)


def test_search_opens_what_it_finds(page: Any) -> None:
    page.click("#none")
    page.keyboard.press("/")
    page.keyboard.type("stage2.5.conv1")
    assert page.inner_text("#about").startswith("1 found")
    page.keyboard.press("Enter")
    shown = "[...document.querySelectorAll('.found.box:not(.gone) title')]"
    assert page.evaluate(f"{shown}.some(e => e.textContent.startsWith('stage2.5.conv1'))")
    page.keyboard.press("Escape")
    assert page.evaluate("document.querySelectorAll('.found').length") == 0


def test_keys_and_wheel_move_and_zoom(page: Any) -> None:
    def place() -> str:
        return str(page.evaluate("document.getElementById('world').getAttribute('transform')"))

    page.keyboard.press("0")
    before = place()
    page.keyboard.press("ArrowDown")
    assert place() != before
    page.keyboard.press("0")
    assert place() == before
    page.mouse.move(640, 500)
    page.mouse.wheel(0, -300)
    page.wait_for_function(
        "before => document.getElementById('world').getAttribute('transform') !== before", arg=before
    )
    page.keyboard.press("0")
    page.mouse.move(200, 500)
    page.mouse.down()
    page.mouse.move(300, 560, steps=3)
    page.mouse.up()
    assert place() != before


def test_details_are_said(page: Any) -> None:
    page.click("#all")
    page.hover("#boxes .box:not(.gone) .body")
    assert "parameters" in page.inner_text("#about")
    page.focus("#search")
    for _ in range(8):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.matches('.box, .frame, button')")


def test_fit_shows_all_of_a_long_network(browser: Any, pages: dict[str, Path]) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(pages["endless"].as_uri())
    page.click("#all")
    assert seen(page) == 1200
    extent = """() => {
      const [world, view] = ['world', 'view'].map(id => document.getElementById(id).getBoundingClientRect());
      return [world.top >= view.top, world.bottom <= view.bottom, world.left >= view.left, world.right <= view.right];
    }"""
    assert not all(page.evaluate(extent)), "it opens at a size that can be read"
    page.click("#fit")
    assert all(page.evaluate(extent))
    scale = "document.getElementById('world').transform.baseVal[1].matrix.a"
    small = page.evaluate(scale)
    assert small < 0.02
    page.click("#in")
    assert page.evaluate(scale) == pytest.approx(small * 1.25)
    page.click("#fit")
    page.set_viewport_size({"width": 800, "height": 500})
    page.wait_for_function(f"small => {scale} < small", arg=small)
    assert all(page.evaluate(extent))
    page.close()


def test_long_titles_of_groups_end_with_their_frame(browser: Any, pages: dict[str, Path]) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(pages["grouped"].as_uri())
    page.click("#all")
    frames = page.evaluate("""() => [...document.querySelectorAll('.frame:not(.gone)')].map(frame => {
      const [rect, text] = [frame.querySelector('rect'), frame.querySelector('text')];
      return [text.getBoundingClientRect().right < rect.getBoundingClientRect().right, text.textContent,
        frame.querySelector('title').textContent];
    })""")
    assert len(frames) == 2
    for fits, said, whole in frames:
        assert fits
        assert said.endswith("…")
        assert "to_break_it0" in whole or "to_break_it1" in whole
    page.close()
