"""A listening socket with an application behind it, and an end at which nothing that was asked is lost.

uvicorn reads and writes HTTP/1.1 (httptools) on uvloop's event loop. Signals are whoever's who runs this.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
from typing import TYPE_CHECKING, Any, TypeVar

import uvicorn
import uvloop

from chipwise.web.connection import IDLE_S, Connection
from chipwise.web.listener import hear_no_more

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Coroutine
    from pathlib import Path

    Application = Callable[[Any, Any, Any], Awaitable[None]]  # ASGI's

T = TypeVar("T")
_BACKLOG = 1024
_LAST_TAKEN_S = 0.05  # in which connections that are made already are taken


def _ignored(_status: int) -> None:
    """What is refused is of no interest."""


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a server's main coroutine to its end."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


class Door:
    """An ASGI application behind a socket.

    Args:
        application: that answers.
        listener: that `bound` gave.
        cert, key: PEM files with which connections are encrypted; None for plain ones.
        client_ca: a PEM file of who must have signed a client's certificate; None where clients need none.
        body_s: in which a request's body must have come.
        refused: told of the status of what is refused before the application sees it.
    """

    def __init__(
        self,
        application: Application,
        listener: socket.socket,
        *,
        cert: Path | None = None,
        key: Path | None = None,
        client_ca: Path | None = None,
        body_s: float = 30.0,
        refused: Callable[[int], None] = _ignored,
    ) -> None:
        self._listener = listener
        connection: Any = functools.partial(Connection, body_s=body_s, refused=refused)
        self._config = uvicorn.Config(
            application,
            http=connection,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="error",  # what clients do wrong is not ours to log here
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=IDLE_S,
            ssl_certfile=cert,
            ssl_keyfile=key,
            ssl_ca_certs=client_ca,
            ssl_cert_reqs=ssl.CERT_NONE if client_ca is None else ssl.CERT_REQUIRED,
        )
        self._config.load()
        self._server = uvicorn.Server(self._config)
        self._server.lifespan = self._config.lifespan_class(self._config)

    async def open(self) -> None:
        """Listen."""
        await self._server.startup([self._listener])
        self._ticking = asyncio.create_task(self._server.main_loop())

    async def close(self) -> None:
        """Take no new connections; answer what was asked; end."""
        hear_no_more(self._listener)  # who comes now asks the system again a second later, and is refused
        await asyncio.sleep(_LAST_TAKEN_S)
        self._server.should_exit = True
        await self._server.shutdown()
        await self._ticking
