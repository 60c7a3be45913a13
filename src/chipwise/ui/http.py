"""The page and its two answers: one ASGI application, from the path of a request to what is sent.

Every refusal is `{"error": ..., "hint": ..., "choice": ...}`. Only requests that name this machine are answered: a
page from elsewhere, whose name was made to lead here, is not.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from chipwise.core.errors import ChipwiseError, InputError
from chipwise.ui.choices import choices_of
from chipwise.web.asgi import first, sent

if TYPE_CHECKING:
    from collections.abc import Callable

    from chipwise.ui.choices import Choices
    from chipwise.web.asgi import Event, Receive, Send

_READ = ("GET", "HEAD")
_WAITING = 8  # requests for one answer; more are refused
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_ELSEWHERE = ("cross-site", "same-site")  # what browsers say of requests that another site's page makes
_JSON, _HTML = "application/json", "text/html; charset=utf-8"
_ALWAYS = (
    ("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer"), ("cache-control", "no-store"),
    ("cross-origin-resource-policy", "same-origin"), ("cross-origin-opener-policy", "same-origin"),
    ("x-frame-options", "DENY"),
)  # fmt: skip
_NOTHING = "default-src 'none'; frame-ancestors 'none'"


@dataclass(frozen=True, slots=True)
class Content:
    """What is shown.

    Attributes:
        html: the page; policy: the Content-Security-Policy that goes with it.
        answers: by path, what makes JSON of the choices in a query.
    """

    html: str
    policy: str
    answers: dict[str, Callable[[Choices], str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent."""

    status: int
    body: bytes
    kind: str = _JSON
    headers: tuple[tuple[str, str], ...] = ()


class Application:
    """An ASGI application.

    Args:
        content: what is shown.
        port: that is listened on.
    """

    def __init__(self, content: Content, port: int) -> None:
        self._content = content
        self._hosts = {f"{host}:{port}" for host in _LOOPBACK}
        self._threads = {path: ThreadPoolExecutor(1) for path in content.answers}  # a slow answer stops no other
        self._waiting = dict.fromkeys(content.answers, 0)

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        """Answer one request."""
        del receive  # no answer depends on a body
        answer = await self._answered(scope)
        policy = self._content.policy if answer.kind == _HTML else _NOTHING
        headers = [*_ALWAYS, ("content-security-policy", policy), ("content-type", answer.kind), *answer.headers]
        await sent(send, answer.status, headers, answer.body)

    def close(self) -> None:
        """Begin nothing more."""
        for threads in self._threads.values():
            threads.shutdown(wait=False, cancel_futures=True)

    async def _answered(self, scope: Event) -> Answer:
        headers, method, path = first(scope["headers"]), scope["method"], scope["path"]
        if headers.get("host", "").lower() not in self._hosts:
            return _refusal(403, "this page is for the machine that it runs on", "open the address that chipwise said")
        if method not in _READ:
            return _refusal(405, f"{method} is not answered here", headers=(("allow", ", ".join(_READ)),))
        if path == "/":
            return Answer(200, self._content.html.encode(), _HTML)
        if path not in self._content.answers:
            return _refusal(404, "there is no such page", f"there are /, {', '.join(self._content.answers)}")
        if headers.get("sec-fetch-site") in _ELSEWHERE:
            return _refusal(403, "another site's page asks", "open the address that chipwise said")
        return await self._made(path, scope["query_string"].decode("latin-1"))

    async def _made(self, path: str, query: str) -> Answer:
        if self._waiting[path] >= _WAITING:
            return _refusal(503, f"{_WAITING} requests wait already", headers=(("retry-after", "1"),))
        self._waiting[path] += 1
        try:
            make = self._content.answers[path]
            made = await asyncio.get_running_loop().run_in_executor(
                self._threads[path], lambda: make(choices_of(query))
            )
        except ChipwiseError as error:
            status = 400 if isinstance(error, InputError) else 500
            return _refusal(status, error.message, error.hint, choice=getattr(error, "choice", ""))
        finally:
            self._waiting[path] -= 1
        return Answer(200, made.encode())


def _refusal(status: int, error: str, hint: str = "", *, choice: str = "", headers: Any = ()) -> Answer:
    body = {"error": error, "hint": hint} | ({"choice": choice} if choice else {})
    return Answer(status, msgspec.json.encode(body), headers=tuple(headers))
