"""A door with real sockets: what clients may hold, and an end at which nothing that was asked is lost."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="needs the extra serve")

from chipwise.core.errors import MachineError
from chipwise.web import connection
from chipwise.web.asgi import Event, Receive, Send, first, piece, sent
from chipwise.web.door import Door, run
from chipwise.web.listener import bound

ASK = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n"
Story = Callable[["Running"], Awaitable[None]]


class Running:
    """A door on loopback whose application says how long a body was, and waits where the path is /wait."""

    def __init__(self) -> None:
        self.listener = bound("127.0.0.1", 0)
        self.refused: list[int] = []
        self.go = asyncio.Event()
        self.door = Door(self.answer, self.listener, body_s=0.1, refused=self.refused.append)
        self.port = self.listener.getsockname()[1]

    async def answer(self, scope: Event, receive: Receive, send: Send) -> None:
        size, more = 0, scope["method"] == "POST"
        while more:
            data, more = await piece(receive)
            size += len(data)
        if scope["path"] == "/wait":
            await self.go.wait()
        body = bytes(int(scope["path"][7:])) if scope["path"].startswith("/large") else b"%d" % size
        await sent(send, 200, [("x-host", first(scope["headers"]).get("host", ""))], body)

    async def client(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)


def at_a_door(story: Story) -> None:
    async def told() -> None:
        running = Running()
        await running.door.open()
        async with asyncio.timeout(30):
            await story(running)

    run(told())


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
    headers = dict(line.split(": ", 1) for line in head[1:] if line)
    return int(head[0].split()[1]), headers, await reader.readexactly(int(headers["content-length"]))


async def said(running: Running, *pieces: bytes) -> tuple[int, dict[str, str], bytes]:
    reader, writer = await running.client()
    for each in pieces:
        writer.write(each)
        await writer.drain()
        await asyncio.sleep(0.01)
    found = await read_answer(reader)
    writer.close()
    return found


def test_requests_are_answered_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(running: Running) -> None:
        reader, writer = await running.client()
        writer.write((ASK + b"abcd") * 3 + b"GET /b HTTP/1.1\r\nHost: other\r\n\r\n")
        for wanted, host in ((b"4", "h"), (b"4", "h"), (b"4", "h"), (b"0", "other")):
            status, headers, body = await read_answer(reader)
            assert (status, body, headers["x-host"]) == (200, wanted, host)
        writer.write(b"POST /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"abcd")
        assert (await read_answer(reader))[2] == b"4"
        many = await asyncio.gather(*(said(running, ASK + b"abcd") for _ in range(50)))
        assert {(status, body) for status, _, body in many} == {(200, b"4")}
        assert (await said(running, b"GET /large 300000 HTTP/1.1\r\nHost: h\r\n\r\n".replace(b"large ", b"large/")))[
            2
        ] == bytes(300000)
        writer.close()
        await running.door.close()

    at_a_door(story)


@pytest.mark.parametrize(
    ("pieces", "status", "says"),
    [
        ([b"nonsense\r\n\r\n"], 400, "no HTTP/1.1 request"),
        ([b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"], 400, "no HTTP/1.1"),
        ([b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"], 400, "no HTTP"),
        ([b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 102], 431, "more than 100 headers"),
        ([b"GET / HTTP/1.1\r\na: " + b"b" * 70000], 431, "larger than 65536 bytes"),
        ([b"GET /" + b"b" * 70000], 431, "larger than 65536 bytes"),
        ([b"GET / HT", b"TP/1.1\r\nHo"], 408, "the head of the request did not come"),
        ([], 408, "the head of the request did not come"),
        ([ASK, b"ab", b"c"], 408, "the body did not come within 0.1 s"),
    ],
)
def test_what_never_becomes_a_request_is_refused(
    pieces: list[bytes], status: int, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HEAD_S", 0.1)

    async def story(running: Running) -> None:
        reader, writer = await running.client()
        for each in pieces:
            writer.write(each)
            await asyncio.sleep(0.01)
        found, headers, body = await read_answer(reader)
        assert (found, headers["connection"]) == (status, "close")
        assert says in json.loads(body)["error"]
        assert await reader.read() == b""
        assert running.refused == [status]
        writer.close()
        await running.door.close()

    at_a_door(story)


def test_a_request_that_dawdles_behind_another_waits_for_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_S", 0.05)

    async def story(running: Running) -> None:
        reader, writer = await running.client()
        writer.write(b"GET /wait HTTP/1.1\r\nHost: h\r\n\r\nGET /b HT")
        await asyncio.sleep(0.2)
        assert running.refused == []
        running.go.set()
        assert (await read_answer(reader))[0] == 200
        assert (await read_answer(reader))[0] == 408
        writer.close()
        await running.door.close()

    at_a_door(story)


def test_connections_that_are_kept_for_nothing_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_UNREAD_S", 0.1)

    async def story(running: Running) -> None:
        running.door._config.timeout_keep_alive = 0.1  # type: ignore[assignment]
        reader, writer = await running.client()
        writer.write(ASK + b"abcd")
        assert (await read_answer(reader))[0] == 200
        assert await reader.read() == b"", "nothing was asked for a while"
        writer.close()
        with socket.create_connection(("127.0.0.1", running.port)) as deaf:
            deaf.setblocking(False)
            await asyncio.get_running_loop().sock_sendall(deaf, b"GET /large/50000000 HTTP/1.1\r\nHost: h\r\n\r\n")
            connections: Any = running.door._server.server_state.connections
            while not connections:
                await asyncio.sleep(0.01)
            while connections:
                await asyncio.sleep(0.01)
        await running.door.close()

    at_a_door(story)


def test_at_the_end_everything_that_was_asked_is_answered() -> None:
    async def story(running: Running) -> None:
        kept, waiting, silent = [await running.client() for _ in range(3)]
        kept[1].write(ASK + b"abcd")
        assert (await read_answer(kept[0]))[1].get("connection") is None
        waiting[1].write(b"GET /wait HTTP/1.1\r\nHost: h\r\n\r\n")
        await asyncio.sleep(0.05)
        late = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(20)]  # taken by the system alone
        for each in late:
            each.sendall(ASK + b"abcd")
        ending = asyncio.create_task(running.door.close())
        await asyncio.sleep(0.1)
        kept[1].write(ASK + b"abcd")  # it was on its way
        status, headers, body = await read_answer(kept[0])
        assert (status, headers["connection"], body) == (200, "close", b"4")
        assert await kept[0].read() == b""
        for each in late:
            each.setblocking(False)
            answer = await asyncio.get_running_loop().sock_recv(each, 1000)
            assert answer.startswith(b"HTTP/1.1 200 OK")
            each.close()
        with pytest.raises(ConnectionRefusedError):
            await running.client()
        assert not ending.done()
        running.go.set()
        status, headers, _ = await read_answer(waiting[0])
        assert (status, headers["connection"]) == (200, "close")
        await ending
        assert await silent[0].read() == b""
        for _, writer in (kept, waiting, silent):
            writer.close()

    at_a_door(story)


def test_an_address_that_cannot_be_had() -> None:
    with bound("127.0.0.1", 0) as taken:
        taken.listen()
        with pytest.raises(MachineError, match="Address already in use"):
            bound("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(MachineError, match=r"cannot listen on 192\.0\.2\.1 port 80"):
        bound("192.0.2.1", 80)
