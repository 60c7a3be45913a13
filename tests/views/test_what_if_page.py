"""The what-if page by itself: its policy, and that nothing in it comes from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from chipwise.views.what_if_page import Offered, what_if_page

NAME = "<b>\"mine\" & 'yours'</b>"
OFFERED = Offered([("Yours", [(NAME, NAME)])], [("GPUs", [("Chip", "Chip")])], ["wire"], ["fp32"], ["sgd"])
PAGE = what_if_page(OFFERED, {"network": NAME, "on": "Chip", "batch": 8, "count": None}, 10, 100)
NOTICE = Path(__file__).resolve().parents[2] / "NOTICE"


def test_the_policy_names_what_is_in_the_page() -> None:
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", PAGE.html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}';" in PAGE.policy
    assert "unsafe" not in PAGE.policy
    assert " style=" not in PAGE.html, "the policy forbids it"


def test_nothing_comes_from_elsewhere_and_nothing_becomes_markup() -> None:
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Storage|cookie", PAGE.html)
    assert "sourceMappingURL" not in PAGE.html, "a browser would ask for it"
    assert not re.search(r'(?:src|href)="(?!data:)', PAGE.html)


def test_names_are_text() -> None:
    assert NAME not in PAGE.html
    assert "&lt;b&gt;" in PAGE.html


def test_what_is_chosen_at_first() -> None:
    assert '<option value="Chip" selected>' in PAGE.html
    assert re.search(r'name="batch"[^>]* value="8"', PAGE.html)
    assert not re.search(r'name="count"[^>]* value=', PAGE.html)


def test_the_chart_library_comes_with_its_licence() -> None:
    version = re.findall(r"Chart\.js v([\d.]+)", PAGE.html)[0]
    assert f"Chart.js {version}" in NOTICE.read_text()
    assert "Permission is hereby granted" in NOTICE.read_text()
