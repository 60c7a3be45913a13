"""A cheap HTTP/1.1 client that asks one thing again and again over kept connections, and notes how long answers take.

One thread and one selector for all connections; a request is bytes that were made before, an answer is bytes until its
Content-Length is there. Two ways to ask:

closed   so many clients, each asks again once it is answered: what the server can do.
offered  requests come at a rate, whether the server is ready or not (Poisson); a latency runs from when the request
         came, not from when a connection was free for it, so that a server that stalls does not hide it.

>>> round(Load([0.1, 0.2, 0.3], failed=0, seconds=2.0, client_s=0.0).requests_s, 3)
1.5
"""

from __future__ import annotations

import re
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

MOST = 128  # connections of an offered load
PATIENCE = 10
LATE_S = 1.0  # after the last request, in which answers count
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_END = b"\r\n\r\n"
Address = tuple[str, int]


@dataclass(frozen=True)
class Load:
    """What became of a load.

    Attributes:
        latencies_s: of requests that were answered with status 200.
        failed: other answers, and none at all.
        seconds: that it took; client_s: processor time of the client in it.
        wrong: answers with status 200 that say something else than they must; they are none of the others.
    """

    latencies_s: Sequence[float]
    failed: int
    seconds: float
    client_s: float
    wrong: int = 0

    @property
    def requests_s(self) -> float:
        """Requests a second that were answered."""
        return len(self.latencies_s) / self.seconds

    def quantile_s(self, share: float) -> float:
        """Latency within which a share of all requests was answered; infinite where so many were not."""
        latencies = np.sort(np.asarray(self.latencies_s))
        rank = int(np.ceil(share * (len(latencies) + self.failed))) - 1
        return float(latencies[rank]) if 0 <= rank < len(latencies) else float("inf")


@dataclass
class Connection:
    """One kept connection: what it still has to send, what has come, and when its request came."""

    address: Address
    selector: selectors.BaseSelector
    came: float = 0.0
    rest: memoryview = field(default_factory=lambda: memoryview(b""))
    buffer: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        self.connect()

    def connect(self) -> None:
        """Open it, for the first time or again."""
        self.socket = socket.create_connection(self.address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.selector.register(self.socket, selectors.EVENT_READ, self)

    def close(self) -> None:
        """Close it."""
        self.selector.unregister(self.socket)
        self.socket.close()

    def ask(self, request: bytes, came: float) -> None:
        """Send a request, as far as the system takes it now."""
        self.came, self.rest, self.buffer = came, memoryview(request), bytearray()
        self.push()

    def push(self) -> None:
        """Send more of it; wait until that is possible where some is left."""
        try:
            self.rest = self.rest[self.socket.send(self.rest) :]
        except BlockingIOError:
            pass
        except OSError:  # the server went; reading finds out
            self.rest = self.rest[:0]
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.rest else 0)
        if self.selector.get_key(self.socket).events != events:
            self.selector.modify(self.socket, events, self)

    def answered(self, events: int) -> bool | None:
        """Whether the answer has status 200; None while it is not there."""
        if events & selectors.EVENT_WRITE:
            self.push()
        if not events & selectors.EVENT_READ:
            return None
        try:
            piece = self.socket.recv(1 << 18)
        except BlockingIOError:
            return None
        except OSError:
            piece = b""
        if not piece:
            self.close()
            self.connect()
            return False
        self.buffer += piece
        return whole(self.buffer)


def whole(buffer: bytes | bytearray) -> bool | None:
    """Whether an answer has status 200; None while it is not whole."""
    head = buffer.find(_END)
    if head < 0:
        return None
    length = _LENGTH.search(buffer, 0, head)
    if length is None:
        raise SystemExit(f"an answer without Content-Length: {bytes(buffer[:head])!r}")
    return buffer.startswith(b"200", 9) if len(buffer) >= head + len(_END) + int(length[1]) else None


def once(address: Address, request: bytes) -> tuple[bool, bytes]:
    """Ask once: whether the status is 200, and the body."""
    with selectors.DefaultSelector() as selector:
        connection = Connection(address, selector)
        connection.ask(request, 0.0)
        while True:
            for _, events in selector.select():
                good = connection.answered(events)
                if good is not None:
                    body = bytes(connection.buffer).partition(_END)[2]
                    connection.close()
                    return good, body


def closed(address: Address, request: bytes, *, clients: int, seconds: float) -> Load:
    """Let so many clients ask, each again once it is answered; for longer, until each could be answered once.

    A server that does not get so far in `PATIENCE` times the seconds is given up.
    """
    latencies: list[float] = []
    failed = 0
    with selectors.DefaultSelector() as selector:
        connections = [Connection(address, selector) for _ in range(clients)]
        begun, cpu = time.perf_counter(), time.process_time()
        until, last = begun + seconds, begun + PATIENCE * seconds
        for each in connections:
            each.ask(request, time.perf_counter())
        while (now := time.perf_counter()) < until or (len(latencies) + failed < clients and now < last):
            for key, events in selector.select((until if now < until else last) - now):
                connection: Connection = key.data
                good = connection.answered(events)
                if good is None:
                    continue
                now = time.perf_counter()
                if good:
                    latencies.append(now - connection.came)
                else:
                    failed += 1
                connection.ask(request, now)
        spent, cpu = time.perf_counter() - begun, time.process_time() - cpu
        for each in connections:
            each.close()
    return Load(latencies, failed, spent, cpu)


def offered(
    address: Address,
    request: bytes,
    *,
    rate: float,
    seconds: float,
    seed: int = 0,
    right: Callable[[bytes], bool] | None = None,
) -> Load:
    """Offer requests at a rate; what waits longer than `LATE_S` after the last came is a failure.

    Args:
        address: of the server.
        request: the bytes of each.
        rate: requests a second.
        seconds: for which they come.
        seed: that the times are drawn with.
        right: whether a body is the right answer; None to take all for that.
    """
    gaps = np.random.default_rng(seed).exponential(1 / rate, max(int(rate * seconds), 1))
    latencies: list[float] = []
    failed = wrong = 0
    with selectors.SelectSelector() as selector:  # waits to the microsecond; epoll to the millisecond
        connections = [Connection(address, selector) for _ in range(MOST)]
        idle, waiting = deque(connections), deque[float]()
        begun, cpu = time.perf_counter(), time.process_time()
        coming = deque((begun + np.cumsum(gaps)).tolist())
        until = coming[-1] + LATE_S
        while len(latencies) + failed + wrong < len(gaps) and (now := time.perf_counter()) < until:
            while coming and coming[0] <= now:
                waiting.append(coming.popleft())
            while waiting and idle:
                idle.popleft().ask(request, waiting.popleft())
            for key, events in selector.select(max((coming[0] if coming else until) - now, 0)):
                good = key.data.answered(events)
                if good is None:
                    continue
                idle.append(key.data)
                if not good:
                    failed += 1
                elif right is None or right(bytes(key.data.buffer).partition(_END)[2]):
                    latencies.append(time.perf_counter() - key.data.came)
                else:
                    wrong += 1
        spent, cpu = time.perf_counter() - begun, time.process_time() - cpu
        for each in connections:
            each.close()
    return Load(latencies, len(gaps) - len(latencies) - wrong, spent, cpu, wrong)
