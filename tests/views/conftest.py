"""A page in a real browser, held to what every page must keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def opened(watched: Callable[[int, str], Any]) -> Callable[..., AbstractContextManager[Any]]:
    """Open a page; it must ask for nothing but itself, be no wider than the screen, and never say anything."""

    @contextmanager
    def open_page(path: Path, width: int, scheme: str = "light") -> Iterator[Any]:
        found = watched(width, scheme)
        found.page.goto(path.as_uri())
        assert [url for url in found.asked if not url.startswith("data:")] == [path.as_uri()]
        assert found.page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
        yield found.page
        assert not found.said
        found.page.close()

    return open_page
