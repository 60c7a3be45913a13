"""A page in a real browser, held to what every page must keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def opened(browser: Any) -> Callable[..., AbstractContextManager[Any]]:
    """Open a page; it must ask for nothing but itself, be no wider than the screen, and never say anything."""

    @contextmanager
    def open_page(path: Path, width: int, scheme: str = "light") -> Iterator[Any]:
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        said: list[str] = []
        asked: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
        assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
        yield page
        assert not said
        page.close()

    return open_page
