"""A long signal in pieces, for a network that remembers what came before.

>>> stream = Stream(step=2, context=1)
>>> [piece.tolist() for piece in pieces(np.array([1, 2, 3], np.float32), stream)]
[[0.0, 1.0, 2.0], [2.0, 3.0, 0.0]]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chipwise.core.errors import InputError
from chipwise.core.network import TensorSpec
from chipwise.core.task import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Run = Callable[[list[NDArray[Any]]], list[NDArray[Any]]]


def pieces(signal: NDArray[Any], stream: Stream) -> Iterator[NDArray[Any]]:
    """Cut a signal [T, ...] into pieces [context + step, ...]; zeros stand before the first and fill up the last."""
    for start in range(0, len(signal), stream.step):
        first = start - stream.context
        part = signal[max(first, 0) : start + stream.step]
        before = max(-first, 0)
        after = stream.context + stream.step - before - len(part)
        yield np.pad(part, ((before, after), *((0, 0),) * (part.ndim - 1)))


def signal_input(stream: Stream, inputs: tuple[TensorSpec, ...]) -> TensorSpec:
    """The input that the signal goes into: the one that is neither a state nor a constant.

    Raises:
        InputError: when there is not exactly one, or the stream names inputs that the network has not.
    """
    fed = {name for name, _ in stream.states} | set(stream.constants)
    names = [spec.name for spec in inputs]
    unknown = sorted(fed - set(names))
    left = [spec for spec in inputs if spec.name not in fed]
    if unknown or len(left) != 1:
        what = f"it has no input {unknown[0]!r}" if unknown else f"{len(left)} inputs are left for the signal"
        hint = f"inputs: {', '.join(names)}; write --task sequence:step=512,STATE=ITS_OUTPUT,CONSTANT=NUMBER"
        raise InputError(f"the network cannot be fed piece by piece: {what}", hint=hint)
    return left[0]


def run_stream(
    signal: NDArray[Any], stream: Stream, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], run: Run
) -> dict[str, NDArray[Any]]:
    """Feed a signal piece by piece, each with the states that the one before left.

    Args:
        signal: [T] or [T, ...], any length above 0.
        stream: step, context, states and constants.
        inputs: of the network, in its order.
        outputs: likewise.
        run: one call of the network.

    Returns:
        every output by name: those of all pieces [pieces, ...], states as the last piece left them.

    Raises:
        InputError: when the network has no such inputs and outputs, or a piece does not fit.
    """
    target = signal_input(stream, inputs)
    names = [spec.name for spec in outputs]
    lost = [name for _, name in stream.states if name not in names]
    if lost:
        raise InputError(f"the network has no output {lost[0]!r}", hint=f"outputs: {', '.join(names)}")
    held = {spec.name: _start(spec, stream) for spec in inputs if spec is not target}
    carried = dict(stream.states)
    rows: dict[str, list[NDArray[Any]]] = {name: [] for name in names if name not in carried.values()}
    for piece in pieces(signal, stream):
        fed = [held[spec.name] if spec is not target else shaped(piece, spec) for spec in inputs]
        got = dict(zip(names, run(fed), strict=True))
        held.update({before: np.ascontiguousarray(got[after]) for before, after in carried.items()})
        for name, row in rows.items():
            row.append(got[name])
    return {name: np.stack(row) for name, row in rows.items()} | {after: held[name] for name, after in carried.items()}


def shaped(piece: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    """A piece in the shape and element type of its input, with a batch of one.

    Raises:
        InputError: when it holds another number of values than the input takes.
    """
    wanted = tuple(dim if isinstance(dim, int) else -1 for dim in spec.shape[1:])
    fixed = int(np.prod([dim for dim in wanted if dim > 0]))
    fits = piece.size == fixed if -1 not in wanted else wanted.count(-1) == 1 and piece.size == len(piece) * fixed
    if not spec.shape or not fits or not piece.size:
        raise InputError(
            f"input {spec.name!r} takes {list(spec.shape)}; a piece of the signal has {list(piece.shape)}",
            hint="change step and context in --task sequence:step=512,context=64",
        )
    return np.ascontiguousarray(piece.reshape(1, *wanted), dtype=np.dtype(spec.dtype))


def _start(spec: TensorSpec, stream: Stream) -> NDArray[Any]:
    return np.full(spec.concrete(), stream.constants.get(spec.name, 0.0), np.dtype(spec.dtype))
