"""The REST door as an ASGI application, for servers that speak that and not RSGI: Ray Serve's.

The same `Application` answers; this hands it the request as RSGI would, and the answer on as ASGI wants it.

>>> first(((b"a", b"1"), (b"b", b"2"), (b"a", b"3")))
{'a': '1', 'b': '2'}
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chipwise.serving.request_error import RequestError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping

    from chipwise.serving.http import Application

    Event = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Event]]
    Send = Callable[[Event], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Asked:
    """The head of a request.

    Attributes:
        proto: always "http".
        method, path: of it; client: who asks, as "HOST:PORT".
        headers: the first of each name, in small letters.
    """

    proto: str
    method: str
    path: str
    client: str
    headers: dict[str, str]


class Exchange:
    """The body of a request piece by piece, and the answer once there is one.

    Args:
        receive: ASGI's.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.status, self.headers, self.body = 0, list[tuple[str, str]](), b""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            event = await self._receive()
            if event["type"] != "http.request":
                raise RequestError("the client went before the body was there")
            yield event.get("body", b"")
            more = event.get("more_body", False)

    def response_empty(self, status: int, headers: list[tuple[str, str]]) -> None:
        """Answer without a body."""
        self.response_bytes(status, headers, b"")

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Answer."""
        self.status, self.headers, self.body = status, headers, body

    async def sent(self, send: Send) -> None:
        """Send the answer."""
        headers = [*self.headers, ("content-length", str(len(self.body)))]
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        await send({"type": "http.response.start", "status": self.status, "headers": raw})
        await send({"type": "http.response.body", "body": self.body})


class Asgi:
    """An ASGI application.

    Args:
        application: that answers.
        ended: awaited once no request will come any more.
    """

    def __init__(self, application: Application, ended: Callable[[], Awaitable[None]]) -> None:
        self._application, self._ended = application, ended

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        """Answer one request, or see the life of the server through."""
        if scope["type"] == "lifespan":
            await self._lived(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        else:
            client = ":".join(map(str, scope.get("client") or ()))
            asked = Asked("http", scope["method"], scope["path"], client, first(scope["headers"]))
            exchange = Exchange(receive)
            await self._application.__rsgi__(asked, exchange)
            await exchange.sent(send)

    async def _lived(self, receive: Receive, send: Send) -> None:
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await self._ended()
        await send({"type": "lifespan.shutdown.complete"})


def first(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """The first header of each name; ASGI gives names in small letters."""
    found: dict[str, str] = {}
    for name, value in headers:
        found.setdefault(name.decode("latin-1"), value.decode("latin-1"))
    return found
