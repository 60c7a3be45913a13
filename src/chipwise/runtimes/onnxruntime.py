"""ONNX Runtime on the CPU.

What is the fastest call was measured (2 cores of a Xeon with AVX-512, version 1.31; microseconds on LeNet-5, batch 1):
default options and `session.run(None, ...)` 38, one thread and named outputs 31, input and output buffers bound once
and copied into 28 (as fast as the private `_sess.run`, so there is no need for that). Without effect beyond the noise:
inter-op threads, memory pattern or arena off, static batch, denormals as zero. Spinning stays on: without it two
threads cost up to 10 microseconds a call more. All cores are best asked for as 0: only then are the workers pinned to
cores (a ResNet-20 took 0.51 ms so, and 1.7 ms with two threads that were not pinned). The workers go on spinning for
26 ms after a call, which is why `chipwise.clock` waits between contenders.
The CPU provider has no bfloat16 kernels for Conv and MatMul: a float graph gets only "fp32".

>>> from chipwise.runtimes.onnxruntime import NAME, version
>>> NAME, version() != ""
('onnxruntime', True)
"""

from __future__ import annotations

import json
import tempfile
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as state

from chipwise.core.device import Machine
from chipwise.core.network import TensorSpec
from chipwise.runtimes.engine import KEPT_SHAPES, Arrays, EngineOptions, fixed_by_inputs, refusal
from chipwise.runtimes.formats import own_format
from chipwise.runtimes.lanes import Lanes, lane_count

NAME = "onnxruntime"
NEEDS: tuple[str, ...] = ()
ORACLE = False
WAYS: dict[str, Any] = {}

# Above this many bytes in and out, copying into bound buffers costs more than handing the caller's arrays over.
_BOUND_BYTES = 65536

_KERNEL_TIME = "_kernel_time"  # how the profiler ends the name of what it timed

_ERRORS: tuple[type[Exception], ...] = (
    *(kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)),
    RuntimeError,
    ValueError,
)

_TYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(bool)": "bool",
    **{f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


def version() -> str:
    """Installed version."""
    return str(ort.__version__)


def obstacle() -> str:
    """Empty: whatever imports has the CPU provider."""
    return ""


def precisions(machine: Machine) -> tuple[str, ...]:  # noqa: ARG001 (the same verbs in every adapter)
    """Only "fp32": see the module's docstring."""
    return ("fp32",)


def build(model: bytes, options: EngineOptions) -> OnnxRuntimeEngine:
    """Build a session with all graph optimizations, `options.threads` threads and bound buffers for small tensors.

    Raises:
        NetworkError: the bytes are no ONNX graph.
        RuntimeUnavailableError: the graph is not valid or has an operator that ONNX Runtime lacks; or "bf16" was asked.
    """
    if options.precision not in ("fp32", "int8"):
        raise refusal(NAME, ValueError(f"its CPU provider has no {options.precision} kernels"))
    own = own_format(model)
    return OnnxRuntimeEngine(session(model, optimizing(options)), own, lane_count(options.streams, options.threads))


def build_default(model: bytes) -> OnnxRuntimeDefault:
    """Build `InferenceSession(model)` and call it as the documentation does: `session.run(None, {name: array})`.

    Raises:
        NetworkError, RuntimeUnavailableError: as `build`.
    """
    own = own_format(model)
    return OnnxRuntimeDefault(session(model, plain_settings()), own)


def node_times(model: bytes, options: EngineOptions, arrays: Arrays, rounds: int) -> list[dict[str, float]]:
    """Time every kernel of a graph by the runtime's own profiler.

    Args:
        model: a serialized graph.
        options: as in `build`.
        arrays: the inputs.
        rounds: how many runs; one more comes first and is left out.

    Returns:
        seconds by the name of the kernel for each run, in the order they ran. A kernel is named after one of the nodes
        that it stands for, or after its result.

    Raises:
        NetworkError, RuntimeUnavailableError: as `build`.
    """
    with tempfile.TemporaryDirectory() as folder:
        settings = optimizing(options)
        settings.enable_profiling = True
        settings.profile_file_prefix = str(Path(folder) / "times")
        timed = session(model, settings)
        names = [node.name for node in timed.get_inputs()]
        try:
            for _ in range(rounds + 1):
                timed.run(None, dict(zip(names, arrays, strict=True)))
            events = json.loads(Path(timed.end_profiling()).read_bytes())
        except _ERRORS as error:
            raise refusal(NAME, error, what="run this graph") from error
    runs: list[dict[str, float]] = [{}]
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(_KERNEL_TIME):
            name = event["name"].removesuffix(_KERNEL_TIME)
            runs[-1][name] = runs[-1].get(name, 0.0) + 1e-6 * event["dur"]
        elif event.get("name") == "model_run":  # written at the end of a run
            runs.append({})
    return [run for run in runs if run][1:]


class OnnxRuntimeEngine:
    """A session whose small inputs and outputs are bound to buffers, one set for each set of input shapes.

    A session may be called from several threads at once: with streams, each lane is a thread that calls it unbound.
    """

    def __init__(self, session: ort.InferenceSession, precision: str, streams: int = 1, name: str = NAME) -> None:
        self.precision = precision
        self._name = name
        self.inputs = tuple(map(_spec, session.get_inputs()))
        self.outputs = tuple(map(_spec, session.get_outputs()))
        self._session = session
        self._input_names = [spec.name for spec in self.inputs]
        self._output_names = [spec.name for spec in self.outputs]
        self._bindable = fixed_by_inputs(self.inputs, self.outputs)
        self._kept: OrderedDict[tuple[tuple[int, ...], ...], _Bound | None] = OrderedDict()
        self._shapes: list[tuple[int, ...]] = []
        self._bound: _Bound | None = None
        self._lanes = Lanes([self._run_unbound] * streams) if streams > 1 else None

    def run(self, arrays: Arrays) -> list[NDArray[Any]]:
        """Run once; see `chipwise.runtimes.engine.Engine`."""
        if [array.shape for array in arrays] != self._shapes:
            self._prepare(arrays)
        bound = self._bound
        try:
            if bound is None:
                return self._run_unbound(arrays)
            for buffer, array in zip(bound.inputs, arrays, strict=True):
                buffer[...] = array
            self._session.run_with_iobinding(bound.binding)
            return [buffer.copy() for buffer in bound.outputs]
        except _ERRORS as error:
            raise refusal(self._name, error, what="run this graph") from error

    def run_many(self, batches: Sequence[Arrays]) -> list[list[NDArray[Any]]]:
        """Run several at once; see `chipwise.runtimes.engine.Streaming`."""
        try:
            return self._lanes.run(batches) if self._lanes else [self.run(arrays) for arrays in batches]
        except _ERRORS as error:
            raise refusal(self._name, error, what="run this graph") from error

    def _run_unbound(self, arrays: Arrays) -> list[NDArray[Any]]:
        return list(self._session.run(self._output_names, dict(zip(self._input_names, arrays, strict=True))))

    def close(self) -> None:
        """Let go of the session and its buffers."""
        if self._lanes:
            self._lanes.close()
            self._lanes = None
        self._kept.clear()
        self._bound = None
        del self._session

    def _prepare(self, arrays: Arrays) -> None:
        key = tuple(array.shape for array in arrays)
        if key not in self._kept:
            self._kept[key] = self._bind(arrays) if self._bindable else None
            if len(self._kept) > KEPT_SHAPES:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        self._bound, self._shapes = self._kept[key], list(key)

    def _bind(self, arrays: Arrays) -> _Bound | None:
        # A first plain call tells the real shapes and types: what a graph declares about its outputs may be wrong.
        try:
            outputs = self._run_unbound(arrays)
        except _ERRORS as error:
            raise refusal(self._name, error, what="run this graph") from error
        plain = all(isinstance(array, np.ndarray) and array.dtype != object for array in (*arrays, *outputs))
        if not plain or sum(array.nbytes for array in (*arrays, *outputs)) > _BOUND_BYTES:
            return None
        return _Bound(self._session, self._input_names, self._output_names, arrays, outputs)


class _Bound:
    """Buffers that a session reads from and writes to. ONNX Runtime shares the memory of a NumPy array on the CPU."""

    __slots__ = ("binding", "inputs", "outputs", "values")

    def __init__(
        self, session: ort.InferenceSession, names_in: list[str], names_out: list[str], arrays: Arrays, outputs: Arrays
    ) -> None:
        self.inputs = [np.empty(array.shape, array.dtype) for array in arrays]
        self.outputs = [np.empty(array.shape, array.dtype) for array in outputs]
        self.binding = session.io_binding()
        # The values must outlive the binding: it does not hold on to them.
        self.values = [ort.OrtValue.ortvalue_from_numpy(buffer) for buffer in (*self.inputs, *self.outputs)]
        for name, value in zip(names_in, self.values, strict=False):
            self.binding.bind_ortvalue_input(name, value)
        for name, value in zip(names_out, self.values[len(self.inputs) :], strict=True):
            self.binding.bind_ortvalue_output(name, value)


class OnnxRuntimeDefault:
    """A session with no options, called as people call it."""

    def __init__(self, session: ort.InferenceSession, precision: str) -> None:
        self.precision = precision
        self.inputs = tuple(map(_spec, session.get_inputs()))
        self.outputs = tuple(map(_spec, session.get_outputs()))
        self._session = session
        self._input_names = [spec.name for spec in self.inputs]

    def run(self, arrays: Arrays) -> list[NDArray[Any]]:
        """Run once; see `chipwise.runtimes.engine.Engine`."""
        try:
            return list(self._session.run(None, dict(zip(self._input_names, arrays, strict=True))))
        except _ERRORS as error:
            raise refusal(NAME, error, what="run this graph") from error

    def close(self) -> None:
        """Let go of the session."""
        del self._session


def plain_settings() -> ort.SessionOptions:
    """The settings of a session, as they are but for its log."""
    settings = ort.SessionOptions()
    settings.log_severity_level = 4  # what goes wrong is raised; nothing else belongs on a user's terminal
    return settings


def optimizing(options: EngineOptions) -> ort.SessionOptions:
    """The settings of a session with all graph optimizations and the threads of `options`."""
    settings = plain_settings()
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    settings.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    settings.intra_op_num_threads = options.threads
    settings.inter_op_num_threads = 1
    return settings


def session(
    model: bytes, settings: ort.SessionOptions, providers: Sequence[Any] = ("CPUExecutionProvider",), name: str = NAME
) -> ort.InferenceSession:
    """Make a session on the given providers, for the adapter of the given name.

    Raises:
        RuntimeUnavailableError: with the vendor's reason.
    """
    try:
        return ort.InferenceSession(model, settings, providers=list(providers))
    except _ERRORS as error:
        raise refusal(name, error) from error


def _spec(node: Any) -> TensorSpec:
    if node.type not in _TYPES:
        raise refusal(NAME, ValueError(f"{node.name!r} is a {node.type}, not a tensor of numbers"))
    shape = tuple(
        dim if isinstance(dim, int) else str(dim) if dim else f"free_{node.name}_{axis}"
        for axis, dim in enumerate(node.shape)
    )
    return TensorSpec(name=node.name, shape=shape, dtype=_TYPES[node.type])
