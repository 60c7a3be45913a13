"""The queue, batches, turns and what happens when a worker dies: with workers that are told what to do."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chipwise.core.errors import InputError, MachineError, RuntimeUnavailableError
from chipwise.core.network import TensorSpec
from chipwise.serving.batching import call_items, joined, key_of, largest, split
from chipwise.serving.crew import WorkerDiedError, start_worker
from chipwise.serving.inside import Inside
from chipwise.serving.logs import Log
from chipwise.serving.model import Serving
from chipwise.serving.model_facts import ModelFacts
from chipwise.serving.patience import patience_s
from chipwise.serving.request_error import RequestError
from chipwise.serving.settings import Settings
from chipwise.serving.shelf import named_plans
from chipwise.serving.turns import Turns
from chipwise.serving.wire import SIZES, Message, parse

SPEC = TensorSpec("x", ("N", 2))
FACTS = ModelFacts((SPEC,), (SPEC,), "tensor", (), pictures=False, runtime="none", title="none")
BATCHED = replace(FACTS, batches=((1, 0.001), (4, 0.001)))
SETTINGS = Settings((), queue=4, timeout_s=5.0, max_latency_s=0.1)


class Scripted:
    """A worker that doubles what it gets, once it is let."""

    def __init__(self, facts: ModelFacts = FACTS) -> None:
        self.facts, self.process = facts, SimpleNamespace(pid=0)
        self.go = asyncio.Event()
        self.calls: list[int] = []
        self.deaths = 0
        self.closed = self.ended = self.hung = False

    async def call(self, message: Message) -> Message:
        await self.go.wait()
        self.calls.append(len(message.arrays[0]))
        if self.deaths:
            self.deaths -= 1
            raise WorkerDiedError("gone")
        return Message("done", {"compute_s": 0.001}, (message.arrays[0] * 2,))

    async def close(self) -> None:
        self.closed = True


def row(value: float, rows: int = 1) -> Message:
    return Message("infer", arrays=(np.full((rows, 2), value, np.float32),))


def served(turns: Turns, *workers: Scripted, name: str = "m", settings: Settings = SETTINGS) -> Serving:
    serving = Serving(name, "1", Path(), list(workers), settings=settings, freed=turns.pump)  # type: ignore[arg-type]
    turns.servings.append(serving)
    return serving


def run(story: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(story(), 30))  # type: ignore[arg-type]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_requests_are_joined_while_a_worker_is_busy() -> None:
    async def story() -> None:
        turns, worker = Turns(1, 5.0), Scripted(BATCHED)
        serving = served(turns, worker)
        asked = [
            asyncio.create_task(turns.infer(serving, row(value, rows)))
            for value, rows in ((1, 1), (2, 2), (3, 1), (4, 3))
        ]
        await settle()
        worker.go.set()
        replies = await asyncio.gather(*asked)
        assert worker.calls == [1, 4, 3], "2 and 1 rows go together, filled up to 4; 3 more would not fit"
        for value, rows, reply in ((1, 1, replies[0]), (2, 2, replies[1]), (3, 1, replies[2]), (4, 3, replies[3])):
            assert reply.arrays[0].tolist() == [[2 * value] * 2] * rows
        assert {size: copy.count for size, (copy, _) in serving.tally.calls.items()} == {1: 1, 3: 2}

    run(story)


def test_other_shapes_are_not_joined_and_keep_their_turn() -> None:
    async def story() -> None:
        turns, worker = Turns(1, 5.0), Scripted(BATCHED)
        serving = served(turns, worker)
        odd = Message("infer", arrays=(np.ones((1, 3), np.float32),))
        asked = [asyncio.create_task(turns.infer(serving, each)) for each in (row(1), row(2), odd, row(3))]
        await settle()
        worker.go.set()
        replies = await asyncio.gather(*asked)
        assert worker.calls == [1, 4, 1], "two are filled up to a size that was measured"
        assert replies[2].arrays[0].shape == (1, 3)

    run(story)


def test_a_full_queue_refuses_at_once() -> None:
    async def story() -> None:
        turns, worker = Turns(1, 5.0), Scripted()
        serving = served(turns, worker)
        asked = [asyncio.create_task(turns.infer(serving, row(index))) for index in range(5)]
        await settle()
        with pytest.raises(RequestError, match="4 requests waiting") as caught:
            await turns.infer(serving, row(9))
        assert (caught.value.status, caught.value.retry_after_s) == (503, 1)
        asked[3].cancel()
        await settle()
        asked.append(asyncio.create_task(turns.infer(serving, row(9))))  # in the place of the one that gave up
        await settle()
        worker.go.set()
        done = await asyncio.gather(*asked, return_exceptions=True)
        assert [isinstance(each, Message) for each in done] == [True, True, True, False, True, True]
        assert serving.tally.refused == {503: 1}

    run(story)


def test_a_deadline_ends_the_wait_and_the_request_never_runs() -> None:
    async def story() -> None:
        turns, worker = Turns(1, 5.0), Scripted()
        serving = served(turns, worker)
        first = asyncio.create_task(turns.infer(serving, row(1)))
        await settle()
        with pytest.raises(RequestError, match=r"no answer within 0\.01 s") as caught:
            await turns.infer(serving, row(2), 0.01)
        assert caught.value.status == 504
        worker.go.set()
        await first
        await turns.drain()
        assert len(worker.calls) == 1

    run(story)


def test_a_model_that_asks_little_is_not_made_to_wait() -> None:
    async def story() -> None:
        turns = Turns(1, 5.0)
        order: list[str] = []
        greedy = served(turns, Scripted(), name="greedy", settings=replace(SETTINGS, queue=99))
        modest = served(turns, Scripted(), name="modest")
        for serving in (greedy, modest):
            serving._idle[0].go.set()  # type: ignore[attr-defined]

        async def ask(serving: Serving) -> None:
            await turns.infer(serving, row(1))
            order.append(serving.name)

        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(ask(greedy))
            group.create_task(ask(modest))
        assert order.index("modest") <= 2
        assert len(order) == 21

    run(story)


def test_a_worker_that_dies_is_replaced_and_its_requests_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        turns, first, second = Turns(1, 5.0), Scripted(BATCHED), Scripted(BATCHED)
        monkeypatch.setattr("chipwise.serving.model.open_runner", lambda *_: _later(second))
        first.deaths = 1
        serving = served(turns, first)
        first.go.set()
        second.go.set()
        replies = await asyncio.gather(*(turns.infer(serving, row(value)) for value in range(4)))
        assert [reply.arrays[0][0, 0] for reply in replies] == [0, 2, 4, 6]
        assert first.closed
        assert (serving.restarts, serving.tally.success.count, serving.tally.fail.count) == (1, 4, 0)

    run(story)


def test_what_kills_two_workers_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a batch that a worker died on, each request runs by itself the second time."""

    class Allergic(Scripted):
        async def call(self, message: Message) -> Message:
            self.deaths = int(13 in message.arrays[0])
            return await super().call(message)

    async def story() -> None:
        turns = Turns(1, 5.0)

        async def another(*_: Any) -> Allergic:
            worker = Allergic(BATCHED)
            worker.go.set()
            return worker

        monkeypatch.setattr("chipwise.serving.model.open_runner", another)
        serving = served(turns, await another())
        done = await asyncio.gather(
            *(turns.infer(serving, row(value)) for value in (1, 2, 13, 3)), return_exceptions=True
        )
        assert [isinstance(each, Message) for each in done] == [True, True, False, True]
        assert "ended twice on this request" in str(done[2])
        assert serving.tally.refused == {500: 1}

    run(story)


def test_what_two_workers_hang_on_has_no_answer_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hangs(Scripted):
        async def call(self, message: Message) -> Message:
            self.deaths = self.hung = int(13 in message.arrays[0])  # type: ignore[assignment]
            return await super().call(message)

    async def story() -> None:
        turns = Turns(1, 5.0)

        async def another(*_: Any) -> Hangs:
            worker = Hangs()
            worker.go.set()
            return worker

        monkeypatch.setattr("chipwise.serving.model.open_runner", another)
        serving = served(turns, await another())
        asked = (turns.infer(serving, row(value)) for value in (1, 13, 3))
        done = await asyncio.gather(*asked, return_exceptions=True)
        assert [isinstance(each, Message) for each in done] == [True, False, True]
        assert "hung on this request" in str(done[1])
        assert (serving.hung, serving.tally.refused) == (2, {504: 1})

    run(story)


def test_a_call_may_take_many_times_what_was_measured() -> None:
    assert patience_s(0.5, 1) == 50
    assert patience_s(0.5, 4) == 200
    assert 5 <= patience_s(0.0001, 1) <= 30, "a busy machine, whatever was measured, and less than the usual --timeout"
    assert patience_s(0.0001, 1, prepared=False) > patience_s(0.0001, 1), "it is compiled anew for other shapes"


def test_a_model_whose_workers_do_not_start_again_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async def never(*_: Any) -> Scripted:
            raise RuntimeUnavailableError("no memory")

        monkeypatch.setattr("chipwise.serving.model.open_runner", never)
        monkeypatch.setattr("chipwise.serving.model._PAUSE_S", 0.0)
        turns, worker = Turns(1, 5.0), Scripted()
        worker.deaths = 1
        worker.go.set()
        serving = served(turns, worker)
        for _ in range(2):
            with pytest.raises(RequestError, match="not available: no memory") as caught:
                await turns.infer(serving, row(1))
            assert caught.value.status == 503

    run(story)


def test_a_worker_that_died_while_idle_costs_no_request_its_second_try(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        turns, first, second = Turns(1, 5.0), Scripted(), Scripted()
        monkeypatch.setattr("chipwise.serving.model.open_runner", lambda *_: _later(second))
        first.ended, second.deaths = True, 1
        serving = served(turns, first)
        asked = asyncio.create_task(turns.infer(serving, row(1)))
        await settle()
        assert (first.calls, first.closed) == ([], True)
        second.go.set()
        assert (await asked).arrays[0].tolist() == [[2, 2]], "the second worker's death is the first that it met"
        assert serving.restarts == 2

    run(story)


def test_a_model_is_not_given_up_while_another_worker_may_start(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        gate, another, tries = asyncio.Event(), Scripted(), []

        async def started(*_: Any) -> Scripted:
            tries.append(len(tries))
            if len(tries) > 1:
                raise RuntimeUnavailableError("no memory")
            await gate.wait()
            return another

        monkeypatch.setattr("chipwise.serving.model.open_runner", started)
        monkeypatch.setattr("chipwise.serving.model._PAUSE_S", 0.0)
        turns, workers = Turns(2, 5.0), (Scripted(), Scripted())
        serving = served(turns, *workers)
        for worker in workers:
            worker.ended = True
        another.go.set()
        asked = asyncio.create_task(turns.infer(serving, row(1)))
        while len(tries) < 4:
            await settle()
        await settle()
        serving.broken = serving.broken or "what a start clears"
        gate.set()
        assert (await asked).arrays[0].tolist() == [[2, 2]]
        assert serving.broken == ""

    run(story)


def test_what_cannot_be_answered_together_is_answered_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Strict(Scripted):
        async def call(self, message: Message) -> Message:
            reply = await super().call(message)
            wrong = 13 in message.arrays[0]
            return Message("refused", {"message": "13 is too much", "bad_input": True}) if wrong else reply

    async def story(most_calls: list[int]) -> None:
        turns, worker = Turns(1, 5.0), Strict(BATCHED)
        worker.go.set()
        serving = served(turns, worker)
        asked = (turns.infer(serving, row(value)) for value in (1, 2, 13, 3))
        done = await asyncio.gather(*asked, return_exceptions=True)
        assert [isinstance(each, Message) for each in done] == [True, True, False, True]
        assert (done[2].status, worker.calls, serving.running) == (400, most_calls, 0)  # type: ignore[union-attr]

    run(lambda: story([1, 4, 1, 1, 1]))

    def full(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("chipwise.serving.model.joined", full)
    run(lambda: story([1, 1, 1, 1]))


def test_workers_that_are_busy_are_closed_too() -> None:
    async def story() -> None:
        turns, worker = Turns(1, 5.0), Scripted()
        serving = served(turns, worker)
        asked = asyncio.create_task(turns.infer(serving, row(1)))
        await settle()
        await serving.close()
        assert worker.closed
        worker.deaths = 1
        worker.go.set()
        with pytest.raises(RequestError, match="unloaded"):
            await asked

    run(story)


def test_a_process_that_cannot_be_started_is_an_error_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    async def story() -> None:
        with pytest.raises(MachineError, match="cannot start a worker process: Resource temporarily"):
            await start_worker(Path("a.plan"), None)

    monkeypatch.setattr("subprocess.Popen", full)
    run(story)


async def _later(worker: Scripted) -> Scripted:
    return worker


def test_the_batch_that_answers_most_within_half_the_bound() -> None:
    measured = ((1, 0.001), (2, 0.0011), (4, 0.003), (8, 0.004), (16, 0.02))
    assert largest(measured, None) == 1
    assert largest(measured, 0.001) == 1
    assert largest(measured, 0.006) == 2
    assert largest(measured, 0.008) == 8
    assert largest(measured, 1.0) == 8
    assert largest((), 1.0) == 1


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6))
def test_what_is_joined_is_split_again(sizes: list[int]) -> None:
    callers = [(np.full((size, 3), index), np.full((size, 2), -index)) for index, size in enumerate(sizes)]
    assert len({key_of(arrays) for arrays in callers}) == 1
    for made, again in zip(callers, split(joined(callers), sizes), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(made, again, strict=True))


def test_what_has_no_batch_is_not_joined() -> None:
    assert key_of(()) is None
    assert key_of((np.float32(1),)) is None  # type: ignore[arg-type]
    assert key_of((np.zeros((2, 3)), np.zeros((1, 3)))) is None


@given(st.lists(st.sampled_from(["float32", "int8", "bfloat16", "bool"]), max_size=4), st.binary(max_size=9))
def test_messages_arrive_as_they_were_sent(kinds: list[str], blob: bytes) -> None:
    arrays = tuple(np.arange(6).reshape(2, 3).astype(np.dtype(kind)) for kind in kinds)
    frames = [bytes(each) for each in Message("infer", {"a": 1}, arrays, blob).frames()]
    header_bytes, rest_bytes = SIZES.unpack(frames[0][: SIZES.size])
    data = b"".join(frames)[SIZES.size :]
    assert len(data) == header_bytes + rest_bytes
    found = parse(data[:header_bytes], data[header_bytes:])
    assert (found.kind, found.facts, bytes(found.blob)) == ("infer", {"a": 1}, blob)
    for sent, got in zip(arrays, found.arrays, strict=True):
        assert (sent.dtype, sent.tobytes()) == (got.dtype, got.tobytes())


def test_names_come_from_files(tmp_path: Path) -> None:
    for name in ("a.plan", "b.plan", "c.txt"):
        (tmp_path / name).touch()
    assert list(named_plans((tmp_path,))) == ["a", "b"]
    with pytest.raises(InputError, match="would be one model, 'a'"):
        named_plans((tmp_path, tmp_path / "a.plan"))
    with pytest.raises(InputError, match="no name that can stand in a URL"):
        named_plans((Path("my model.plan"),))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no plan to serve"):
        named_plans((tmp_path / "empty",))


def test_log_lines_are_one_document_each() -> None:
    stream = io.StringIO()
    Log(stream).event("x", path='a\n{"event": "y"}\u2028\x85\u202e', long="a" * 10_000)
    Log(stream).request(path="never")
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().splitlines()[0].isascii()
    assert len(stream.getvalue()) < 1000


def test_the_size_of_a_call_is_one_that_was_measured() -> None:
    measured = ((1, 0.001), (2, 0.0011), (4, 0.003), (8, 0.004))
    assert [call_items(waiting, measured) for waiting in (2, 3, 4, 7, 8)] == [2, 2, 2, 8, 8]
    assert call_items(5, ()) == 5
    one, other = (np.ones((rows, 2), np.float32) for rows in (1, 2))
    (filled,) = joined([[one], [other]], 8)
    assert filled.tolist() == [[1, 1]] * 3 + [[0, 0]] * 5
    assert [len(each[0]) for each in split([filled], [1, 2])] == [1, 2]


def test_requests_of_several_items_fill_a_size_that_was_measured_or_go_alone() -> None:
    """6, 7 and 7 are more than 16; 6 and 7 in 16 are slower than 8 of them would be; so 6 go as they came."""
    facts = replace(FACTS, batches=((1, 0.001), (8, 0.002), (16, 0.0042), (32, 0.0078)))

    async def story() -> None:
        turns, worker = Turns(1, 5.0), Scripted(facts)
        serving = served(turns, worker)
        rows = (1, 6, 7, 7)
        asked = [asyncio.create_task(turns.infer(serving, row(value, count))) for value, count in enumerate(rows)]
        await settle()
        worker.go.set()
        replies = await asyncio.gather(*asked)
        assert [reply.arrays[0][0, 0] for reply in replies] == [0, 2, 4, 6]
        assert worker.calls == [1, 6, 7, 7]

    run(story)


def opened(compute_s: float) -> Any:
    """A plan that doubles what it gets and says that an item took so long."""

    def reply(message: Message) -> Message:
        return Message("done", {"compute_s": compute_s}, (message.arrays[0] * 2,))

    facts = replace(BATCHED, item_s=compute_s, item_values=2)
    return SimpleNamespace(facts=facts, reply=reply, close=lambda: None)


def test_a_plan_in_this_process_answers_at_once_or_in_a_thread() -> None:
    async def story() -> None:
        for item_s, in_thread in ((0.001, 1), (1.0, 3)):
            turns, inside, threads = Turns(1, 5.0), Inside(opened(item_s)), list[str]()
            answer = inside.answer

            def noted(message: Message, answer: Any = answer, threads: list[str] = threads) -> Message:
                threads.append(threading.current_thread().name)
                return cast("Message", answer(message))

            inside.answer = noted  # type: ignore[method-assign]
            alone = Serving(
                "m", "1", Path(), [inside], settings=replace(SETTINGS, max_latency_s=None), freed=turns.pump
            )
            turns.servings.append(alone)
            for value in (1, 2, 3):
                assert (await turns.infer(alone, row(value))).arrays[0].tolist() == [[2 * value] * 2]
            assert sum(name.startswith("plan") for name in threads) == in_thread, "the first prepares the runtime"
            await turns.close()
            assert inside.ended

    run(story)


def test_a_plan_in_this_process_is_let_go_after_its_call() -> None:
    async def story() -> None:
        told: list[str] = []
        plan, begun = opened(1.0), threading.Event()

        def reply(message: Message) -> Message:
            begun.set()
            time.sleep(0.05)
            told.append("answered")
            return message

        plan.reply, plan.close = reply, lambda: told.append("closed")
        inside = Inside(plan)
        calling = asyncio.create_task(inside.call(row(1)))
        await asyncio.to_thread(begun.wait)
        await inside.close()
        await calling
        while len(told) < 2:
            await asyncio.sleep(0.001)
        assert told == ["answered", "closed"]

    run(story)


def test_what_comes_in_one_turn_of_the_loop_is_one_call_in_this_process() -> None:
    async def story() -> None:
        turns, inside = Turns(1, 5.0), Inside(opened(0.0001))
        for shapes in (((1, 2),), ((4, 2),)):
            inside._prepared.note(shapes)
        serving = served(turns, inside)  # type: ignore[arg-type]
        replies = await asyncio.gather(*(turns.infer(serving, row(value)) for value in range(4)))
        assert [reply.arrays[0].tolist() for reply in replies] == [[[2 * value] * 2] for value in range(4)]
        assert {items: copy.count for items, (copy, _) in serving.tally.calls.items()} == {4: 1}
        await turns.close()

    run(story)
