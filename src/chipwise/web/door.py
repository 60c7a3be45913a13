"""A listening socket with an application behind it, and an end at which nothing that was asked is lost.

uvicorn reads and writes HTTP/1.1 (httptools) on uvloop's event loop. Signals are whoever's who runs this.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import ssl
from typing import TYPE_CHECKING, Any, TypeVar

import uvicorn
import uvloop
from uvicorn.config import Config

from chipwise.core.errors import MachineError
from chipwise.web.connection import IDLE_S, Connection

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from pathlib import Path

    Application = Callable[[Any, Any, Any], Awaitable[None]]  # ASGI's

T = TypeVar("T")
_BACKLOG = 1024


def _ignored(_status: int) -> None:
    """What is refused is of no interest."""


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a server's main coroutine to its end."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def bound(host: str, port: int) -> socket.socket:
    """A socket that has the address for itself, and does not listen yet.

    Args:
        host: an address of this machine, or a name of one.
        port: 0 for any that is free.

    Raises:
        MachineError: it is taken, or the address is none of this machine's.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with contextlib.ExitStack() as failed:
            listener = failed.enter_context(socket.socket(family, socket.SOCK_STREAM))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            failed.pop_all()
    except OSError as error:
        reason = error.strerror or str(error)
        raise MachineError(f"cannot listen on {host} port {port}: {reason}", hint="name another --port") from error
    return listener


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
        self._config = Config(
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
        self._spare = self._listener.dup()  # what waits in the system's queue when uvicorn's is closed is taken from it
        await self._server.startup([self._listener])
        self._ticking = asyncio.create_task(self._server.main_loop())

    async def close(self) -> None:
        """Take no new connections; answer what was asked; end."""
        self._server.should_exit = True
        for each in self._server.servers:
            each.close()
        await self._take_waiting()
        await self._server.shutdown()
        await self._ticking

    async def _take_waiting(self) -> None:
        waiting = []
        with contextlib.closing(self._spare), contextlib.suppress(BlockingIOError):
            self._spare.setblocking(False)
            while True:
                waiting.append(self._spare.accept()[0])
        connection: Any = self._config.http_protocol_class
        made = functools.partial(connection, config=self._config, server_state=self._server.server_state, app_state={})
        loop = asyncio.get_running_loop()
        for each in waiting:
            each.setblocking(False)
        taken = (loop.connect_accepted_socket(made, each, ssl=self._config.ssl) for each in waiting)
        await asyncio.gather(*taken, return_exceptions=True)
