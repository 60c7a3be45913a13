"""Where a browser finds a server.

>>> from pathlib import Path
>>> from chipwise.serving.settings import Settings
>>> page_url(Settings((Path("a.plan"),), host="0.0.0.0", port=80))
'http://127.0.0.1:80/'
"""

from __future__ import annotations

import contextlib
import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chipwise.serving.settings import Settings


def page_url(settings: Settings) -> str:
    """Where a browser on this machine finds the status page."""
    host = settings.host
    with contextlib.suppress(ValueError):  # it is a name
        address = ipaddress.ip_address(host)
        if address.is_unspecified:
            host = "127.0.0.1" if address.version == 4 else "::1"
    scheme = "http" if settings.tls_cert is None else "https"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.port}/"
