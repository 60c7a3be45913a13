"""The page's server: on loopback only, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from chipwise.core.errors import MachineError
from chipwise.ui.http import Application

if TYPE_CHECKING:
    from collections.abc import Callable

    from chipwise.ui.http import Content

HOST = "127.0.0.1"
_HEADERS_MS = 10_000  # in which the head of a request must have come
_BACKLOG = 64
_LEAVE_S = 1.0  # that connections have to end
_END_S, _LOOK_S = 3.0, 0.05  # that threads have to end after them, and how often they are looked for
_THREADS = Path("/proc/self/task")


def show(content: Content, port: int, listening: Callable[[str], None]) -> None:
    """Show a page until the process is told to stop; call it from the main thread.

    Args:
        content: what is shown.
        port: to listen on; 0 for any that is free.
        listening: called with the page's address once it is there.

    Raises:
        MachineError: the port is taken.
    """
    asyncio.run(_show(content, _free(port), listening))


async def _show(content: Content, port: int, listening: Callable[[str], None]) -> None:
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    application, before = Application(content, port), _threads()
    server = Server(
        application,
        address=HOST,
        port=port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        websockets=False,
        backlog=_BACKLOG,
        log_enabled=False,
        http1_settings=HTTP1Settings(header_read_timeout=_HEADERS_MS),
    )
    door = asyncio.create_task(server.serve())
    await asyncio.wait((door, asyncio.create_task(application.listening.wait())), return_when=asyncio.FIRST_COMPLETED)
    if door.done():
        raise MachineError(f"cannot listen on {HOST} port {port}") from door.exception()
    own = _threads() - before
    listening(f"http://{HOST}:{port}/")
    await stopped.wait()
    application.close()
    server.stop()  # type: ignore[no-untyped-call]
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(door, _LEAVE_S)
    await _ended(own)


async def _ended(threads: set[str]) -> None:
    """Let Granian's threads end: one that still needs Python while the interpreter ends would abort the process."""
    deadline = time.monotonic() + _END_S
    await asyncio.sleep(_LOOK_S)
    while threads & _threads() and time.monotonic() < deadline:
        await asyncio.sleep(_LOOK_S)


def _threads() -> set[str]:
    """Threads of this process, by number; none where the system does not tell."""
    return {each.name for each in _THREADS.iterdir()} if _THREADS.is_dir() else set()


def _free(port: int) -> int:
    """The port, or any that is free for 0; Granian does not say which one it took, and would share one that is taken.

    Raises:
        MachineError: it is taken.
    """
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return int(probe.getsockname()[1])
    except OSError as error:
        reason = error.strerror or str(error)
        raise MachineError(f"cannot listen on {HOST} port {port}: {reason}", hint="name another --port") from error
