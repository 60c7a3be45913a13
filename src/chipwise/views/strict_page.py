"""A page whose policy lets nothing run but what is in it: scripts and styles by hash, no request but to its own server.

No text becomes HTML (trusted types), so that whatever a server says stays text.

>>> page = strict_page("serve_page.html.j2", ("report.css",), ("serve_charts.js",), token=False)
>>> page.html[:15], "default-src 'none'" in page.policy
('<!doctype html>', True)
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Sequence

_FOLDER = Path(__file__).parent
_MAP = "//# sourceMappingURL"  # of a bundled library, where browsers would look for a file that is not there


@dataclass(frozen=True, slots=True)
class StrictPage:
    """What is sent.

    Attributes:
        html: the page.
        policy: the Content-Security-Policy that goes with it.
    """

    html: str
    policy: str


def strict_page(
    template: str, styles: Sequence[str], scripts: Sequence[str], *, pictures: str = "data:", **values: Any
) -> StrictPage:
    """Render a page.

    Args:
        template: which takes `style` and `script`, and the values.
        styles: files of this folder.
        scripts: likewise, each after those that it uses.
        pictures: where pictures may come from.
        values: for the template.
    """
    made = Environment(
        loader=PackageLoader("chipwise", "views"), autoescape=True, trim_blocks=True, undefined=StrictUndefined
    )
    style, script = ("\n".join(map(_file, names)) for names in (styles, scripts))
    html = made.get_template(template).render(
        **values,
        style=Markup(style),  # noqa: S704  a file of ours
        script=Markup(script),  # noqa: S704  as above
    )
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; connect-src 'self'; "
        f"img-src {pictures}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
    return StrictPage(html, policy)


def _file(name: str) -> str:
    return (_FOLDER / name).read_text("utf-8").partition(_MAP)[0]


def _hash(text: str) -> str:
    """How a policy names a script or a style that stands in the page (CSP level 3)."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
