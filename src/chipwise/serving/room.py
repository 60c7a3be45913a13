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

from typing import Self

from chipwise.serving.request_error import UNAVAILABLE, RequestError


class Room:
    """Bytes of all requests together.

    Args:
        most: that may be held.
    """

    def __init__(self, most: int) -> None:
        self.most, self.held = most, 0

    def share(self) -> Share:
        """What one request takes, until it is answered."""
        return Share(self)


class Share:
    """What one request holds of a `Room`; it is given back at the end of the context."""

    __slots__ = ("_room", "taken")

    def __init__(self, room: Room) -> None:
        self._room, self.taken = room, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._room.held -= self.taken

    def take(self, size: int) -> None:
        """Hold more bytes.

        Raises:
            RequestError: the others hold too much already.
        """
        if self._room.held + size > self._room.most:
            raise RequestError("too much is being sent at the same time", UNAVAILABLE, retry_after_s=1)
        self._room.held += size
        self.taken += size
