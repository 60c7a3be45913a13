"""What every runtime gives: an engine that takes arrays and gives arrays.

An adapter is a module with the verbs of `Adapter`; an engine is whatever its `build` returns. Both are described here
as protocols, so that neither inherits anything.

>>> EngineOptions(precision="bf16", threads=2).batch
1
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from chipwise.core.device import Machine
from chipwise.core.errors import InputError, RuntimeUnavailableError
from chipwise.core.network import TensorSpec

Arrays = Sequence[NDArray[Any]]

# How many batch sizes an engine keeps prepared at once: a last, smaller batch and a few more; each holds buffers.
KEPT_SHAPES = 8


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How an engine is built.

    Attributes:
        precision: "fp32" or "bf16" for a float graph; "int8" runs a quantized graph (QDQ) in its own formats, "bf16"
            the same with what is not quantized in bf16.
        threads: threads that one call uses; 0 leaves the number and their places to the runtime.
        batch: items per call to prepare for; other batch sizes work too and are prepared when first seen.
        streams: requests that `run_many` keeps in flight, each with `threads` threads of its own; more than 1 is for
            throughput. 0: as many as fit on the processors.
    """

    precision: str = "fp32"
    threads: int = 1
    batch: int = 1
    streams: int = 1


class Engine(Protocol):
    """A built graph, ready to run. One call at a time; two engines may live side by side."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What `run` takes, in order."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What `run` gives, in order."""

    @property
    def precision(self) -> str:
        """The number format that really runs, which need not be the one that was asked for."""

    def run(self, arrays: Arrays) -> list[NDArray[Any]]:
        """Run once. `arrays` are C-contiguous, in the order of `inputs` and not checked: see `check_inputs`.

        The results belong to the caller: the next call does not overwrite them.
        """

    def close(self) -> None:
        """Let go of the vendor's objects. The engine cannot be used afterwards."""


@runtime_checkable
class Streaming(Protocol):
    """What an engine may give beyond `Engine`: several requests at once."""

    def run_many(self, batches: Sequence[Arrays]) -> list[list[NDArray[Any]]]:
        """Run every item as `run` would, `EngineOptions.streams` of them at a time; results in the order given."""


class Adapter(Protocol):
    """The verbs of one runtime's module."""

    NAME: str
    NEEDS: tuple[str, ...]
    ORACLE: bool

    def version(self) -> str:
        """Installed version of the vendor's library."""

    def obstacle(self) -> str:
        """Why the runtime cannot be used although it imports; empty when it can."""

    def precisions(self, machine: Machine) -> tuple[str, ...]:
        """Number formats worth trying on `machine` for a float graph."""

    def build(self, model: bytes, options: EngineOptions) -> Engine:
        """Build an engine from a serialized ONNX graph. Raises RuntimeUnavailableError with the vendor's reason."""

    @property
    def node_times(self) -> Callable[[bytes, EngineOptions, Arrays, int], list[dict[str, float]]] | None:
        """Times every kernel of a graph: graph, options, inputs, rounds; seconds by name for each round. None: cannot.

        A name holds that of one of the nodes, or of their results, that the kernel stands for.
        """

    def build_default(self, model: bytes) -> Engine:
        """Build what a user gets who gives no options: the peer that a plan is compared with."""

    @property
    def WAYS(self) -> dict[str, Callable[[bytes], Engine]]:  # noqa: N802 (a constant of a module)
        """Other ways people call it that a plan is compared with too, by name; each builds as `build_default`."""


def run_many(engine: Engine, batches: Sequence[Arrays]) -> list[list[NDArray[Any]]]:
    """Run every item, several at once where the engine was built with streams, otherwise one after another.

    Args:
        engine: a built engine.
        batches: what `engine.run` takes, once for each call.

    Returns:
        the results of each call, in the order of `batches`.

    Raises:
        RuntimeUnavailableError: as `engine.run`.
    """
    if isinstance(engine, Streaming):
        return engine.run_many(batches)
    return [engine.run(arrays) for arrays in batches]


def check_inputs(engine: Engine, arrays: Arrays) -> None:
    """Compare arrays with what the engine takes: number, element types, ranks and fixed dimensions.

    Args:
        engine: a built engine.
        arrays: what is about to be given to `engine.run`.

    Raises:
        InputError: names the input, what it takes and what was received.
    """
    if len(arrays) != len(engine.inputs):
        names = ", ".join(spec.name for spec in engine.inputs)
        raise InputError(f"the network takes {len(engine.inputs)} inputs ({names}); received {len(arrays)}")
    for spec, array in zip(engine.inputs, arrays, strict=True):
        if not spec.admits(array.shape) or array.dtype != np.dtype(spec.dtype):
            received = f"{array.dtype} [{', '.join(map(str, array.shape))}]"
            raise InputError(f"input {spec.name!r} takes {spec.form}; received {received}")
        if 0 in array.shape:
            raise InputError(f"input {spec.name!r} is empty: received shape [{', '.join(map(str, array.shape))}]")


def refusal(runtime: str, error: BaseException, *, what: str = "build this graph") -> RuntimeUnavailableError:
    """Turn a vendor's exception into ours: the runtime's name and the vendor's reason in one line.

    Args:
        runtime: its name in `RUNTIMES`.
        error: what the vendor raised; lines that only say where in the vendor's source it was raised are left out.
        what: what was attempted.
    """
    lines = [line.strip() for line in str(error).splitlines()]
    telling = [line for line in lines if line and not line.startswith(("Exception from", "Check '", "Summary:"))]
    reason = " ".join(telling).split(" Hint: ")[0][:400] or type(error).__name__
    return RuntimeUnavailableError(f"{runtime} could not {what}: {reason}", hint="try another runtime with --runtime")


def fixed_by_inputs(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> bool:
    """True when every free dimension of the outputs is a free dimension of an input, by name.

    Only then do inputs of the same shapes always give outputs of the same shapes, and buffers may be kept.
    """
    free = {dim for spec in inputs for dim in spec.shape if isinstance(dim, str)}
    return all(isinstance(dim, int) or dim in free for spec in outputs for dim in spec.shape)
