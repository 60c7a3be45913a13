"""A network or a plan that is ready to run, with what it is for: arrays to arrays, pictures to answers.

>>> import onnx
>>> text = '<ir_version: 8, opset_import: ["": 17]> g (float[N, 3] x) => (float[N, 3] y) { y = Relu(x) }'
>>> runner = from_graph("relu", onnx.parser.parse_model(text).SerializeToString(), Task("tensor"))
>>> runner.run(np.array([[-1, 0, 2]], np.float32))["y"].tolist()
[[0.0, 0.0, 2.0]]
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chipwise.compiler.answers import Answer, answers, stream_answer
from chipwise.compiler.choose import PER_STREAM
from chipwise.compiler.feeds import Feed, check_count, check_pictures, picture_feed, read_feed
from chipwise.compiler.load import open_plan
from chipwise.compiler.parts import build_default
from chipwise.core.errors import InputError, RuntimeUnavailableError
from chipwise.core.plan import Choice
from chipwise.core.task import Task
from chipwise.runtimes.engine import check_inputs, run_many
from chipwise.tasks.classify import check_top
from chipwise.tasks.streams import run_stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from chipwise.core.device import Machine
    from chipwise.core.network import TensorSpec
    from chipwise.core.plan import Plan
    from chipwise.core.report import Prediction
    from chipwise.runtimes.engine import Engine

    Specs = tuple[TensorSpec, ...]

_SLOW_S = 0.2  # a first call that took longer is not repeated to be timed
_RUNTIMES = ("onnxruntime", "openvino")  # for a network that was not compiled: the first that takes its graph


class Runner:
    """A built engine and the task of its network.

    Args:
        engine: what runs.
        task: what the network is for.
        name: of the network or plan, for answers.
        choice: runtime, number format and threads.
        inputs: what it takes, where that is known from elsewhere than the engine.

    `pictured` turns True with the first picture that it answers.
    """

    def __init__(self, engine: Engine, task: Task, name: str, choice: Choice, inputs: Specs = ()) -> None:
        self.task, self.name, self.choice = task, name, choice
        self.inputs, self.outputs = inputs or engine.inputs, engine.outputs
        self.pictured = False
        self.seconds: list[float] = []
        self._engine = engine
        self._warm: set[tuple[tuple[int, ...], ...]] = set()

    def __repr__(self) -> str:
        """Name, task, and what runs it."""
        path = Path(self.name)
        name = path.stem if path.suffix[1:].isalpha() else path.name
        return f"<Runner {name}: {self.task.kind}, {self.choice.runtime} {self.choice.precision}>"

    @property
    def latency_s(self) -> float:
        """Median time of one item inside the runtime so far; NaN before anything ran."""
        return float(np.median(self.seconds)) if self.seconds else float("nan")

    @property
    def together(self) -> int:
        """How many inputs are best given at once: some for each stream of the plan."""
        return PER_STREAM * self.choice.streams if self.choice.streams > 1 else 1

    def run(self, *arrays: NDArray[Any], **named: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Run the network once.

        Args:
            arrays: one for each input in order, batch first, in the input's element type.
            named: the same by the inputs' names, in the place of `arrays`.

        Returns:
            every output by name.

        Raises:
            InputError: an array that does not fit, or a name that the network has not.
        """
        names = [spec.name for spec in self.inputs]
        if named and (arrays or sorted(named) != sorted(names)):
            raise InputError(f"received {', '.join(sorted(named))}", hint=f"the inputs are {', '.join(names)}")
        fed = self._fed([named[name] for name in names] if named else arrays)
        return self._named(self._call(fed))

    def run_many(self, calls: Sequence[Sequence[NDArray[Any]]]) -> list[dict[str, NDArray[Any]]]:
        """Run the network on several inputs, as many at once as the plan has streams.

        Args:
            calls: what `run` takes, once for each call: one array for each input in order.

        Returns:
            what `run` gives, in the order of `calls`.

        Raises:
            InputError: an array that does not fit; found out before anything runs.
        """
        return [self._named(outputs) for outputs in self._call_many([self._fed(arrays) for arrays in calls])]

    def predict(self, given: str | Path | NDArray[Any] | Sequence[Any], *, top: int = 5) -> Prediction:
        """Say what the network sees in one picture, sound or item.

        Args:
            given: a file, or an array that holds what a .npy file may hold (uint8 for pictures); for a network with
                several inputs a sequence with one for each.
            top: classes to name.

        Raises:
            DataError, InputError: it cannot be read or does not fit, or it is a batch of several items.
        """
        check_top(top)
        several = len(self.inputs) > 1 and self.task.stream is None
        ones: list[Any] = list(given) if several and isinstance(given, (list, tuple)) else [given]
        ones = [Path(one) if isinstance(one, (str, Path)) else np.asarray(one) for one in ones]
        found = self.answer(self.read(ones if check_count(ones, self.task, self.inputs) else ones[0]), top)
        if len(found) > 1:
            hint = "chipwise.run answers for each, and .run gives the raw outputs"
            raise InputError(f"predict says what is in one item; received {len(found)}", hint=hint)
        return found[0].prediction

    def read(self, given: Path | NDArray[Any] | Sequence[Path | NDArray[Any]]) -> Feed:
        """Read one input and check that it fits; `given` as `chipwise.compiler.feeds.read_feed` takes it."""
        return self._checked(read_feed(given, self.task, self.inputs))

    def picture(self, name: str, picture: NDArray[np.uint8]) -> Feed:
        """A picture in memory, uint8 [H, W, C], as an input."""
        return self._checked(picture_feed(name, [picture], self.task, self.inputs[0]))

    def check_pictures(self, name: str) -> None:
        """Refuse to go on with `name` where the network takes no pictures.

        Raises:
            DataError, InputError: it takes something else, or nothing.
        """
        check_pictures(name, self.task, self.inputs)

    def answer(self, feed: Feed, top: int = 5) -> list[Answer]:
        """Run one input and say what comes out.

        Raises:
            DataError: the outputs are not what the task says.
        """
        self.pictured = self.pictured or feed.pictures is not None
        stream = self.task.stream
        if stream is None or feed.signal is None or feed.arrays:
            return answers(feed, self._call(feed.arrays), self.outputs, self.task, top)
        got = run_stream(feed.signal, stream, self.inputs, self.outputs, self._call)
        return [stream_answer(feed, got, {after for _, after in stream.states}, self.task)]

    def answer_many(self, feeds: Sequence[Feed], top: int = 5) -> list[list[Answer]]:
        """Run several inputs, as many at once as the plan has streams, and say what comes out of each.

        Raises:
            DataError: as `answer`.
        """
        if len(feeds) == 1 or not all(feed.arrays for feed in feeds):  # a signal is fed piece after piece
            return [self.answer(feed, top) for feed in feeds]
        self.pictured = self.pictured or any(feed.pictures is not None for feed in feeds)
        outputs = self._call_many([feed.arrays for feed in feeds])
        pairs = zip(feeds, outputs, strict=True)
        return [answers(feed, made, self.outputs, self.task, top) for feed, made in pairs]

    def close(self) -> None:
        """Let go of the runtime's objects; the runner cannot be used afterwards."""
        self._engine.close()

    def _call(self, arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        outputs, seconds = self._timed(arrays)
        shapes = tuple(array.shape for array in arrays)
        if shapes not in self._warm and seconds < _SLOW_S:
            outputs, seconds = self._timed(arrays)  # a shape that is seen for the first time was prepared for
        self._warm.add(shapes)
        self.seconds.append(seconds / _items(arrays))
        return outputs

    def _call_many(self, batches: Sequence[Sequence[NDArray[Any]]]) -> list[list[NDArray[Any]]]:
        for arrays in batches:
            shapes = tuple(array.shape for array in arrays)
            if shapes not in self._warm:
                self._timed(arrays)  # prepares for it
                self._warm.add(shapes)
        started = time.perf_counter()
        outputs = run_many(self._engine, batches)
        seconds = time.perf_counter() - started
        if batches:
            self.seconds.append(seconds / sum(map(_items, batches)))
        return outputs

    def _fed(self, arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Arrays as the engine takes them, checked."""
        fed = [np.ascontiguousarray(each) if np.ndim(each) else np.asarray(each) for each in arrays]
        check_inputs(self._engine, fed)
        return fed

    def _named(self, outputs: Sequence[NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return dict(zip((spec.name for spec in self.outputs), outputs, strict=True))

    def _timed(self, arrays: Sequence[NDArray[Any]]) -> tuple[list[NDArray[Any]], float]:
        started = time.perf_counter()
        outputs = self._engine.run(arrays)
        return outputs, time.perf_counter() - started

    def _checked(self, feed: Feed) -> Feed:
        """Compare a feed with what the engine takes; say that pictures may come as bytes where that would help."""
        if not feed.arrays:
            return feed
        try:
            check_inputs(self._engine, feed.arrays)
        except InputError as error:
            if error.hint or self.task.preprocess is None:
                raise
            hint = "an array is one item or a batch of just this; as uint8 it is taken for a picture and prepared"
            raise InputError(error.message, hint=hint) from error
        return feed


def _items(arrays: Sequence[NDArray[Any]]) -> int:
    return max(len(arrays[0]) if arrays and arrays[0].ndim else 1, 1)


def from_plan(plan: Plan, name: str, machine: Machine, task: Task | None = None) -> Runner:
    """Open a plan on this machine.

    Args:
        plan: an opened plan file.
        name: what answers call it.
        machine: this machine.
        task: in the place of the plan's own.

    Raises:
        RuntimeUnavailableError: it cannot run here.
    """
    facts = plan.manifest
    return Runner(open_plan(plan, machine), task or facts.task, name, facts.choice, facts.inputs)


def from_graph(name: str, model: bytes, task: Task) -> Runner:
    """Run a serialized graph as it is, in ONNX Runtime with its defaults, or in OpenVINO where that refuses.

    Raises:
        RuntimeUnavailableError: neither can run it; the message has ONNX Runtime's reason.
    """
    refusals = []
    for runtime in _RUNTIMES:
        try:
            engine = build_default(runtime, model)
        except RuntimeUnavailableError as error:
            refusals.append(error)
            continue
        return Runner(engine, task, name, Choice(runtime, engine.precision, threads=0, source=True))
    raise refusals[0]
