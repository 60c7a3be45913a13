"""Paths to what is done for them. Each route is a function from models, the call, headers and body to an answer."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from chipwise.serving import documents
from chipwise.serving.answer import Reply, write_answer
from chipwise.serving.metrics import CONTENT_TYPE, exposition
from chipwise.serving.model_facts import fitted
from chipwise.serving.openapi import openapi
from chipwise.serving.pictures import look
from chipwise.serving.request import header_bytes, read_request
from chipwise.serving.request_error import ABSENT, NO_SUCH_METHOD, UNAVAILABLE, RequestError
from chipwise.serving.wire import Message
from chipwise.views.serve_page import serve_page

if TYPE_CHECKING:
    from chipwise.serving.shelf import Shelf

JSON, BINARY = "application/json", "application/octet-stream"
HEADER_LENGTH = "inference-header-content-length"
OPEN = ("live", "ready")  # what a probe asks needs no token
PAGE = "page"  # nor does the status page, which has no data and asks for the token
_KNOWN_ROUTES, _KNOWN_PATH = 1024, 256  # paths that are kept, and characters of one
_PAGE_HEADERS = (
    ("cache-control", "no-store"), ("referrer-policy", "no-referrer"), ("x-content-type-options", "nosniff"),
)  # fmt: skip


class Headers(Protocol):
    """Headers of a request, by names in small letters."""

    def get(self, key: str, default: Any = None) -> Any:
        """One of them."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a path names: the route, and the model and version in it."""

    name: str
    model: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back; `refused` says why, where it is a refusal."""

    status: int = 200
    body: bytes = b""
    kind: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    refused: str = ""


Route = Callable[["Shelf", Call, Headers, bytes], Awaitable[Answer]]


async def _live(_shelf: Shelf, _call: Call, _headers: Headers, _body: bytes) -> Answer:
    return _json({"live": True})


async def _ready(shelf: Shelf, _call: Call, _headers: Headers, _body: bytes) -> Answer:
    return _json({"ready": shelf.ready}, 200 if shelf.ready else UNAVAILABLE)


async def _server(_shelf: Shelf, _call: Call, _headers: Headers, _body: bytes) -> Answer:
    return _json(documents.server_metadata())


async def _model_ready(shelf: Shelf, call: Call, _headers: Headers, _body: bytes) -> Answer:
    serving = shelf.find(call.model, call.version)
    ready = not serving.broken and not shelf.stopping
    return _json({"name": serving.name, "ready": ready}, 200 if ready else UNAVAILABLE)


async def _model(shelf: Shelf, call: Call, _headers: Headers, _body: bytes) -> Answer:
    return _json(documents.model_metadata(shelf.find(call.model, call.version)))


async def _config(shelf: Shelf, call: Call, _headers: Headers, _body: bytes) -> Answer:
    return _json(documents.model_config(shelf.find(call.model, call.version), shelf.settings.workers))


async def _statistics(shelf: Shelf, call: Call, _headers: Headers, _body: bytes) -> Answer:
    return _json(documents.statistics(shelf, call.model, call.version))


async def _infer(shelf: Shelf, call: Call, headers: Headers, body: bytes) -> Answer:
    serving = shelf.find(call.model, call.version)
    request = read_request(body, header_bytes(headers.get(HEADER_LENGTH)), shelf.settings.limits)
    message = Message("infer", arrays=fitted(request, serving.facts))
    reply = await shelf.turns.infer(serving, message, request.timeout_s)
    outputs = {spec.name: array for spec, array in zip(serving.facts.outputs, reply.arrays, strict=True)}
    made = write_answer(Reply(serving.name, serving.version, outputs, serving.facts.labels), request)
    if made.header_bytes is None:
        return Answer(body=made.body)
    return Answer(body=made.body, kind=BINARY, headers=((HEADER_LENGTH, str(made.header_bytes)),))


async def _index(shelf: Shelf, _call: Call, _headers: Headers, body: bytes) -> Answer:
    ready = _asked(body).get("ready", False)
    if not isinstance(ready, bool):
        raise RequestError("'ready' is neither true nor false")
    return _json(documents.repository_index(shelf, ready=ready))


async def _load(shelf: Shelf, call: Call, _headers: Headers, body: bytes) -> Answer:
    if _asked(body).get("parameters"):
        raise RequestError("a model is opened from its plan file; parameters of load are not supported")
    await shelf.load(call.model)
    return Answer()


async def _unload(shelf: Shelf, call: Call, _headers: Headers, body: bytes) -> Answer:
    parameters = _asked(body).get("parameters")  # clients send "unload_dependents", and plans have none
    if isinstance(parameters, dict) and set(parameters) - {"unload_dependents"}:
        raise RequestError("unload takes no parameters but 'unload_dependents'")
    await shelf.unload(call.model)
    return Answer()


async def _classify(shelf: Shelf, call: Call, _headers: Headers, body: bytes) -> Answer:
    return _json({"labels": (await look(shelf, call.model, "classification", body)).facts["said"]["labels"]})


async def _detect(shelf: Shelf, call: Call, _headers: Headers, body: bytes) -> Answer:
    return _json({"boxes": (await look(shelf, call.model, "detection", body)).facts["said"]["boxes"]})


async def _segment(shelf: Shelf, call: Call, _headers: Headers, body: bytes) -> Answer:
    return Answer(body=bytes((await look(shelf, call.model, "segmentation", body)).blob), kind="image/png")


async def _metrics(shelf: Shelf, _call: Call, _headers: Headers, _body: bytes) -> Answer:
    return Answer(body=exposition(shelf) if shelf.numbers is None else await shelf.numbers(), kind=CONTENT_TYPE)


async def _openapi(_shelf: Shelf, _call: Call, _headers: Headers, _body: bytes) -> Answer:
    return _json(openapi())


async def _page(shelf: Shelf, _call: Call, _headers: Headers, _body: bytes) -> Answer:
    page = serve_page(token=bool(shelf.settings.token))
    headers = (("content-security-policy", page.policy), *_PAGE_HEADERS)
    return Answer(body=page.html.encode(), kind="text/html; charset=utf-8", headers=headers)


_MODEL = r"/v2/models/(?P<model>[^/]+)(?:/versions/(?P<version>[^/]+))?"
_REPOSITORY = r"/v2/repository"
# Path, method, name, function.
_TABLE: tuple[tuple[re.Pattern[str], str, str, Route], ...] = tuple(
    (re.compile(path), method, name, function)
    for path, method, name, function in (
        (rf"{_MODEL}/infer", "POST", "infer", _infer),
        (r"/v2/health/live", "GET", "live", _live),
        (r"/v2/health/ready", "GET", "ready", _ready),
        (r"/v2/?", "GET", "server", _server),
        (rf"{_MODEL}/ready", "GET", "model_ready", _model_ready),
        (rf"{_MODEL}/config", "GET", "config", _config),
        (rf"{_MODEL}/stats", "GET", "statistics", _statistics),
        (r"/v2/models/stats", "GET", "statistics", _statistics),
        (_MODEL, "GET", "model", _model),
        (r"/v2/models/(?P<model>[^/]+)/classify", "POST", "classify", _classify),
        (r"/v2/models/(?P<model>[^/]+)/detect", "POST", "detect", _detect),
        (r"/v2/models/(?P<model>[^/]+)/segment", "POST", "segment", _segment),
        (rf"{_REPOSITORY}/index", "POST", "index", _index),
        (rf"{_REPOSITORY}/models/(?P<model>[^/]+)/load", "POST", "load", _load),
        (rf"{_REPOSITORY}/models/(?P<model>[^/]+)/unload", "POST", "unload", _unload),
        (r"/metrics", "GET", "metrics", _metrics),
        (r"/openapi\.json", "GET", "openapi", _openapi),
        (r"/", "GET", PAGE, _page),
    )
)


def find_route(method: str, path: str) -> tuple[Route, Call]:
    """What is done for a path.

    Raises:
        RequestError: there is no such path, or it is asked with another method.
    """
    return _known_route(method, path) if len(path) <= _KNOWN_PATH else _found(method, path)


def _found(method: str, path: str) -> tuple[Route, Call]:
    wanted = ""
    for pattern, needed, name, function in _TABLE:
        match = pattern.fullmatch(path)
        if match is None:
            continue
        if method == needed or (method == "HEAD" and needed == "GET"):
            return function, Call(name, **{key: value or "" for key, value in match.groupdict().items()})
        wanted = needed
    if wanted:
        raise RequestError(f"{method[:20]} is not allowed here; {wanted} is", NO_SUCH_METHOD, allowed=wanted)
    raise RequestError(f"there is nothing at '{path[:200]}'", ABSENT)


_known_route = lru_cache(_KNOWN_ROUTES)(_found)  # clients ask the same again and again


def _json(value: Any, status: int = 200) -> Answer:
    return Answer(status, msgspec.json.encode(value))


def _asked(body: bytes) -> Mapping[str, Any]:
    """The JSON object of a request that may have none."""
    if not body.strip():
        return {}
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise RequestError(f"the body is no JSON object: {str(error)[:200]}") from error
