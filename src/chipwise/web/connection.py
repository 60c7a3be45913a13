"""One HTTP/1.1 connection: uvicorn's, with bounds on what a client may hold, and a last word for those that are idle.

A head must come whole within a time and a size, and a body within a time; who does not read an answer is dropped. When
the server ends, a connection that was kept gets a moment for the request that may be on its way, and is told with
the answer that it was the last one. An answer is written at once, head and body.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

if TYPE_CHECKING:
    from asyncio import TimerHandle, Transport
    from collections.abc import Callable

HEAD_BYTES, HEADERS = 64 << 10, 100  # of one request
HEAD_S = 10.0  # in which the head of a request must have come
IDLE_S = 10  # after which a kept connection is closed
BAD, SLOW, LARGE_HEAD = 400, 408, 431  # statuses of what is refused here
_UNREAD_S = 10.0  # in which a client must have read some of an answer
_LAST_WORD_S = 0.5  # that a kept connection stays after the server was told to end

_ANSWER, _CONTINUE = b"HTTP/1.1 ", b"HTTP/1.1 100"
_HELD_BYTES = 64 << 10  # that an answer waits for


class Connection(HttpToolsProtocol):
    """What a server has of one client.

    Args:
        body_s: in which a request's body must have come.
        refused: told of the status of what is refused here, before any application sees it.
        named: uvicorn's.
    """

    def __init__(self, *, body_s: float, refused: Callable[[int], None], **named: Any) -> None:
        super().__init__(**named)
        self._body_s, self._refused = body_s, refused
        self._in_head, self._head_bytes, self._refusal = True, 0, (BAD, "this is no HTTP/1.1 request")
        self._late: TimerHandle | None = None
        self._ending, self._unread = False, 0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """A client is there, and has a time for its first request."""
        self._writes = JoinedWrites(transport)
        super().connection_made(self._writes)  # type: ignore[arg-type]
        self._late = self.loop.call_later(HEAD_S, self._too_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """It went."""
        self._in_time()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; what is not there whole has a time to come, and a head is not kept once it is too large."""
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._refuse(LARGE_HEAD, f"the head of the request is larger than {HEAD_BYTES} bytes")
                return
        if self._late is None and (self._in_head or self.cycle.more_body):
            self._late = self.loop.call_later(HEAD_S if self._in_head else self._body_s, self._too_late)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """One more header.

        Raises:
            ValueError: they are too many; the parser makes a refusal of it.
        """
        if len(self.headers) >= HEADERS:
            self._refusal = (LARGE_HEAD, f"the request has more than {HEADERS} headers")
            raise ValueError(self._refusal[1])
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head = False
        self._in_time()
        super().on_headers_complete()
        if self._ending:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """The body is."""
        self._in_time()
        super().on_message_complete()
        self.cycle.more_body = False  # also where it was answered before

    def on_response_complete(self) -> None:
        """An answer was written, if not yet read: with others of this turn of the event loop, where there are any.

        Every write may wake its client, who would then take turns with the server on a core.
        """
        if len(self.tasks) > 1:
            self.loop.call_soon(self._writes.flush)
        else:
            self._writes.flush()
        super().on_response_complete()
        if self.transport.is_closing():
            self._watch_reader()

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be read, in the form of all refusals."""
        del msg
        self._refuse(*self._refusal)

    def shutdown(self) -> None:
        """The server ends: the next answer is the last one, and who asks nothing more is gone soon."""
        self._ending = True
        if self._idle:
            self.loop.call_later(_LAST_WORD_S, self._close_if_idle)
        else:
            super().shutdown()

    def timeout_keep_alive_handler(self) -> None:
        """Nothing came for a while: the connection ends, at once where its client reads nothing either."""
        super().timeout_keep_alive_handler()
        self._watch_reader()

    @property
    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _close_if_idle(self) -> None:
        if self._idle:
            self.transport.close()

    def _watch_reader(self) -> None:
        """Drop the client where nothing of what is left to send goes out for a while."""
        left = self.transport.get_write_buffer_size()
        if left and left == self._unread:
            self.transport.abort()
        elif left:
            self._unread = left
            self.loop.call_later(_UNREAD_S, self._watch_reader)

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _too_late(self) -> None:
        self._late = None
        if self._in_head and self._idle:
            self._refuse(SLOW, f"the head of the request did not come within {HEAD_S:g} s")
        elif self._in_head:  # the next request dawdles, and the one before is not answered
            self._late = self.loop.call_later(HEAD_S, self._too_late)
        elif self._idle:
            self.transport.close()  # what is still to come was answered already
        else:
            self._refuse(SLOW, f"the body did not come within {self._body_s:g} s")

    def _refuse(self, status: int, message: str) -> None:
        body = json.dumps({"error": message}).encode()
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[status] + head + body)
        self.transport.close()
        self._refused(status)


class JoinedWrites:
    """A transport that writes an answer's head together with its body: one call of the system, not two.

    Args:
        transport: that it is.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport, self._held = transport, b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write; an answer waits for `flush` unless it is large."""
        if self._held or (data.startswith(_ANSWER) and not data.startswith(_CONTINUE)):
            self._held += data
            if len(self._held) > _HELD_BYTES:
                self.flush()
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Write what waits."""
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held)

    def close(self) -> None:
        """Write what waits, and close."""
        self.flush()
        self._transport.close()
