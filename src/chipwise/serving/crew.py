"""Worker processes from the server's side: started, called, missed when they die, ended when they hang.

Each worker is a process with one plan open, at the other end of a socket pair. A call to a worker that died raises
`WorkerDiedError`, and so does one that takes longer than `patience` allows, once its process is killed; whoever called
decides what becomes of the request.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from chipwise.core.errors import MachineError, PlanError, RuntimeUnavailableError
from chipwise.serving.model_facts import ModelFacts
from chipwise.serving.patience import patience_s
from chipwise.serving.prepared import Prepared, Shapes, shapes_of
from chipwise.serving.wire import SIZES, Message, parse

if TYPE_CHECKING:
    from pathlib import Path

    Process = subprocess.Popen[bytes]

_STREAM_BYTES = 1 << 20  # that are read ahead of whoever waits for them
_OPENING_S = 600.0  # an engine is built: OpenVINO takes minutes for the largest networks
_SECOND_LOOK_S = 1.0  # this process may have stood still itself: then the answer is there, and is read meanwhile


class WorkerDiedError(MachineError):
    """A worker process ended before it answered."""


class Worker:
    """One process, ready to be called; one call at a time.

    Args:
        process: that was started.
        reader, writer: its socket.
        facts: of the plan that it opened.
        hang_s: after which a call is given up; None for what follows from the plan's measured time.

    Attributes:
        hung: it was killed because a call took longer.
    """

    def __init__(
        self,
        process: Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        facts: ModelFacts,
        hang_s: float | None = None,
    ) -> None:
        self.process, self.facts, self.hung = process, facts, False
        self._reader, self._writer, self._hang_s = reader, writer, hang_s
        self._prepared = Prepared()

    @property
    def ended(self) -> bool:
        """Whether the process is known to have ended."""
        return self._reader.at_eof()

    async def call(self, message: Message) -> Message:
        """Have one message answered.

        Raises:
            WorkerDiedError: it ended meanwhile, or hung and was ended.
        """
        shapes = shapes_of(message.arrays)
        loop = asyncio.get_running_loop()
        self._watch = loop.call_later(self._patience_s(message, shapes), self._look_again)
        try:
            reply = await _exchange(self._reader, self._writer, message)
        finally:
            self._watch.cancel()
        self._prepared.note(shapes)
        return reply

    def _patience_s(self, message: Message, shapes: Shapes) -> float:
        if self._hang_s is not None:
            return self._hang_s
        items = self.facts.items(message.arrays)
        return patience_s(self.facts.item_s, items, prepared=shapes in self._prepared)

    def _look_again(self) -> None:
        self._watch = asyncio.get_running_loop().call_later(_SECOND_LOOK_S, self._end_hung)

    def _end_hung(self) -> None:
        self.hung = True
        self.process.kill()
        self._writer.transport.abort()  # so that the call ends also where the system does not end the process

    async def close(self) -> None:
        """End the process, whatever it is doing."""
        self._writer.close()
        await _end(self.process)


async def start_worker(path: Path, max_latency_s: float | None, hang_s: float | None = None) -> Worker:
    """Start a process and have it open a plan.

    Args:
        path: of a copy that nobody writes.
        max_latency_s: the bound that batches must keep; None for no batches.
        hang_s: after which a call is given up; None for what follows from the plan's measured time.

    Raises:
        PlanError: the plan is damaged, or says what cannot be. RuntimeUnavailableError: it cannot run here.
        MachineError: no process can be started.
    """
    try:
        process, reader, writer = await _begun()
    except OSError as error:
        raise MachineError(f"cannot start a worker process: {error.strerror or error}") from error
    order: dict[str, Any] = {"path": str(path), "max_latency_s": max_latency_s}
    kept = False
    try:
        async with asyncio.timeout(_OPENING_S):
            reply = await _exchange(reader, writer, Message("open", order))
        if reply.kind == "refused":
            kind = PlanError if reply.facts["bad_input"] else RuntimeUnavailableError
            raise kind(reply.facts["message"])
        facts = msgspec.convert(reply.facts["model"], ModelFacts)
        kept = True
        return Worker(process, reader, writer, facts, hang_s)
    except TimeoutError as error:
        raise RuntimeUnavailableError(f"the plan was not open after {_OPENING_S:g} s") from error
    except WorkerDiedError as error:
        raise RuntimeUnavailableError("the worker process ended while it opened the plan") from error
    finally:
        if not kept:
            writer.close()
            await _end(process)


async def _begun() -> tuple[Process, asyncio.StreamReader, asyncio.StreamWriter]:
    """A process that waits for orders, and its socket."""
    ours, theirs = socket.socketpair()
    with contextlib.ExitStack() as failed:
        failed.callback(ours.close)  # which ends the process, where there is one
        with theirs:
            command = (sys.executable, "-P", "-m", "chipwise.serving.worker", str(theirs.fileno()))
            process = subprocess.Popen(  # noqa: S603  our own module; uvloop would fork, which gRPC minds
                command,
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the server alone
            )
        reader, writer = await asyncio.open_connection(sock=ours, limit=_STREAM_BYTES)
        failed.pop_all()
    return process, reader, writer


async def _end(process: Process) -> None:
    """Kill a process and wait for its end."""
    process.kill()
    await asyncio.to_thread(process.wait)


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: Message) -> Message:
    try:
        writer.writelines(message.frames())
        await writer.drain()
        header_bytes, rest_bytes = SIZES.unpack(await reader.readexactly(SIZES.size))
        header = await reader.readexactly(header_bytes)
        return parse(header, await reader.readexactly(rest_bytes))
    except (asyncio.IncompleteReadError, OSError) as error:
        raise WorkerDiedError("the worker process ended") from error
