"""Records in Python: plain text for `print`, and a small piece of HTML for `_repr_html_`.

The HTML has no script, and the notebook's own colours.

>>> from chipwise.core.report import Prediction, RunResult
>>> from chipwise.core.plan import Choice
>>> repr_html(RunResult("a.plan", Choice("onnxruntime"), (Prediction("<x>.png", (("cat", 0.9),)),), 1e-3))[:18]
'<div class="chipwi'
"""

from __future__ import annotations

import html
from typing import Any

from rich.console import Console

from chipwise.core.report import Inspection
from chipwise.views.tables import table

_STYLE = "overflow-x:auto;font-family:ui-monospace,Menlo,'Liberation Mono',monospace;font-size:13px;line-height:1.4"
_PRE = "margin:0;background:none;color:inherit"
_WIDTH = 110
_LONGEST = 200


def text(record: Any) -> str:
    """The terminal's table as plain text, for `print`."""
    console = Console(width=_WIDTH, record=False, color_system=None, highlight=False)
    lines = console.render_lines(table(record), pad=False)
    return "\n".join("".join(part.text for part in line).rstrip() for line in lines)


def repr_html(record: Any) -> str:
    """The terminal's table as a scrollable block, escaped; what is bold there is bold here.

    Very long networks are cut after 200 lines, and it says so.
    """
    console = Console(width=_WIDTH, record=False, color_system=None, highlight=False)
    lines = console.render_lines(table(record), pad=False)
    shown = ["".join(_span(part.text, bold=bool(part.style and part.style.bold)) for part in line) for line in lines]
    left = len(shown) - _LONGEST
    if left > 0:
        what = "layers and lines" if isinstance(record, Inspection) else "lines"
        shown = [*shown[:_LONGEST], f"… {left} more {what}"]
    body = "\n".join(line.rstrip() for line in shown)
    return f'<div class="chipwise" style="{_STYLE}"><pre style="{_PRE}">{body}</pre></div>'


def _span(text: str, *, bold: bool) -> str:
    escaped = html.escape(text)
    return f"<b>{escaped}</b>" if bold and text.strip() else escaped
