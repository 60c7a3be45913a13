"""The status page by itself: its policy, what it asks for before it has a token, and what its numbers mean."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from chipwise.views.serve_page import serve_page

pytestmark = pytest.mark.runtime


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(serve_page(token=True).html, encoding="utf-8")
    return path


@pytest.mark.parametrize("token", [False, True])
def test_the_policy_names_what_is_in_the_page(token: bool) -> None:
    made = serve_page(token=token)
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", made.html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}';" in made.policy
    assert "unsafe" not in made.policy


def test_nothing_comes_from_elsewhere_and_nothing_becomes_markup() -> None:
    html = serve_page(token=False).html
    assert set(re.findall(r"https?://[^\s\"']+", html)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Storage|cookie", html)
    assert " style=" not in html, "the policy forbids it"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_asks_for_the_token_and_for_nothing_else(opened: Any, page_file: Path, width: int, scheme: str) -> None:
    with opened(page_file, width, scheme) as page:
        assert page.is_visible("#token")
        assert not page.is_visible("#open")
        page.fill("#token", "two words")
        page.click("#unlock button")
        assert page.inner_text("#denied") == "A token is printable ASCII without spaces."


def test_quantiles_lie_within_their_buckets(opened: Any, page_file: Path) -> None:
    registry = CollectorRegistry()
    latency = Histogram(
        "chipwise_latency_seconds", "x", ["model", "version", "part"], registry=registry, buckets=(0.1, 0.2, 0.4)
    )

    def text() -> str:
        return generate_latest(registry).decode()

    for _ in range(5):
        latency.labels("a", "1", "total").observe(5)
    before = text()
    for seconds in [0.05] * 2 + [0.15] * 4 + [0.3] * 2:
        latency.labels("a", "1", "total").observe(seconds)
    latency.labels("b", "1", "total").observe(9)
    with opened(page_file, 1280) as page:
        ask = """([before, now, share, model]) => {
          const after = readings(now);
          return quantile(changes(readings(before), after), bounds(after), "total", share, model);
        }"""
        found = [page.evaluate(ask, [before, text(), share, "a"]) for share in (0.25, 0.5, 1)]
        assert found == pytest.approx([0.1, 0.15, 0.4])
        assert page.evaluate(ask, [before, text(), 0.99, ""]) == 0.4, "above all bounds: the last of them"
        assert page.evaluate(ask, [before, text(), 0.5, "c"]) is None


def test_a_count_that_began_anew_is_not_negative(opened: Any, page_file: Path) -> None:
    with opened(page_file, 1280) as page:
        ask = "([a, b]) => total(changes(readings(a), readings(b)), [ANSWERED], '')"
        line = 'chipwise_requests_total{model="a",version="1"}'
        assert page.evaluate(ask, [f"{line} 7.0", f"{line} 9.0"]) == 2
        assert page.evaluate(ask, [f"{line} 7.0", f"{line} 3.0"]) == 3
        assert page.evaluate(ask, ["", f"# HELP x\n{line} 3.0"]) == 3
        assert page.evaluate("[0, 1e-4, 0.00123, 2.5, null].map(asTime)") == ["0 s", "100 µs", "1.23 ms", "2.5 s", "–"]
