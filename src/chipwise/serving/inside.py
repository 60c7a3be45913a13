"""A plan that runs in the server's own process: no other process to wake, and none to die in its place.

Short calls are made at once, in the event loop; others in a thread beside it, so that the server goes on hearing. What
a runtime does wrong then ends the server, and a call that hangs is not ended: for networks whose answers cost
less than the way to another process, by choice (`--workers 0`).
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

from chipwise.serving.crew import start_worker
from chipwise.serving.prepared import Prepared, shapes_of

if TYPE_CHECKING:
    from pathlib import Path

    from chipwise.serving.model_facts import ModelFacts
    from chipwise.serving.settings import Settings
    from chipwise.serving.wire import Message
    from chipwise.serving.worker import Opened

_SHORT_S = 0.01  # that a call may take in the event loop


class Runner(Protocol):
    """What answers calls, one at a time: a process, or this one.

    Attributes:
        facts: of the plan.
        hung: it was given up because a call took too long.
    """

    facts: ModelFacts
    hung: bool

    @property
    def ended(self) -> bool:
        """Whether it is known to answer no more."""

    async def call(self, message: Message) -> Message:
        """Have one message answered."""

    async def close(self) -> None:
        """End."""


class Inside:
    """A plan opened in this process.

    Args:
        opened: the plan.
    """

    def __init__(self, opened: Opened) -> None:
        self.facts, self.hung, self.ended = opened.facts, False, False
        self._opened = opened
        self._prepared = Prepared()
        self._thread = ThreadPoolExecutor(1, "plan")

    def is_short(self, message: Message) -> bool:
        """Whether a call is to be made at once: tensors alone, of shapes that are prepared, and of few items."""
        short = 0 < self.facts.item_s * self.facts.items(message.arrays) <= _SHORT_S
        return short and message.kind == "infer" and shapes_of(message.arrays) in self._prepared

    def answer(self, message: Message) -> Message:
        """Make a call, here and now."""
        reply = self._opened.reply(message)
        self._prepared.note(shapes_of(message.arrays))
        return reply

    async def call(self, message: Message) -> Message:
        """Make a call in a thread of its own."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.answer, message)

    async def close(self) -> None:
        """Let the plan go, once a call that runs has ended; nobody waits for that."""
        self.ended = True
        self._thread.submit(self._opened.close)
        self._thread.shutdown(wait=False)


async def open_runner(path: Path, settings: Settings) -> Runner:
    """Open a plan, in a process of its own or in this one.

    Args:
        path: of a copy that nobody writes.
        settings: where plans run, and bounds.

    Raises:
        PlanError: the plan is damaged, or says what cannot be. RuntimeUnavailableError: it cannot run here.
        MachineError: no process can be started.
    """
    if settings.open_here is None:
        return await start_worker(path, settings.max_latency_s, settings.hang_s)
    return Inside(await asyncio.to_thread(settings.open_here, path, settings.max_latency_s))
