"""The status page of a server: what it does now, its models, and a form to try them with a picture.

The page holds no data. It asks the server that sent it, and nobody else: its policy allows no other request, no script
and no style but its own (by hash), and no text that becomes HTML (trusted types).

>>> page = serve_page(token=False)
>>> page.html[:15], "default-src 'none'" in page.policy
('<!doctype html>', True)
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

_STYLES = ("report.css", "serve_page.css")
_SCRIPTS = ("serve_numbers.js", "serve_charts.js", "serve_try.js", "serve_page.js")  # each uses those before it


@dataclass(frozen=True, slots=True)
class ServePage:
    """What is sent.

    Attributes:
        html: the page.
        policy: the Content-Security-Policy that goes with it.
    """

    html: str
    policy: str


@cache
def serve_page(*, token: bool) -> ServePage:
    """The page.

    Args:
        token: whether the server wants one; the page asks for it before it asks the server for anything.
    """
    made = Environment(
        loader=PackageLoader("chipwise", "views"), autoescape=True, trim_blocks=True, undefined=StrictUndefined
    )
    style, script = (
        "\n".join(made.get_template(name).render() for name in names) + "\n" for names in (_STYLES, _SCRIPTS)
    )
    html = made.get_template("serve_page.html.j2").render(
        token=token,
        style=Markup(style),  # noqa: S704  a file of ours
        script=Markup(script),  # noqa: S704  as above
    )
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; connect-src 'self'; "
        "img-src blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
    return ServePage(html, policy)


def _hash(text: str) -> str:
    """How a policy names a script or a style that stands in the page (CSP level 3)."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
