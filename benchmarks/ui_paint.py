"""How soon the what-if page is there: the first paint, the first answer, and the answer to a changed choice.

    python benchmarks/ui_paint.py                     # nine times each, in Chromium, on loopback
    python benchmarks/ui_paint.py --times 3 --network yolov4

The first paint is what the browser says of itself (first-contentful-paint), from the start of the navigation, of a page
that was not there before. An answer is there once its numbers stand in the page and its charts are drawn; all
devices come after it.

The last line on stdout is one JSON document. Exit code 1 when the median first paint takes a second or more.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from document import command_line, give, here

_LIMIT_S = 1.0
_READY, _OFFERED = "#answer[aria-busy=false]:not(.stale)", "#chart-offers[aria-busy=false]"
_PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime / 1000"
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def timed(browser: Browser, url: str, network: str) -> dict[str, float]:
    """Seconds of one visit, in a profile that knows nothing of the page."""
    context = browser.new_context()
    page = context.new_page()
    began = time.monotonic()
    page.goto(f"{url}?network={network}")
    page.wait_for_selector(_READY)
    answered = time.monotonic()
    page.wait_for_selector(_OFFERED, timeout=120_000)
    offered, paint = time.monotonic(), float(page.evaluate(_PAINT))
    changed = time.monotonic()
    page.fill("#choose-batch", "64")
    page.press("#choose-batch", "Tab")
    page.wait_for_selector(_READY)
    again = time.monotonic() - changed
    context.close()
    found = {"first_paint_s": paint, "answer_s": answered - began, "all_devices_s": offered - began}
    return found | {"changed_answer_s": again}


def measured(times: int, network: str) -> list[dict[str, float]]:
    """Visits to one server."""
    command = [sys.executable, "-m", "chipwise", "ui", "--no-open"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None, "it was asked for"
    try:
        url = process.stdout.readline().strip()
        with sync_playwright() as player:
            browser = player.chromium.launch(executable_path=_chromium(), args=_FLAGS)
            found = [timed(browser, url, network) for _ in range(times)]
            browser.close()
    finally:
        process.terminate()
        process.wait(60)
    return found


def _chromium() -> str | None:
    """Where the browser is; None for the one that playwright brought."""
    named = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    return os.environ.get("CHROMIUM") or next(filter(None, named), None)


def main() -> int:
    """Measure, print, and say whether the limit was kept."""
    parser = command_line(__doc__)
    parser.add_argument("--times", type=int, default=9)
    parser.add_argument("--network", default="resnet50")
    options = parser.parse_args()
    visits = measured(options.times, options.network)
    medians = {name: statistics.median(each[name] for each in visits) for name in visits[0]}
    ok = medians["first_paint_s"] < _LIMIT_S
    found: dict[str, Any] = {"ok": ok, "network": options.network, "limit_s": _LIMIT_S, "medians": medians}
    give("ui_paint", {**found, "visits": visits, **here()}, options.output)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
