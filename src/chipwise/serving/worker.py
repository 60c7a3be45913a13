"""A worker process: it opens one plan and runs it, call by call, for the server at the other end of a socket.

`python -P -m chipwise.serving.worker FD`. It lives as long as the socket: the server's end ends it.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from chipwise.codec.plan_file import read_plan
from chipwise.compiler.answers import answers
from chipwise.compiler.feeds import picture_feed
from chipwise.compiler.load import open_plan
from chipwise.core.errors import ChipwiseError, InputError, MachineError
from chipwise.devices.detect import detect
from chipwise.serving.batching import SIZES as BATCHES
from chipwise.serving.joining import joinable
from chipwise.serving.model_facts import facts_of
from chipwise.serving.wire import SIZES, Message, parse
from chipwise.tasks.pictures import picture_from_bytes, png_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chipwise.compiler.answers import Answer
    from chipwise.core.plan import Plan
    from chipwise.runtimes.engine import Engine

_MEASURED_S = 0.5  # for all batch sizes together
_CALLS = 3  # of each size; the quickest counts
_MOST_CLASSES = 256  # that a PNG of one byte a pixel can tell apart


def main() -> None:
    """Serve the socket whose number is the only argument, until the other end closes it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which lets calls end
    with socket.socket(fileno=int(sys.argv[1])) as peer:
        opened: Opened | None = None
        while (message := receive(peer)) is not None:
            if opened is None:
                try:
                    opened = Opened(Path(message.facts["path"]), message.facts["max_latency_s"])
                    reply = Message("opened", {"model": msgspec.to_builtins(opened.facts)})
                except ChipwiseError as error:
                    reply = _refused(error)
            else:
                reply = opened.reply(message)
            try:
                for frame in reply.frames():
                    peer.sendall(frame)
            except ConnectionError:  # the server ended meanwhile
                return


class Opened:
    """A plan that is ready to run.

    Args:
        path: of the plan.
        max_latency_s: the bound that batches must keep; None for no batches.

    Raises:
        ChipwiseError: it cannot be opened here.
    """

    def __init__(self, path: Path, max_latency_s: float | None) -> None:
        plan = read_plan(path)
        self._task, self._specs = plan.manifest.task, plan.manifest.outputs
        self._engine = open_plan(plan, detect())
        self.facts = facts_of(plan, _batches(plan, self._engine, max_latency_s))

    def reply(self, message: Message) -> Message:
        """Run one call; what cannot be answered is refused."""
        try:
            return self._look(message) if message.kind == "look" else self._infer(message)
        except ChipwiseError as error:
            return _refused(error)

    def close(self) -> None:
        """Let the engine go."""
        self._engine.close()

    def _infer(self, message: Message) -> Message:
        started = time.perf_counter()
        outputs = self._engine.run(message.arrays)
        return Message("done", {"compute_s": time.perf_counter() - started}, tuple(map(np.asarray, outputs)))

    def _look(self, message: Message) -> Message:
        """Say what the plan's task says of a picture."""
        picture = picture_from_bytes(bytes(message.blob), "the body")
        feed = picture_feed("picture", [picture], self._task, self.facts.inputs[0])
        started = time.perf_counter()
        outputs = self._engine.run(feed.arrays)
        seconds = time.perf_counter() - started
        (found,) = answers(feed, outputs, self._specs, self._task, message.facts["top"])
        said, drawn = _said(found)
        return Message("done", {"compute_s": seconds, "said": said}, blob=drawn)


def _refused(error: ChipwiseError) -> Message:
    return Message("refused", {"message": error.message, "bad_input": isinstance(error, InputError)})


def receive(peer: socket.socket) -> Message | None:
    """Wait for the next message; None when the other end is gone."""
    sizes = _exactly(peer, SIZES.size)
    if sizes is None:
        return None
    header_bytes, rest_bytes = SIZES.unpack(sizes)
    header, rest = _exactly(peer, header_bytes), _exactly(peer, rest_bytes)
    return None if header is None or rest is None else parse(header, rest)


def _exactly(peer: socket.socket, count: int) -> memoryview | None:
    held = np.empty(count, np.uint8).data  # not cleared first, and aligned
    at = 0
    while at < count:
        received = peer.recv_into(held[at:])
        if not received:
            return None
        at += received
    return held


def _batches(plan: Plan, engine: Engine, max_latency_s: float | None) -> tuple[tuple[int, float], ...]:
    """Batch sizes with their seconds a call; none where requests are not to be joined, or cannot be."""
    if max_latency_s is None or not joinable(plan, engine):
        return ()
    return _measured(plan, engine, max_latency_s)


def _measured(plan: Plan, engine: Engine, max_latency_s: float) -> tuple[tuple[int, float], ...]:
    """Seconds a call of each batch size, until one takes longer than half of the bound, or time is up."""
    found: list[tuple[int, float]] = []
    planned = {each.choice.batch for each in plan.manifest.candidates if each.timing is not None}
    until = time.monotonic() + _MEASURED_S
    for size in sorted(planned | set(BATCHES)):
        arrays = [_tiled(each, size) for each in plan.sample_inputs]
        engine.run(arrays)  # prepares for it
        seconds = min(_timed(engine, arrays) for _ in range(_CALLS))
        found.append((size, seconds))
        if seconds > max_latency_s / 2 or time.monotonic() > until:
            break
    return tuple(found)


def _tiled(array: NDArray[Any], size: int) -> NDArray[Any]:
    return np.ascontiguousarray(np.resize(array, (size, *array.shape[1:])))


def _timed(engine: Engine, arrays: list[NDArray[Any]]) -> float:
    started = time.perf_counter()
    engine.run(arrays)
    return time.perf_counter() - started


def _said(found: Answer) -> tuple[dict[str, Any], bytes]:
    """An answer in names and numbers, and as PNG where it is a picture."""
    prediction = found.prediction
    said: dict[str, Any] = {
        "labels": [{"label": label, "score": score} for label, score in prediction.top],
        "boxes": [asdict(box) for box in prediction.boxes],
        "areas": [{"label": label, "share": share} for label, share in prediction.areas],
    }
    if found.classes is None:
        return said, b""
    if int(found.classes.max(initial=0)) >= _MOST_CLASSES:
        raise MachineError(f"the picture has more than {_MOST_CLASSES} classes, which a grey PNG cannot hold")
    return said, png_bytes(found.classes.astype(np.uint8))


if __name__ == "__main__":
    main()
    os._exit(0)  # whatever threads a runtime left behind
