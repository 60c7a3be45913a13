"""What every test may use: a private cache, a browser, and the reference data where it lies beside the checkout."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"
CHROMIUM = (
    os.environ.get("CHROMIUM")
    or shutil.which("chromium")
    or shutil.which("chromium-browser")
    or shutil.which("google-chrome")
)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

gc.disable()  # until all tests are collected: hardly anything of them is garbage


def pytest_collection_finish() -> None:
    """Keep all tests and libraries out of the collector's sight.

    With eleven thousand tests in memory a full collection took half a second, and whoever closes an engine, traces or
    trains a network asks for one.
    """
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True, scope="session")
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Point the cache at a fresh folder, so that no test sees what another run left."""
    folder = tmp_path_factory.mktemp("cache")
    patch = pytest.MonkeyPatch()
    patch.setenv("CHIPWISE_CACHE", str(folder))
    yield folder
    patch.undo()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Nobody waits for another moment to time in, or times for long: no test asserts times."""
    monkeypatch.setattr("chipwise.compiler.race._PAUSE_S", 0.0)
    if "clock" not in str(request.path):
        monkeypatch.setattr("chipwise.clock.interleave._BLOCK_S", 0.002)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data and networks; the test is skipped where there is none."""
    if not SHARED.is_dir():
        pytest.skip("no reference data beside this checkout")
    return SHARED


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, headless; the test is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as player:
        started = player.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@dataclass(frozen=True)
class Watched:
    """A page, what it says on its console, and what it asks for."""

    page: Any
    said: list[str]
    asked: list[str]


@pytest.fixture
def watched(browser: Any) -> Callable[[int, str], Watched]:
    """Open an empty page of a width and colour scheme, and listen to it."""

    def watch(width: int, scheme: str) -> Watched:
        found = Watched(browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme), [], [])
        found.page.on("console", lambda message: found.said.append(message.text))
        found.page.on("pageerror", lambda error: found.said.append(str(error)))
        found.page.on("request", lambda request: found.asked.append(request.url))
        return found

    return watch
