"""Whose turn it is: requests of all models share the workers, and no model waits for another that asks more.

Calls begin as soon as a worker is free; of the models that wait, the one that has run least goes first (start-time fair
queuing, Goyal, Vin and Cheng 1996: a model that was away is not paid back for that).
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from chipwise.serving.batching import key_of
from chipwise.serving.request_error import EXPIRED, RequestError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from chipwise.serving.model import Pending, Serving
    from chipwise.serving.wire import Message


class Turns:
    """All queues of a server.

    Args:
        slots: calls that run at the same time.
        timeout_s: the longest that anybody waits for an answer.
    """

    def __init__(self, slots: int, timeout_s: float) -> None:
        self.servings: list[Serving] = []
        self._slots, self._timeout_s = slots, timeout_s
        self._tasks: set[asyncio.Task[Any]] = set()
        self._soon = False

    async def infer(self, serving: Serving, message: Message, timeout_s: float | None = None) -> Message:
        """Have a request answered by a worker.

        Args:
            serving: the model.
            message: for the worker.
            timeout_s: after which the answer has no use; the server's own limit where that is shorter.

        Raises:
            RequestError: the queue is full, time is up, or the worker refused it.
        """
        limit_s = self._timeout_s if timeout_s is None else min(self._timeout_s, timeout_s)
        arrived = time.monotonic()
        try:
            return await self._reply(serving, message, limit_s)
        except RequestError as error:
            serving.tally.failed(error.status, time.monotonic() - arrived)
            error.tallied = True
            raise

    async def _reply(self, serving: Serving, message: Message, limit_s: float) -> Message:
        pending = self._put(serving, message)
        future, expiry = pending.future, None
        try:
            if not future.done():  # it may have been answered at once
                expiry = asyncio.get_running_loop().call_later(limit_s, _give_up, pending)
            reply = await future
        finally:
            if expiry is not None:
                expiry.cancel()
            del pending, future, expiry  # an error has this frame in its traceback: neither would go
        if reply is None:
            raise RequestError(f"no answer within {limit_s:g} s", EXPIRED)
        return reply

    def pump(self) -> None:
        """Begin calls while there are free workers and requests."""
        while sum(each.running for each in self.servings) < self._slots:
            ready = [each for each in self.servings if each.ready]
            if not ready:
                return
            chosen = min(ready, key=lambda each: each.virtual_s)
            work = chosen.start()
            if work is None:
                self._pump_soon()  # others are heard between two calls
                return
            self.begin(work)

    def _pump_soon(self) -> None:
        """Begin calls in the next turn of the event loop, with all that came in this one."""
        if not self._soon:
            self._soon = True
            asyncio.get_running_loop().call_soon(self._pump_now)

    def _pump_now(self) -> None:
        self._soon = False
        self.pump()

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside the rest."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Wait until every request is answered."""
        while any(each.waiting or each.running for each in self.servings):
            await asyncio.sleep(0.01)

    async def close(self) -> None:
        """End all workers, and whatever else was begun."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(serving.close() for serving in self.servings))

    def _put(self, serving: Serving, message: Message) -> Pending:
        key = key_of(message.arrays) if message.kind == "infer" and serving.most > 1 else None
        items = len(message.arrays[0]) if message.arrays and message.arrays[0].ndim else 1
        if not serving.waiting and not serving.running:
            busy = [each.virtual_s for each in self.servings if each.waiting or each.running]
            serving.virtual_s = max(serving.virtual_s, min(busy, default=0.0))
        pending = serving.put(message, items, key)
        if serving.joins_turn:
            self._pump_soon()
        else:
            self.pump()
        return pending


def _give_up(pending: Pending) -> None:
    if not pending.future.done():
        pending.future.set_result(None)
