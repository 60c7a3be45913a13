"""The REST door: one RSGI application, from the path of a request to its answer. Granian speaks HTTP, or Ray by `asgi`.

Every refusal is `{"error": ...}` with a status. A body is read only after its route, its token and its size are fine.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from typing import TYPE_CHECKING, Protocol

import msgspec

from chipwise.core.errors import ChipwiseError
from chipwise.serving.inflate import accepted, deflate, inflate
from chipwise.serving.logs import why
from chipwise.serving.request_error import TOO_LARGE, TOO_SLOW, UNAUTHORIZED, RequestError, as_refusal
from chipwise.serving.routes import OPEN, PAGE, Answer, find_route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from chipwise.serving.logs import Log
    from chipwise.serving.room import Share
    from chipwise.serving.routes import Call, Headers
    from chipwise.serving.shelf import Shelf

_SMALLEST_COMPRESSED = 1024  # bytes; less is not worth the time
_CONTENT_LENGTH = 18  # digits
_BEARER = "Bearer "


class Scope(Protocol):
    """The head of a request, as RSGI gives it."""

    @property
    def proto(self) -> str:
        """Only "http" is answered."""

    @property
    def method(self) -> str:
        """As GET."""

    @property
    def path(self) -> str:
        """Without the query."""

    @property
    def client(self) -> str:
        """Who asks."""

    @property
    def headers(self) -> Headers:
        """Of the request."""


class HTTPProtocol(Protocol):
    """The body of a request and the way to answer it, as RSGI gives them."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The body, piece by piece."""

    def response_empty(self, status: int, headers: list[tuple[str, str]]) -> None:
        """Answer without a body."""

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Answer with one."""


class Application:
    """What Granian calls for every request.

    Args:
        shelf: the models.
        log: told of each request, where that is wanted.
    """

    def __init__(self, shelf: Shelf, log: Log) -> None:
        self._shelf, self._log = shelf, log
        self.listening = asyncio.Event()

    def __rsgi_init__(self, _loop: asyncio.AbstractEventLoop) -> None:
        """Granian listens."""
        self.listening.set()

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """Answer one request."""
        if scope.proto != "http":
            return
        started = time.monotonic()
        answer = await self._answered(scope, protocol)
        _send(protocol, answer, accepted(scope.headers.get("accept-encoding")))
        took_ms = round((time.monotonic() - started) * 1000, 3)
        facts = {"method": scope.method, "path": scope.path, "client": scope.client}
        self._log.request(**facts, status=answer.status, ms=took_ms, **why(answer.refused))

    async def _answered(self, scope: Scope, protocol: HTTPProtocol) -> Answer:
        try:
            route, call = find_route(scope.method, scope.path)
            self._check_token(scope, call)
            with self._shelf.room.share() as share:
                body = await self._body(scope, protocol, share) if scope.method == "POST" else b""
                return await route(self._shelf, call, scope.headers, body)
        except ChipwiseError as error:
            refused = as_refusal(error)
            self._shelf.refusals.add("http", refused)
            return _refusal(refused)

    def _check_token(self, scope: Scope, call: Call) -> None:
        token = self._shelf.settings.token
        if not token or call.name in (*OPEN, PAGE):
            return
        check_token(scope.headers.get("authorization"), token)

    async def _body(self, scope: Scope, protocol: HTTPProtocol, share: Share) -> bytes:
        limits = self._shelf.settings.limits
        stated = scope.headers.get("content-length") or "0"
        if not stated.isdigit() or len(stated) > _CONTENT_LENGTH or int(stated) > limits.body_bytes:
            raise RequestError(f"the body has {stated[:40]} bytes; at most {limits.body_bytes}", TOO_LARGE)
        try:
            async with asyncio.timeout(limits.body_s):
                data = await _received(protocol, limits.body_bytes, share)
        except TimeoutError as error:
            raise RequestError(f"the body did not come within {limits.body_s:g} s", TOO_SLOW) from error
        body = inflate(data, (scope.headers.get("content-encoding") or "").strip().lower(), limits)
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


async def _received(protocol: HTTPProtocol, most: int, share: Share) -> bytes:
    pieces, size = [], 0
    async for piece in protocol:
        size += len(piece)
        if size > most:
            raise RequestError(f"the body has more than {most} bytes", TOO_LARGE)
        share.take(len(piece))
        pieces.append(piece)
    return b"".join(pieces)


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


def _send(protocol: HTTPProtocol, answer: Answer, encoding: str) -> None:
    headers = list(answer.headers)
    if not answer.body:
        protocol.response_empty(answer.status, headers)
        return
    headers.append(("content-type", answer.kind))
    body = answer.body
    if encoding and len(body) >= _SMALLEST_COMPRESSED:
        body = deflate(body, encoding)
        headers.append(("content-encoding", encoding))
    protocol.response_bytes(answer.status, headers, body)
