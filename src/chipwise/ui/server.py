"""The page's server: on loopback only, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING

from chipwise.ui.http import Application
from chipwise.web.door import Door, run
from chipwise.web.listener import bound

if TYPE_CHECKING:
    from collections.abc import Callable

    from chipwise.ui.http import Content

HOST = "127.0.0.1"
_LEAVE_S = 1.0  # that connections have to end


def show(content: Content, port: int, listening: Callable[[str], None]) -> None:
    """Show a page until the process is told to stop; call it from the main thread.

    Args:
        content: what is shown.
        port: to listen on; 0 for any that is free.
        listening: called with the page's address once it is there.

    Raises:
        MachineError: the port is taken.
    """
    run(_show(content, port, listening))


async def _show(content: Content, port: int, listening: Callable[[str], None]) -> None:
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    with bound(HOST, port) as listener:
        port = listener.getsockname()[1]
        application = Application(content, port)
        door = Door(application, listener)
        await door.open()
        listening(f"http://{HOST}:{port}/")
        await stopped.wait()
        application.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(door.close(), _LEAVE_S)
