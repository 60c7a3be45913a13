"""A listening socket with an application behind it, and an end at which nothing that was asked is lost.

uvicorn reads and writes HTTP/1.1 (httptools) on uvloop's event loop. Signals are whoever's who runs this.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import functools
import socket
import ssl
import struct
import sys
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
_LAST_TAKEN_S = 0.05  # in which connections that are made already are taken
_SO_ATTACH_FILTER = 26
_LOAD_BYTE, _JUMP_IF_SET, _RETURN = 0x30, 0x45, 0x06  # of the filter's machine (linux/bpf_common.h)
_FLAGS_AT, _SYN, _ALL = 13, 0x02, 0xFFFFFFFF
_NO_SYN = ((_LOAD_BYTE, 0, 0, _FLAGS_AT), (_JUMP_IF_SET, 0, 1, _SYN), (_RETURN, 0, 0, 0), (_RETURN, 0, 0, _ALL))


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


def _hear_no_more(listener: socket.socket) -> None:
    """Have the system pass over new connections, where it can; those that are being made go on.

    A socket filter that lets no packet with the flag SYN through: Linux, socket(7), SO_ATTACH_FILTER.
    """
    if sys.platform != "linux":
        return
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in _NO_SYN))
    with contextlib.suppress(OSError):
        listener.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", len(_NO_SYN), ctypes.addressof(code))
        )


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
        await self._server.startup([self._listener])
        self._ticking = asyncio.create_task(self._server.main_loop())

    async def close(self) -> None:
        """Take no new connections; answer what was asked; end."""
        _hear_no_more(self._listener)  # who comes now asks the system again a second later, and is refused
        await asyncio.sleep(_LAST_TAKEN_S)
        self._server.should_exit = True
        await self._server.shutdown()
        await self._ticking
