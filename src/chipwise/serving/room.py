"""Memory for what clients send: all requests that are being read or answered share it, and none waits for it.

>>> room = Room(100)
>>> with room.share() as share:
...     share.take(60)
...     room.held
60
>>> room.held
0
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from chipwise.serving.request_error import UNAVAILABLE, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Room:
    """Bytes of all requests together.

    Args:
        most: that may be held.
    """

    def __init__(self, most: int) -> None:
        self.most, self.held = most, 0

    @contextmanager
    def share(self) -> Iterator[Share]:
        """What one request takes, until it is answered."""
        share = Share(self)
        try:
            yield share
        finally:
            self.held -= share.taken


class Share:
    """What one request holds of a `Room`."""

    def __init__(self, room: Room) -> None:
        self._room, self.taken = room, 0

    def take(self, size: int) -> None:
        """Hold more bytes.

        Raises:
            RequestError: the others hold too much already.
        """
        if self._room.held + size > self._room.most:
            raise RequestError("too much is being sent at the same time", UNAVAILABLE, retry_after_s=1)
        self._room.held += size
        self.taken += size
