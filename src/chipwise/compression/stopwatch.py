"""What a runtime here takes for a layer, and for one network against another.

>>> stopwatch("onnxruntime").title
'onnxruntime fp32 x1'
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from chipwise.clock.interleave import interleave
from chipwise.core.errors import NetworkError
from chipwise.optimize.pipeline import names_kept
from chipwise.optimize.rewrite import shape_of
from chipwise.runtimes.engine import EngineOptions
from chipwise.runtimes.table import load

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from chipwise.runtimes.engine import Adapter

_FEWEST, _MOST = 10, 1000  # runs of a layer
_ROUNDS = 21  # of two networks, at least: a machine may be busy for some of them


@dataclass(frozen=True, slots=True)
class Stopwatch:
    """A clock for networks; tests put in one that they control.

    Attributes:
        title: what it times on: runtime, number format and threads.
        layer: seconds of a graph of one node called "layer": serialized, its input, and how long it may take.
        race: seconds a call of two graphs that take turns, [rounds] each; with how long it may take.
    """

    title: str
    layer: Callable[[bytes, NDArray[np.float32], float], float]
    race: Callable[[ir.Model, ir.Model, float], tuple[NDArray[np.float64], NDArray[np.float64]]]


def stopwatch(runtime: str = "onnxruntime", threads: int = 1) -> Stopwatch:
    """Time on a runtime, in float32.

    Args:
        runtime: its name.
        threads: of a call.

    Raises:
        UnknownNameError: no such runtime. MissingExtraError, RuntimeUnavailableError: it cannot be used.
    """
    adapter, options = load(runtime), EngineOptions(threads=threads)
    title = f"{runtime} fp32 x{threads}"
    return Stopwatch(title, partial(_layer_s, adapter, options), partial(_race, adapter, options))


def _layer_s(
    adapter: Adapter, options: EngineOptions, model: bytes, given: NDArray[np.float32], budget_s: float
) -> float:
    """By the runtime's own profiler where it has one, so that only the layer counts and no copy around it."""
    times = adapter.node_times
    if times is None:
        engine = adapter.build(model, options)
        try:
            found = interleave({"layer": lambda: engine.run([given])}, budget_s=budget_s, one_thread=_alone(options))
        finally:
            engine.close()
        return float(np.median(found["layer"]))
    first = np.median([_kernels(each) for each in times(model, options, [given], _FEWEST)])
    rounds = int(np.clip(budget_s / max(float(first), 1e-6), _FEWEST, _MOST))
    return _middle([_kernels(each) for each in times(model, options, [given], rounds)])


def _kernels(times: dict[str, float]) -> float:
    """The layer's own; all of them where the runtime calls it something else."""
    own = [seconds for name, seconds in times.items() if "layer" in name]
    return sum(own) if own else sum(times.values())


def _middle(samples: list[float]) -> float:
    """The mean of the middle half: as robust as a median where a profiler counts whole microseconds."""
    low, high = np.quantile(samples, (0.25, 0.75))
    return float(np.mean([each for each in samples if low <= each <= high]))


def _race(
    adapter: Adapter, options: EngineOptions, before: ir.Model, after: ir.Model, budget_s: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two graphs of the same inputs, one item a call."""
    given = [_input(value) for value in before.graph.inputs]
    engines = {name: adapter.build(_serialized(graph), options) for name, graph in (("a", before), ("b", after))}
    try:
        calls = {name: partial(engine.run, given) for name, engine in engines.items()}
        found = interleave(calls, budget_s=budget_s, min_rounds=_ROUNDS, one_thread=_alone(options))
    finally:
        for engine in engines.values():
            engine.close()
    return found["a"], found["b"]


def _alone(options: EngineOptions) -> tuple[str, ...]:
    return ("a", "b", "layer") if options.threads == 1 else ()


def _input(value: ir.Value) -> NDArray[np.float32]:
    shape = shape_of(value)
    if shape is None or any(size is None for size in shape[1:]):
        raise NetworkError(f"the input {value.name} has sizes that are not known: {shape}", hint="give --input-shape")
    return np.random.default_rng(0).normal(0, 1, [1 if size is None else size for size in shape]).astype(np.float32)


def _serialized(graph: ir.Model) -> bytes:
    with names_kept(graph):
        return bytes(ir.to_proto(graph).SerializeToString())
