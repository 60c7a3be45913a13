"""The status page of a real server in a real browser: no message, no other host, and what it shows is what happens."""

from __future__ import annotations

import http.client
import io
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from chipwise.serving.address import page_url
from chipwise.serving.settings import Settings

from .conftest import Running, Start

pytestmark = pytest.mark.runtime
READY = "#open:not([hidden])"
Opened = Callable[..., AbstractContextManager[Any]]


@pytest.fixture(scope="module")
def server(start: Start, plans: Path) -> Running:
    names = [plans / f"{name}.plan" for name in ("digits", "detector", "segmenter", "half")]
    return start(*names, "--max-latency", "100ms")


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory, pixels: np.ndarray) -> Path:
    path = tmp_path_factory.mktemp("picture") / "digit.png"
    Image.fromarray(np.uint8(pixels[0, 0] * 255)).save(path)
    return path


@pytest.fixture
def opened(watched: Callable[[int, str], Any]) -> Opened:
    """Open a server's page; it must ask nobody else, and, unless `quiet` is false, never say anything."""

    @contextmanager
    def open_page(server: Running, width: int = 1280, scheme: str = "light", *, quiet: bool = True) -> Iterator[Any]:
        found = watched(width, scheme)
        found.page.goto(f"http://{server.url}/")
        yield found.page
        ours = (f"http://{server.url}/", f"blob:http://{server.url}/", "data:,")
        assert [url for url in found.asked if not url.startswith(ours)] == []
        assert not quiet or not found.said
        found.page.close()

    return open_page


def post(server: Running, path: str, body: bytes) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("POST", path, body)
    response = connection.getresponse()
    data = response.read()
    connection.close()
    return response.status, data


def tried(page: Any, model: str, picture: Path) -> None:
    page.wait_for_selector(READY)
    page.select_option("#try-model", model)
    page.set_input_files("#try-file", picture)
    page.click("#try-go")
    page.wait_for_selector("#answer:not([hidden])")
    page.wait_for_selector("#try-said:has-text('answered')")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_its_screen(opened: Opened, server: Running, picture: Path, width: int, scheme: str) -> None:
    with opened(server, width, scheme) as page:
        for model in ("digits", "detector", "segmenter"):
            tried(page, model, picture)
            assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
        assert page.inner_text("#state") == "4 of 4 models ready"
        cut = """() => [...document.querySelectorAll('svg')].flatMap(view => {
          const around = view.getBoundingClientRect();
          return [...view.querySelectorAll('text, rect')].filter(each => {
            const box = each.getBoundingClientRect();
            return box.left < around.left - 1 || box.right > around.right + 1 || box.bottom > around.bottom + 1;
          }).map(each => each.textContent);
        })"""
        assert page.evaluate(cut) == []


@pytest.mark.parametrize("width", [390, 1280])
def test_long_names_and_reasons_fit(opened: Opened, server: Running, width: int) -> None:
    long = "a_very_long_name_without_any_place_to_break_it" * 2
    index = [{"name": long, "state": "UNAVAILABLE", "reason": long}]
    with opened(server, width) as page:
        page.route("**/v2/repository/index", lambda route: route.fulfill(json=index))
        page.wait_for_selector(f"#models th:has-text('{long}')")
        assert page.inner_text("#state") == "0 of 1 model ready"
        assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
        sections = "[...document.querySelectorAll('section')]"
        assert not page.evaluate(f"{sections}.some(each => each.scrollWidth > each.clientWidth + 1)")


def test_what_is_pointed_at_is_said(opened: Opened, server: Running) -> None:
    with opened(server) as page:
        page.wait_for_selector("#now-rate:text-is('0')")
        page.hover("#chart-rate", position={"x": 60, "y": 60})
        assert len(page.query_selector_all("svg .cursor")) == 5
        page.hover("h1")
        assert page.query_selector_all("svg .cursor") == []


def test_it_is_listed_and_says_what_it_may_do(server: Running) -> None:
    assert next(event["page"] for event in server.events if event["event"] == "listening") == f"http://{server.url}/"
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("GET", "/")
    response = connection.getresponse()
    response.read()
    connection.close()
    policy = response.headers["content-security-policy"]
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "unsafe" not in policy


def test_the_table_says_what_models_take(opened: Opened, server: Running) -> None:
    with opened(server) as page:
        page.wait_for_selector(READY)
        rows = [row.inner_text().split() for row in page.query_selector_all("#models tbody tr")]
        names = ["detector", "digits", "half", "segmenter"]
        assert [row[:3] for row in rows] == [[name, "ready", "1"] for name in names]
        assert " ".join(rows[1][3:]) == "classification x FP32 [N, 1, 8, 8] y FP32 [N, 10]"
        options = page.eval_on_selector_all("#try-model option", "all => all.map(each => each.value)")
        assert options == ["detector", "digits", "segmenter"], "half takes no pictures"


def test_a_picture_is_classified(opened: Opened, server: Running, picture: Path) -> None:
    wanted = json.loads(post(server, "/v2/models/digits/classify", picture.read_bytes())[1])["labels"]
    with opened(server) as page:
        tried(page, "digits", picture)
        lines = page.eval_on_selector_all(
            "#found li", "all => all.map(each => [each.children[0], each.children[1]].map(part => part.textContent))"
        )
        assert lines == [[each["label"], f"{100 * each['score']:.1f}%"] for each in wanted]
        widths = page.eval_on_selector_all("#found .fill", "all => all.map(each => each.offsetWidth)")
        assert widths == sorted(widths, reverse=True)
        assert widths[0] > 0


def test_boxes_lie_over_the_picture(opened: Opened, server: Running, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (240, 400, 3), np.uint8)).save(path)
    wanted = json.loads(post(server, "/v2/models/detector/detect", path.read_bytes())[1])["boxes"]
    with opened(server) as page:
        tried(page, "detector", path)
        shown = page.query_selector("#shown").bounding_box()
        boxes = [each.bounding_box() for each in page.query_selector_all("#boxes > div")]
        scale = shown["width"] / 400
        assert len(boxes) == len(wanted) > 0
        for box, each in zip(boxes, wanted, strict=True):
            assert box["x"] - shown["x"] == pytest.approx(scale * each["left"], abs=1)
            assert box["width"] == pytest.approx(scale * (each["right"] - each["left"]), abs=1)
            assert box["height"] == pytest.approx(scale * (each["bottom"] - each["top"]), abs=1)


def test_the_mask_lies_over_the_picture(opened: Opened, server: Running, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 40, 3), np.uint8)).save(path)
    drawn = np.asarray(Image.open(io.BytesIO(post(server, "/v2/models/segmenter/segment", path.read_bytes())[1])))
    shares = sorted((float((drawn == index).mean()) for index in np.unique(drawn)), reverse=True)
    with opened(server) as page:
        tried(page, "segmenter", path)
        assert page.evaluate("[mask.width, mask.height]") == [40, 24]
        colours = page.evaluate("[...mask.getContext('2d').getImageData(0, 0, 40, 24).data]")
        found = np.array(colours).reshape(24, 40, 4)[..., :3].reshape(-1, 3)
        assert len(np.unique(found, axis=0)) == len(shares), "one colour a class"
        said = page.eval_on_selector_all("#found em", "all => all.map(each => each.textContent)")
        assert said == [f"{100 * share:.1f}%" for share in shares]
        inside, outside = page.query_selector("#mask").bounding_box(), page.query_selector("#shown").bounding_box()
        assert inside == outside


def test_what_is_refused_is_said(opened: Opened, server: Running, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    with opened(server, quiet=False) as page:
        page.wait_for_selector(READY)
        page.select_option("#try-model", "digits")
        page.set_input_files("#try-file", tmp_path / "a.png")
        page.click("#try-go")
        page.wait_for_selector("#try-said.warn")
        assert "is no picture" in page.inner_text("#try-said")
        assert page.is_enabled("#try-go")


def test_charts_move_when_requests_are_made(opened: Opened, server: Running, picture: Path) -> None:
    with opened(server) as page:
        page.wait_for_selector("#now-rate:text-is('0')")
        assert page.query_selector_all("#chart-batch rect") == []
        for _ in range(3):
            assert post(server, "/v2/models/digits/classify", picture.read_bytes())[0] == 200
        assert post(server, "/v2/models/digits/classify", b"x")[0] == 400
        assert post(server, "/nowhere", b"x")[0] == 404
        page.wait_for_selector("#chart-batch rect")
        page.wait_for_selector("#legend-rejected li:has-text('404')")
        assert page.inner_text("#now-rate") not in ("0", "–")
        assert page.inner_text("#now-p99").endswith("s")
        said = page.eval_on_selector_all("#legend-rejected li", "all => all.map(each => each.textContent)")
        assert said == ["400 malformed or unfit 1×", "404 no such thing 1×"]
        assert "calls 3" in page.inner_text("#legend-batch")
        page.select_option("#of", "detector")
        assert page.query_selector_all("#chart-batch rect") == []
        assert page.inner_text("#now-rejected") == "0"


def test_what_the_server_says_is_text(opened: Opened, server: Running, picture: Path) -> None:
    markup = "<img src=x onerror=document.title='run'>"
    with opened(server) as page:
        answer = {"labels": [{"label": markup, "score": 0.5}]}
        page.route("**/classify", lambda route: route.fulfill(json=answer))
        tried(page, "digits", picture)
        assert page.inner_text("#found span") == markup
        assert page.title() == "chipwise serve"
    with opened(server, quiet=False) as page:
        refused = "() => { try { found.innerHTML = '<b>x</b>'; } catch (error) { return error.name; } }"
        assert page.evaluate(refused) == "TypeError", "the policy does not let text become HTML"


def test_a_server_that_is_gone_is_said(opened: Opened, start: Start, plans: Path) -> None:
    server = start(plans / "half.plan")
    with opened(server, quiet=False) as page:
        page.wait_for_selector(READY)
        assert page.is_visible("#untriable")
        assert server.stop() == 0
        page.wait_for_selector("#lamp.bad")


def test_the_token_is_asked_for_and_kept_in_memory(
    opened: Opened, start: Start, plans: Path, picture: Path, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("secret-7\n")
    server = start(plans / "digits.plan", "--token-file", tmp_path / "token")
    with opened(server, 390) as page:
        page.wait_for_selector("#token")
        assert not page.is_visible("#open")
        page.fill("#token", "secret-7")
        page.click("#unlock button")
        tried(page, "digits", picture)
        assert not page.is_visible("#locked")
        assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie, location.href]") == [
            0, 0, "", f"http://{server.url}/",
        ]  # fmt: skip
        page.reload()
        page.wait_for_selector("#token")
        assert not page.is_visible("#open")
    with opened(server, quiet=False) as page:
        page.fill("#token", "secret-8")
        page.click("#unlock button")
        page.wait_for_selector("#denied:has-text('does not know this token')")
        assert page.is_visible("#token")
        assert not page.is_visible("#open")


def test_where_the_page_is_found() -> None:
    def url(host: str, cert: Path | None = None) -> str:
        return page_url(Settings((), host=host, port=80, tls_cert=cert))

    found = [url("0.0.0.0"), url("::"), url("::1"), url("name.example", Path("cert.pem"))]
    assert found == ["http://127.0.0.1:80/", "http://[::1]:80/", "http://[::1]:80/", "https://name.example:80/"]
