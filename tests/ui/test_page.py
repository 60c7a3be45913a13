"""The what-if page in a real browser: every control works, by keyboard alone too, and the console stays empty."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from .conftest import Shown

pytestmark = pytest.mark.runtime
pytest.importorskip("uvicorn", reason="needs the extra serve")
READY = "#answer[aria-busy=false]:not(.stale)"
OFFERED = "#chart-offers[aria-busy=false]"
Opened = Callable[..., AbstractContextManager[Any]]
SMALL = "?network=lenet5&batch=64&on=DGX+A100"


@pytest.fixture
def opened(watched: Callable[[int, str], Any], shown: Shown) -> Opened:
    """Open the page; it must ask nobody else, and, unless `quiet` is false, never say anything."""

    @contextmanager
    def open_page(query: str = SMALL, width: int = 1280, scheme: str = "light", *, quiet: bool = True) -> Iterator[Any]:
        found = watched(width, scheme)
        found.page.goto(f"{shown.url}{query}")
        yield found.page
        assert [url for url in found.asked if not url.startswith((shown.url, "data:,"))] == []
        assert not quiet or not found.said
        found.page.close()

    return open_page


def settled(page: Any) -> Any:
    page.wait_for_selector(READY)
    page.wait_for_selector(OFFERED)
    return page


def chosen(page: Any) -> dict[str, str]:
    return dict(page.evaluate("Object.fromEntries(new URLSearchParams(location.search))"))


def shown_text(page: Any) -> str:
    """All that is shown, so that it can be told that something changed."""
    return str(page.inner_text("#answer")) + str(page.inner_text("#title")) + str(page.inner_text("#state"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_its_screen(opened: Opened, width: int, scheme: str) -> None:
    with opened(width=width, scheme=scheme) as page:
        settled(page)
        assert page.inner_text("#title") == "lenet5 on 8 × A100 SXM4 40GB"
        assert page.inner_text("#fits") == "fits"
        for _ in range(3):
            page.click("details:not([open]) summary")
        assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
        wide = "[...document.querySelectorAll('section')].some(each => each.scrollWidth > each.clientWidth + 1)"
        assert not page.evaluate(wide)
        blank = """() => [...document.querySelectorAll('canvas')].filter(view => {
          const data = view.getContext('2d').getImageData(0, 0, view.width, view.height).data;
          return data.every(value => value === 0);
        }).length"""
        assert page.evaluate(blank) == 0, "every chart is drawn"


CHANGES = {
    "network": "lenet-300-100", "phase": "inference", "batch": "128", "precision": "amp", "on": "GeForce RTX 3090",
    "count": "4", "link": "Ethernet 10G", "optimizer": "plain-sgd", "micro_batches": "4", "zero": "3",
}  # fmt: skip


def test_every_control_changes_what_is_shown(opened: Opened) -> None:
    with opened() as page:
        settled(page)
        named = page.eval_on_selector_all("[name]:not(meta)", "all => all.map(each => each.name)")
        assert set(named) == {*CHANGES, "pipeline", "compiled", "channels_last", "checkpointing", "against"}
        for name, value in CHANGES.items():
            before = shown_text(page)
            if page.eval_on_selector(f"#choose-{name}", "each => each.tagName") == "SELECT":
                page.select_option(f"#choose-{name}", value)
            else:
                page.fill(f"#choose-{name}", value)
                page.press(f"#choose-{name}", "Tab")
            assert chosen(page)[name] == value
            settled(page)
            assert shown_text(page) != before, name
            page.goto(page.url.partition("?")[0] + SMALL)
            settled(page)
        page.goto(f"{page.url.partition('?')[0]}{SMALL}&count=4")  # it has no layers for 8 stages
        settled(page)
        for name in ("compiled", "checkpointing", "pipeline"):
            before = shown_text(page)
            page.check(f"#choose-{name}")
            assert chosen(page)[name] == "1"
            settled(page)
            assert shown_text(page) != before, name
            page.uncheck(f"#choose-{name}")
            settled(page)
        page.check("#choose-channels_last")
        settled(page)
        assert chosen(page)["channels_last"] == "1"
        page.select_option("#choose-against", "energy")
        assert chosen(page)["against"] == "energy"
        assert "energy for a thousand images" in page.inner_html("#table-offers")


def test_the_address_holds_every_choice(opened: Opened) -> None:
    choices = {
        "network": "mine", "phase": "training", "batch": "12", "precision": "amp", "on": "GeForce RTX 3090",
        "count": "2", "link": "NVLink 2", "optimizer": "sgd", "micro_batches": "3", "zero": "1", "compiled": "1",
        "channels_last": "1", "checkpointing": "1", "against": "buy",
    }  # fmt: skip
    query = "?" + "&".join(f"{name}={value.replace(' ', '+')}" for name, value in choices.items())
    with opened(query) as page:
        settled(page)
        assert page.evaluate("Object.fromEntries(new URLSearchParams(query()))") == choices
        shown_first = shown_text(page)
        page.select_option("#choose-against", "rent")
        page.select_option("#choose-against", "buy")
        again = page.url
        page.goto(again)
        settled(page)
        assert chosen(page) == choices
        assert shown_text(page) == shown_first


def test_by_keyboard_alone(opened: Opened) -> None:
    with opened() as page:
        settled(page)
        order = []
        for _ in range(24):
            page.keyboard.press("Tab")
            order.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
        controls = page.eval_on_selector_all("[name]:not(meta), canvas", "all => all.map(each => each.id)")
        assert [each for each in dict.fromkeys(order) if each in controls] == controls, (
            "all are reached, in the order they stand in"
        )
        page.focus("#choose-batch")
        page.keyboard.press("ArrowUp")
        page.keyboard.press("Tab")
        assert chosen(page)["batch"] == "65"
        settled(page)
        for name, said in (("roofline", "FLOP a byte"), ("scaling", "efficiency"), ("offers", "each image")):
            page.focus(f"#chart-{name}")
            page.keyboard.press("ArrowRight")
            first = page.inner_text(f"#pointed-{name}")
            page.keyboard.press("ArrowRight")
            assert said in first
            assert page.inner_text(f"#pointed-{name}") != first
        device = page.inner_text("#pointed-offers strong")
        page.keyboard.press("Enter")
        assert chosen(page)["on"] == device
        page.wait_for_selector(f"#title:has-text('{device}')")


def test_a_dot_is_named_and_a_device_is_chosen_by_a_click(opened: Opened) -> None:
    with opened() as page:
        settled(page)
        place = """([name, place]) => {
          const { chart, points } = charts[name], { set, index } = points[place], view = chart.canvas;
          view.scrollIntoView({ behavior: 'instant' });
          const spot = chart.getDatasetMeta(set).data[index], around = view.getBoundingClientRect();
          return [around.x + spot.x, around.y + spot.y, points[place].name];
        }"""
        x, y, name = page.evaluate(place, ["roofline", 0])
        page.mouse.move(x, y)
        page.wait_for_timeout(50)
        assert page.evaluate("charts.roofline.chart.tooltip.title") == [name]
        x, y, device = page.evaluate(place, ["offers", 0])
        page.mouse.click(x, y)
        assert chosen(page)["on"] == device
        page.wait_for_selector(f"#title:has-text('{device}')")


def test_what_does_not_fit_is_said(opened: Opened) -> None:
    with opened("?network=vgg16&batch=512&on=GeForce+RTX+3070", width=390) as page:
        settled(page)
        assert page.inner_text("#fits") == "does not fit"
        assert "would take if it did" in page.inner_text("#state")
        assert page.is_visible("#bar b.full"), "the mark of what there is"


def test_training_is_not_offered_for_inference(opened: Opened) -> None:
    with opened(f"{SMALL}&optimizer=sgd") as page:
        settled(page)
        page.select_option("#choose-phase", "inference")
        settled(page)
        assert not page.is_visible("#choose-optimizer")
        assert "optimizer" not in chosen(page)
        assert "Inference in" in page.inner_text("#state")


@pytest.mark.parametrize(
    ("more", "choice"),
    [("&precision=fp9", "precision"), ("&zero=1&count=1", "zero"), ("&micro_batches=7", "micro_batches")],
)
def test_what_cannot_be_is_said_beside_its_control(opened: Opened, more: str, choice: str) -> None:
    with opened(SMALL + more, quiet=False) as page:
        page.wait_for_selector(f"#error-{choice}:not(:empty)")
        assert page.get_attribute(f"#choose-{choice}", "aria-invalid") == "true"
        assert page.get_attribute(f"#choose-{choice}", "aria-describedby") == f"error-{choice}"
        page.goto(page.url.partition("?")[0] + SMALL)
        settled(page)
        assert page.inner_text(f"#error-{choice}") == ""


def test_what_is_wrong_with_the_address_is_said(opened: Opened) -> None:
    with opened(f"{SMALL}&colour=red", quiet=False) as page:
        page.wait_for_selector("#refused:not(:empty)")
        assert "no choice 'colour'" in page.inner_text("#refused")


def test_what_the_server_says_is_text(opened: Opened) -> None:
    with opened(quiet=False) as page:
        settled(page)
        refused = "() => { try { title.innerHTML = '<b>x</b>'; } catch (error) { return error.name; } }"
        assert page.evaluate(refused) == "TypeError", "the policy does not let text become HTML"


def test_light_and_dark_change_while_it_is_open(opened: Opened) -> None:
    with opened() as page:
        settled(page)
        before = page.evaluate("charts.scaling.chart.data.datasets[0].borderColor")
        page.emulate_media(color_scheme="dark")
        page.wait_for_timeout(200)
        assert page.evaluate("charts.scaling.chart.data.datasets[0].borderColor") != before


def test_a_server_that_is_gone_is_said(opened: Opened) -> None:
    with opened(quiet=False) as page:
        settled(page)
        page.route("**/api/**", lambda route: route.abort())
        page.fill("#choose-batch", "8")
        page.press("#choose-batch", "Tab")
        page.wait_for_selector("#refused:not(:empty)")
        assert re.search("no answer", page.inner_text("#refused"), re.IGNORECASE)
