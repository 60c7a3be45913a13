"""The status page of a server: what it does now, its models, and a form to try them with a picture.

The page holds no data. It asks the server that sent it, and nobody else.

>>> page = serve_page(token=False)
>>> page.html[:15], "default-src 'none'" in page.policy
('<!doctype html>', True)
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from chipwise.views.strict_page import strict_page

if TYPE_CHECKING:
    from chipwise.views.strict_page import StrictPage

_STYLES = ("report.css", "serve_page.css")
# Each uses those before it.
_SCRIPTS = ("numbers.js", "serve_numbers.js", "serve_charts.js", "serve_try.js", "serve_page.js")


@cache
def serve_page(*, token: bool) -> StrictPage:
    """The page.

    Args:
        token: whether the server wants one; the page asks for it before it asks the server for anything.
    """
    return strict_page("serve_page.html.j2", _STYLES, _SCRIPTS, pictures="blob: data:", token=token)
