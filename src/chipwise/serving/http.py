"""The REST door: one ASGI application, from the path of a request to its answer. uvicorn speaks HTTP, or Ray.

Every refusal is `{"error": ...}` with a status. A body is read only after its route, its token and its size are fine.
"""

from __future__ import annotations

import hmac
import time
from typing import TYPE_CHECKING

import msgspec

from chipwise.core.errors import ChipwiseError
from chipwise.serving.inflate import accepted, deflate, inflate
from chipwise.serving.logs import why
from chipwise.serving.request_error import TOO_LARGE, UNAUTHORIZED, RequestError, as_refusal
from chipwise.serving.routes import OPEN, PAGE, Answer, find_route
from chipwise.web.asgi import ClientGoneError, first, lived, piece, sent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from chipwise.serving.logs import Log
    from chipwise.serving.room import Share
    from chipwise.serving.routes import Call
    from chipwise.serving.shelf import Shelf
    from chipwise.web.asgi import Event, Receive, Send

_SMALLEST_COMPRESSED = 1024  # bytes; less is not worth the time
_CONTENT_LENGTH = 18  # digits
_BEARER = "Bearer "


class Application:
    """An ASGI application.

    Args:
        shelf: the models.
        log: told of each request, where that is wanted.
        ended: awaited once no request will come any more, where the server says so.
    """

    def __init__(self, shelf: Shelf, log: Log, ended: Callable[[], Awaitable[None]] | None = None) -> None:
        self._shelf, self._log, self._ended = shelf, log, ended

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        """Answer one request, or see the life of the server through."""
        if scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "lifespan":
            await lived(receive, send, self._ended)
        else:
            await send({"type": "websocket.close"})

    async def _answer(self, scope: Event, receive: Receive, send: Send) -> None:
        started = time.monotonic()
        headers = first(scope["headers"])
        answer = await self._answered(scope, headers, receive)
        await _send(send, answer, accepted(headers.get("accept-encoding")))
        if self._log.requests:
            took_ms = round((time.monotonic() - started) * 1000, 3)
            client = ":".join(map(str, scope["client"] or ()))
            facts = {"method": scope["method"], "path": scope["path"], "client": client}
            self._log.request(**facts, status=answer.status, ms=took_ms, **why(answer.refused))

    async def _answered(self, scope: Event, headers: dict[str, str], receive: Receive) -> Answer:
        try:
            route, call = find_route(scope["method"], scope["path"])
            self._check_token(headers, call)
            with self._shelf.room.share() as share:
                body = await self._body(headers, receive, share) if scope["method"] == "POST" else b""
                return await route(self._shelf, call, headers, body)
        except ClientGoneError as error:  # who would be refused is not there
            return _refusal(as_refusal(error))
        except ChipwiseError as error:
            refused = as_refusal(error)
            self._shelf.refusals.add("http", refused)
            return _refusal(refused)

    def _check_token(self, headers: dict[str, str], call: Call) -> None:
        token = self._shelf.settings.token
        if not token or call.name in (*OPEN, PAGE):
            return
        check_token(headers.get("authorization"), token)

    async def _body(self, headers: dict[str, str], receive: Receive, share: Share) -> bytes:
        limits = self._shelf.settings.limits
        stated = headers.get("content-length") or "0"
        if not stated.isdigit() or len(stated) > _CONTENT_LENGTH or int(stated) > limits.body_bytes:
            raise RequestError(f"the body has {stated[:40]} bytes; at most {limits.body_bytes}", TOO_LARGE)
        data = await _received(receive, limits.body_bytes, share)
        body = inflate(data, (headers.get("content-encoding") or "").strip().lower(), limits)
        share.take(len(body) - len(data))
        return body


def check_token(given: str | None, token: str) -> None:
    """Compare an Authorization header with the token, in a time that says nothing about it.

    Raises:
        RequestError: it is absent, or another.
    """
    received = (given or "").removeprefix(_BEARER).encode(errors="replace")
    if not (given or "").startswith(_BEARER) or not hmac.compare_digest(received, token.encode()):
        raise RequestError("a bearer token is wanted, and this is none that is known", UNAUTHORIZED)


async def _received(receive: Receive, most: int, share: Share) -> bytes:
    held, size, more = [], 0, True
    while more:
        data, more = await piece(receive)
        size += len(data)
        if size > most:
            raise RequestError(f"the body has more than {most} bytes", TOO_LARGE)
        share.take(len(data))
        held.append(data)
    return b"".join(held)


def _refusal(error: RequestError) -> Answer:
    headers: list[tuple[str, str]] = []
    if error.retry_after_s:
        headers.append(("retry-after", str(error.retry_after_s)))
    if error.allowed:
        headers.append(("allow", error.allowed))
    if error.status == UNAUTHORIZED:
        headers.append(("www-authenticate", "Bearer"))
    body = msgspec.json.encode({"error": error.message})
    return Answer(error.status, body, headers=tuple(headers), refused=error.message)


async def _send(send: Send, answer: Answer, encoding: str) -> None:
    headers = list(answer.headers)
    body = answer.body
    if body:
        headers.append(("content-type", answer.kind))
    if encoding and len(body) >= _SMALLEST_COMPRESSED:
        body = deflate(body, encoding)
        headers.append(("content-encoding", encoding))
    await sent(send, answer.status, headers, body)
