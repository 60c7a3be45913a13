"""What ASGI gives and wants, in fewer words: heads, bodies and answers of requests, and the life of a server.

>>> first(((b"a", b"1"), (b"b", b"2"), (b"a", b"3")))
{'a': '1', 'b': '2'}
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from chipwise.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]


class ClientGoneError(InputError):
    """A client closed its connection before its request was there."""


def first(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """The first header of each name; ASGI gives names in small letters."""
    found: dict[str, str] = {}
    for name, value in headers:
        found.setdefault(name.decode("latin-1"), value.decode("latin-1"))
    return found


async def piece(receive: Receive) -> tuple[bytes, bool]:
    """The next piece of a request's body, and whether more is to come.

    Raises:
        ClientGoneError: it went meanwhile.
    """
    event = await receive()
    if event["type"] != "http.request":
        raise ClientGoneError("the client went before the body was there")
    return event.get("body", b""), event.get("more_body", False)


async def sent(send: Send, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
    """Send an answer whole."""
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    raw.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


async def lived(receive: Receive, send: Send, ended: Callable[[], Awaitable[None]] | None = None) -> None:
    """Say that the server's start and its end are fine; `ended` is awaited before the latter."""
    while (await receive())["type"] == "lifespan.startup":
        await send({"type": "lifespan.startup.complete"})
    if ended is not None:
        await ended()
    await send({"type": "lifespan.shutdown.complete"})
