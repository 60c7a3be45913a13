"""Where a server listens: whether it can, and how a browser finds it.

>>> from pathlib import Path
>>> from chipwise.serving.settings import Settings
>>> page_url(Settings((Path("a.plan"),), host="0.0.0.0", port=80))
'http://127.0.0.1:80/'
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from typing import TYPE_CHECKING

from chipwise.core.errors import MachineError

if TYPE_CHECKING:
    from chipwise.serving.settings import Settings


def check_free(host: str, port: int) -> None:
    """Find out whether a port can be listened on; servers would share one that another has.

    Raises:
        MachineError: it is taken, or the address is none of this machine's.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        reason = error.strerror or str(error)
        raise MachineError(f"cannot listen on {host} port {port}: {reason}", hint="name another --port") from error


def page_url(settings: Settings) -> str:
    """Where a browser on this machine finds the status page."""
    host = settings.host
    with contextlib.suppress(ValueError):  # it is a name
        address = ipaddress.ip_address(host)
        if address.is_unspecified:
            host = "127.0.0.1" if address.version == 4 else "::1"
    scheme = "http" if settings.tls_cert is None else "https"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.port}/"
