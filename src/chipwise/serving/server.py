"""The whole server: models opened, both doors, signals, and an end at which every request that came in is answered.

SIGTERM and Ctrl-C: no new connections, everything that was asked is answered, workers end. SIGHUP: every plan file is
read again, and what changed becomes a new version.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import time
from typing import TYPE_CHECKING

from chipwise.core.errors import ChipwiseError
from chipwise.core.served import Served
from chipwise.serving.address import page_url
from chipwise.serving.grpc_service import open_door as grpc_door
from chipwise.serving.http import Application
from chipwise.serving.shelf import Shelf
from chipwise.serving.tls import check_tls
from chipwise.web.door import Door, run
from chipwise.web.listener import bound

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from chipwise.serving.logs import Log
    from chipwise.serving.settings import Settings


def serve(settings: Settings, log: Log) -> Served:
    """Serve until SIGTERM or Ctrl-C.

    Args:
        settings: what is served, and where.
        log: told of everything worth knowing.

    Returns:
        what was answered.

    Raises:
        InputError: there is no plan, two have one name, or a certificate cannot be used.
        PlanError, RuntimeUnavailableError: a plan cannot be opened.
        MachineError: the port is taken.
    """
    return run(_serve(settings, log))


async def _serve(settings: Settings, log: Log) -> Served:
    check_tls(settings)
    if settings.grpc_port is not None:
        bound(settings.host, settings.grpc_port).close()  # gRPC would share one that another has
    with bound(settings.host, settings.port) as listener:
        shelf = Shelf(settings, log)
        began = time.monotonic()
        try:
            stopped = _stop_signals(shelf, log)
            if await _opened(shelf, stopped):
                with _frozen():
                    await _until_stopped(shelf, log, listener, stopped)
            else:
                log.event("stopped")
            return Served(shelf.counts(), time.monotonic() - began)
        finally:
            await shelf.close()


@contextlib.contextmanager
def _frozen() -> Iterator[None]:
    """What is there now stays meanwhile, and is not looked through again and again by the garbage collector."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


async def _opened(shelf: Shelf, stopped: asyncio.Event) -> bool:
    """Open every model, and say whether that came to its end before the server was told to stop.

    Raises:
        ChipwiseError: of the first that cannot be opened.
    """
    opening, told = asyncio.ensure_future(shelf.load_all()), asyncio.ensure_future(stopped.wait())
    try:
        await asyncio.wait((opening, told), return_when=asyncio.FIRST_COMPLETED)
        in_time = opening.done()
    finally:
        told.cancel()
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
    if in_time:
        opening.result()
    return in_time


async def _until_stopped(shelf: Shelf, log: Log, listener: socket.socket, stopped: asyncio.Event) -> None:
    settings = shelf.settings
    secrets = {"cert": settings.tls_cert, "key": settings.tls_key, "client_ca": settings.client_ca}
    door = Door(
        Application(shelf, log),
        listener,
        **secrets,
        body_s=settings.limits.body_s,
        refused=lambda status: shelf.refusals.count("http", status),
    )
    await door.open()
    calls = None if settings.grpc_port is None else await grpc_door(shelf, log)
    ports = {"port": settings.port} | ({} if calls is None else {"grpc_port": settings.grpc_port})
    log.event("listening", host=settings.host, **ports, models=sorted(shelf.places), page=page_url(settings))
    await stopped.wait()
    shelf.stopped.set()
    log.event("stopping")
    try:
        async with asyncio.timeout(settings.drain_s):
            await asyncio.gather(door.close(), *([] if calls is None else [calls.stop(settings.drain_s)]))
            await shelf.turns.drain()
    except TimeoutError:
        log.event("gave up", after_s=settings.drain_s)
    else:
        log.event("stopped")


def _stop_signals(shelf: Shelf, log: Log) -> asyncio.Event:
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: shelf.turns.begin(_reload(shelf, log)))
    return stopped


async def _reload(shelf: Shelf, log: Log) -> None:
    """Read every plan again; what cannot be opened is logged by `load`, and its old version goes on."""
    log.event("reloading")
    for name in list(shelf.places):
        with contextlib.suppress(ChipwiseError):
            await shelf.load(name)
