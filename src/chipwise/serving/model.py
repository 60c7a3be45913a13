"""One version of a model that is being served: its queue, its worker processes, and what became of its requests.

Everything here runs in the server's one event loop, so nothing is locked.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chipwise.core.errors import ChipwiseError
from chipwise.serving.batching import call_items, joined, largest, split
from chipwise.serving.crew import WorkerDiedError
from chipwise.serving.inside import Inside, open_runner
from chipwise.serving.request_error import BAD, BROKEN, EXPIRED, UNAVAILABLE, RequestError, overloaded
from chipwise.serving.tally import Tally
from chipwise.serving.wire import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from chipwise.serving.inside import Runner
    from chipwise.serving.settings import Settings

    Batches = tuple[tuple[int, float], ...]  # (items, seconds a call), as measured

_RESTARTS = 3  # in a row that may fail before the model is given up
_PAUSE_S = 0.5  # before a worker that would not start is started again
_UNLOADED = "it was unloaded"


@dataclass(eq=False, slots=True)
class Pending:
    """A request that waits, or is being answered.

    Attributes:
        message: for the worker; key: what requests that are joined share, None to run alone; items: in it.
        future: of the worker's answer for this request; None where it did not come in time.
        arrived: on the monotonic clock, seconds.
        tried: a worker died or hung on it.
    """

    message: Message
    items: int
    key: tuple[tuple[int, ...], ...] | None
    future: asyncio.Future[Message | None]
    arrived: float
    tried: bool = False


class Serving:
    """One version of a model.

    Args:
        name, version: as clients call it.
        path: a copy of the plan that nobody writes, for workers that are started anew.
        workers: that have opened it.
        settings: bounds.
        freed: called when a worker has become free.
    """

    def __init__(
        self,
        name: str,
        version: str,
        path: Path,
        workers: list[Runner],
        *,
        settings: Settings,
        freed: Callable[[], None],
    ) -> None:
        self.name, self.version, self.facts = name, version, workers[0].facts
        self.most = largest(self.facts.batches, settings.max_latency_s)
        self._sizes = tuple(each for each in self.facts.batches if each[0] <= self.most)
        self.tally, self.broken, self.restarts, self.hung = Tally(), "", 0, 0
        self.joins_turn = isinstance(workers[0], Inside) and self.most > 1  # what comes in one turn of the event loop
        self.virtual_s = 0.0
        self.running = 0
        self.path = path
        self._settings, self._freed = settings, freed
        self._workers, self._idle, self._waiting = set(workers), list(workers), deque[Pending]()
        self._restarting: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._waiting)

    @property
    def ready(self) -> bool:
        """Whether a call could begin now: a request waits and a worker is free."""
        while self._waiting and self._waiting[0].future.done():  # given up meanwhile
            self._waiting.popleft()
        for worker in [each for each in self._idle if each.ended]:  # so that no request finds out
            self._idle.remove(worker)
            self._replace(worker)
        return bool(self._waiting and self._idle)

    def put(self, message: Message, items: int, key: tuple[tuple[int, ...], ...] | None) -> Pending:
        """Put a request into the queue.

        Raises:
            RequestError: the queue is full, or no worker is left.
        """
        if self.broken:
            raise RequestError(f"model '{self.name}' is not available: {self.broken}", UNAVAILABLE)
        if len(self._waiting) >= self._settings.queue:
            self._waiting = deque(each for each in self._waiting if not each.future.done())
        if len(self._waiting) >= self._settings.queue:
            raise overloaded(self.name, len(self._waiting))
        future: asyncio.Future[Message | None] = asyncio.get_running_loop().create_future()
        pending = Pending(message, items, key, future, time.monotonic())
        self._waiting.append(pending)
        return pending

    def start(self) -> Coroutine[Any, Any, None] | None:
        """Answer what waits longest, with what can be joined to it; `ready` said that there is a worker, too.

        Returns:
            what is to be awaited for that; None where it is answered already, as it took no time worth mentioning.
        """
        batch, worker = self._batch(), self._idle.pop()
        message = _together(batch, self._sizes)
        self.running += 1
        if message is not None and isinstance(worker, Inside) and worker.is_short(message):
            return self._at_once(batch, message, worker)
        return self._run(batch, message, worker)

    def _at_once(self, batch: list[Pending], message: Message, worker: Inside) -> Coroutine[Any, Any, None] | None:
        started = time.monotonic()
        try:
            reply = worker.answer(message)
        except MemoryError:  # `_run` meets it again, and makes the best of it
            return self._run(batch, message, worker)
        self._idle.append(worker)
        self._answered(batch, reply, started)
        self.running -= 1
        self.virtual_s += time.monotonic() - started
        return None

    async def _run(self, batch: list[Pending], message: Message | None, worker: Runner) -> None:
        """Have a worker answer; None is what there was no memory for."""
        started = time.monotonic()
        try:
            if message is None:
                self._idle.append(worker)
                self._apart(batch)
            else:
                await self._call(batch, message, worker)
        finally:
            self.running -= 1
            self.virtual_s += time.monotonic() - started
            self._freed()

    async def _call(self, batch: list[Pending], message: Message, worker: Runner) -> None:
        started = time.monotonic()
        try:
            reply = await worker.call(message)
        except (WorkerDiedError, MemoryError):  # half an answer may be left, which no other request must get
            self._missed(batch, worker)
        else:
            self._idle.append(worker)
            self._answered(batch, reply, started)

    async def drained(self) -> None:
        """Wait until nothing waits or runs."""
        while self.ready or self._waiting or self.running:
            await asyncio.sleep(0.01)

    async def close(self) -> None:
        """End the workers; what still waits is refused."""
        self._closed = True
        self._idle.clear()
        for task in self._restarting:
            task.cancel()
        self._refuse_all(_UNLOADED)
        await asyncio.gather(*self._restarting, return_exceptions=True)
        await asyncio.gather(*(worker.close() for worker in self._workers))

    def _batch(self) -> list[Pending]:
        first = self._waiting.popleft()
        batch, items = [first], first.items
        if first.key is None or first.tried or self.most <= 1:  # what a worker died on takes nothing else along
            return batch
        passed: list[Pending] = []
        while self._waiting and items < self.most:
            each = self._waiting.popleft()
            if each.future.done():
                continue
            if each.key == first.key and not each.tried and items + each.items <= self.most:
                batch.append(each)
                items += each.items
            else:
                passed.append(each)
        while len(batch) > 1 and items > (most := call_items(items, self._sizes)):
            while len(batch) > 1 and items > most:
                passed.append(batch.pop())
                items -= passed[-1].items
        self._waiting.extendleft(sorted(passed, key=lambda each: -each.arrived))
        return batch

    def _answered(self, batch: list[Pending], reply: Message, started: float) -> None:
        whole_s = time.monotonic() - started
        if reply.kind == "refused" and len(batch) > 1:  # for what one of them sent, perhaps
            self._apart(batch)
            return
        if reply.kind == "refused":
            status = BAD if reply.facts["bad_input"] else BROKEN
            _fail(batch[0], RequestError(reply.facts["message"], status))
            return
        compute_s = min(float(reply.facts["compute_s"]), whole_s)
        self.tally.call(sum(each.items for each in batch), whole_s - compute_s, compute_s)
        parts = split(reply.arrays, [each.items for each in batch])
        for each, arrays in zip(batch, parts, strict=True):
            if not each.future.done():
                self.tally.answered(each.items, started - each.arrived, whole_s - compute_s, compute_s)
                each.future.set_result(Message("done", reply.facts, arrays, reply.blob))

    def _apart(self, batch: list[Pending]) -> None:
        """Put back what cannot be answered together; each runs by itself."""
        for each in reversed(batch):
            each.key = None
            self._waiting.appendleft(each)

    def _missed(self, batch: list[Pending], worker: Runner) -> None:
        """Put back what a worker died or hung on, once; start another worker."""
        self.hung += worker.hung
        for each in reversed(batch):
            if each.tried:
                _fail(each, _twice(worker.hung))
            else:
                each.tried = True
                self._waiting.appendleft(each)
        if self._closed:
            self._refuse_all(_UNLOADED)
        else:
            self._replace(worker)

    def _replace(self, dead: Runner) -> None:
        task = asyncio.get_running_loop().create_task(self._restart(dead))
        self._restarting.add(task)
        task.add_done_callback(self._restarting.discard)

    async def _restart(self, dead: Runner) -> None:
        await dead.close()
        self._workers.discard(dead)
        for attempt in range(_RESTARTS):
            try:
                worker = await open_runner(self.path, self._settings)
            except ChipwiseError as error:
                reason = error.message
                await asyncio.sleep(_PAUSE_S * (attempt + 1))
                continue
            self.restarts += 1
            self.broken = ""
            self._workers.add(worker)
            self._idle.append(worker)
            self._freed()
            return
        if not self._idle and not self.running and len(self._restarting) == 1:  # none but this
            self.broken = reason
            self._refuse_all(reason)

    def _refuse_all(self, reason: str) -> None:
        while self._waiting:
            _fail(self._waiting.popleft(), RequestError(f"model '{self.name}' is not available: {reason}", UNAVAILABLE))


def _together(batch: list[Pending], sizes: Batches) -> Message | None:
    """What the worker is told; None where memory does not suffice to join it."""
    if len(batch) == 1:
        return batch[0].message
    items = call_items(sum(each.items for each in batch), sizes)
    try:
        return Message("infer", arrays=joined([each.message.arrays for each in batch], items))
    except MemoryError:
        return None


def _twice(hung: bool) -> RequestError:
    if hung:
        return RequestError("the worker process hung on this request, the second that was lost on it", EXPIRED)
    return RequestError("the worker process ended twice on this request", BROKEN)


def _fail(pending: Pending, error: RequestError) -> None:
    if not pending.future.done():
        pending.future.set_exception(error)
