"""One HTTP/1.1 connection: uvicorn's, with bounds on what a client may hold, and a last word for those that are idle.

A head must come whole within a time and a size; who does not read an answer is dropped; when the server ends, a
connection that was kept gets a moment for the request that may be on its way, and is told with the answer that it was
the last one.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

if TYPE_CHECKING:
    from asyncio import TimerHandle, Transport

HEAD_BYTES, HEADERS = 64 << 10, 100  # of one request
HEAD_S = 10.0  # in which the head of a request must have come
IDLE_S = 10  # after which a kept connection is closed
_UNREAD_S = 10.0  # in which a client must have read some of an answer
_LAST_WORD_S = 0.5  # that a kept connection stays after the server was told to end
_BAD, _SLOW, _LARGE = 400, 408, 431


class Connection(HttpToolsProtocol):
    """What a server has of one client; the arguments are uvicorn's."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._in_head, self._head_bytes, self._refusal = True, 0, (_BAD, "this is no HTTP/1.1 request")
        self._late: TimerHandle | None = None
        self._ending, self._unread = False, 0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """A client is there, and has a time for its first request."""
        super().connection_made(transport)
        self._late = self.loop.call_later(HEAD_S, self._too_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """It went."""
        self._in_time()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; a head that is not there whole has a time to come, and is not kept once it is too large."""
        super().data_received(data)
        if not self._in_head or self.transport.is_closing():
            return
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES:
            self._refuse(_LARGE, f"the head of the request is larger than {HEAD_BYTES} bytes")
        elif self._late is None:
            self._late = self.loop.call_later(HEAD_S, self._too_late)

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
            self._refusal = (_LARGE, f"the request has more than {HEADERS} headers")
            raise ValueError(self._refusal[1])
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole; what follows is the application's to bound."""
        self._in_head = False
        self._in_time()
        super().on_headers_complete()
        if self._ending:
            self.cycle.keep_alive = False

    def on_response_complete(self) -> None:
        """An answer was written, if not yet read; a body that nobody wants has a time to come, too."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._watch_reader()
        elif self.cycle.more_body and self._late is None:
            self._late = self.loop.call_later(HEAD_S, self._too_late)

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
        if not self._idle:  # it may be the next request that dawdles
            self._late = self.loop.call_later(HEAD_S, self._too_late)
        elif self._in_head:
            self._refuse(_SLOW, f"the head of the request did not come within {HEAD_S:g} s")
        else:
            self.transport.close()

    def _refuse(self, status: int, message: str) -> None:
        body = json.dumps({"error": message}).encode()
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[status] + head + body)
        self.transport.close()
