"""OpenVINO on the CPU.

What is the fastest call was measured (2 cores of a Xeon with AVX-512 and AMX, version 2026.4; microseconds on
LeNet-5, batch 1, one thread, fp32): `compiled([array])` on a dynamic batch 116, on a static batch 107, `infer` with
shared inputs and outputs 104, `start_async` and `wait` 127, `set_input_tensor` 45; copying into the request's own
input tensor, then `infer()`, then copying the output 41. So small inputs are copied, large ones handed over with
`set_input_tensor`. CPU pinning and the number of streams had no effect beyond the noise at one and two threads.

For throughput, every lane is a thread with a request of its own. OpenVINO's AsyncInferQueue is slower, as its callbacks
are Python too (two streams on 2 shared cores, items a second: LeNet-5 12500 by lanes, 2300 by the queue; ResNet-20
1430 and 1000).

OpenVINO's default precision on a machine with native bfloat16 is bf16, not fp32: `precision` says what really runs.

>>> from chipwise.core.device import Machine
>>> precisions(Machine("example", "x86_64", ("amx_bf16", "avx512f"), cores=2, logical_cpus=2))
('fp32', 'bf16')
"""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import frontend

from chipwise.codec.files import atomic_write, storage_error
from chipwise.core.device import Machine
from chipwise.core.network import TensorSpec
from chipwise.runtimes.engine import KEPT_SHAPES, Arrays, EngineOptions, refusal
from chipwise.runtimes.formats import own_format
from chipwise.runtimes.lanes import Lanes, lane_count

NAME = "openvino"
NEEDS: tuple[str, ...] = ("openvino",)
ORACLE = False

# Above this many bytes, copying an input costs more than making a tensor around the caller's memory (4 microseconds).
_COPIED_BYTES = 65536

_ERRORS = (
    RuntimeError,
    ValueError,
    TypeError,
    frontend.GeneralFailure,
    frontend.InitializationFailure,
    frontend.NotImplementedFailure,
    frontend.OpConversionFailure,
    frontend.OpValidationFailure,
)

_HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16", "int8": "f32"}
# Instruction sets that multiply a format: of x86, and of Arm as Linux spells them (asimdhp: halves in vectors).
_NATIVE = {"bf16": {"avx512_bf16", "amx_bf16"}, "fp16": {"avx512_fp16", "amx_fp16", "asimdhp", "fphp"}}
_NAMES = {"f32": "fp32", "bf16": "bf16", "f16": "fp16"}


def version() -> str:
    """Installed version, without the build number."""
    return str(ov.__version__).split("-", maxsplit=1)[0]


def obstacle() -> str:
    """Why OpenVINO cannot be used here: its CPU plugin is missing; empty when it is there."""
    return "" if "CPU" in core().available_devices else "OpenVINO found no CPU plugin"


def precisions(machine: Machine) -> tuple[str, ...]:
    """Name "fp32", and "bf16" and "fp16" where the processor multiplies them natively.

    Elsewhere OpenVINO takes the hint and computes in fp32 without a word.
    """
    return ("fp32", *(name for name, wanted in _NATIVE.items() if wanted & set(machine.isa)))


def build(model: bytes, options: EngineOptions) -> OpenVinoEngine:
    """Compile with an explicit precision, `options.threads` threads and a static batch; for latency, or with streams.

    Raises:
        NetworkError: the bytes are no ONNX graph.
        RuntimeUnavailableError: the graph is not valid or has an operator that OpenVINO lacks; or a precision that it
            does not know was asked.
    """
    if options.precision not in _HINTS:
        raise refusal(NAME, ValueError(f"it has no precision {options.precision!r} on a CPU"))
    own = own_format(model)
    return OpenVinoEngine(_read(model), options, own)


def build_default(model: bytes) -> OpenVinoDefault:
    """Build `core.compile_model(model, "CPU")` and call it as the documentation does: `compiled([array])`.

    Raises:
        NetworkError, RuntimeUnavailableError: as `build`.
    """
    return _plain(model, {})


def build_plain_fp32(model: bytes) -> OpenVinoDefault:
    """Like the default, told to compute in float32 where it would take bfloat16 of its own accord.

    Raises:
        NetworkError, RuntimeUnavailableError: as `build`.
    """
    return _plain(model, {"INFERENCE_PRECISION_HINT": "f32"})


WAYS = {"fp32": build_plain_fp32}


def node_times(model: bytes, options: EngineOptions, arrays: Arrays, rounds: int) -> list[dict[str, float]]:
    """Time every kernel of a graph by the runtime's own counters; as in `chipwise.runtimes.onnxruntime`."""
    engine = OpenVinoEngine(_read(model), options, "", {"PERF_COUNT": True})
    runs = []
    for _ in range(rounds + 1):
        engine.run(arrays)
        runs.append(engine.kernel_times())
    engine.close()
    return runs[1:]


def save(model: bytes, path: Path) -> tuple[Path, Path]:
    """Write a graph as OpenVINO's own files, weights as they are: `path` (.xml) and a .bin beside it.

    Raises:
        NetworkError, RuntimeUnavailableError: as `build`. StorageError: they cannot be written.
    """
    own_format(model)
    graph = _read(model)
    beside = path.with_suffix(".bin")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "graph.xml"
        try:
            ov.save_model(graph, made, compress_to_fp16=False)
        except _ERRORS as error:
            raise refusal(NAME, error, what="write this graph") from error
        except OSError as error:
            raise storage_error(path, error) from error
        atomic_write(beside, made.with_suffix(".bin").read_bytes())
        atomic_write(path, made.read_bytes())
    return path, beside


class OpenVinoEngine:
    """A graph compiled once for every batch size that was seen, the last few kept.

    A graph with other free dimensions than the batch is compiled once with dynamic shapes instead: text of ever new
    lengths would otherwise compile for ever.
    """

    def __init__(self, graph: ov.Model, options: EngineOptions, own: str, extra: dict[str, Any] | None = None) -> None:
        self.inputs, self.outputs = _specs(graph.inputs), _specs(graph.outputs)
        self._streams = lane_count(options.streams, options.threads)
        self._graph, self._settings = graph, _optimizing(options, self._streams) | (extra or {})
        self._static = all(isinstance(dim, int) for spec in self.inputs for dim in spec.shape[1:])
        self._kept: OrderedDict[tuple[tuple[int, ...], ...], list[_Request]] = OrderedDict()
        self._shapes: list[tuple[int, ...]] = []
        if self._static:
            self._current = self._requests(tuple(spec.concrete(options.batch) for spec in self.inputs))
        else:
            self._current = self._compiled(graph)
        lanes = [partial(self._run_lane, number) for number in range(self._streams)]
        self._lanes = Lanes(lanes) if self._streams > 1 else None
        self.precision = own if own == "int8" else _running(self._current[0].compiled)

    def run(self, arrays: Arrays) -> list[NDArray[Any]]:
        """Run once; see `chipwise.runtimes.engine.Engine`."""
        if [array.shape for array in arrays] != self._shapes:
            self._prepare(arrays)
        return self._run_lane(0, arrays)

    def run_many(self, batches: Sequence[Arrays]) -> list[list[NDArray[Any]]]:
        """Run several at once where all have the same shapes; see `chipwise.runtimes.engine.Streaming`."""
        shapes = {tuple(array.shape for array in arrays) for arrays in batches}
        if self._lanes is None or len(shapes) != 1:
            return [self.run(arrays) for arrays in batches]
        self._prepare(batches[0])
        return self._lanes.run(batches)

    def kernel_times(self) -> dict[str, float]:
        """Seconds by the name of the kernel in the last run, where it was compiled to count them."""
        return self._current[0].kernel_times()

    def close(self) -> None:
        """Let go of the compiled graphs."""
        if self._lanes:
            self._lanes.close()
            self._lanes = None  # the lanes hold the engine
        self._kept.clear()
        del self._graph, self._current

    def _run_lane(self, number: int, arrays: Arrays) -> list[NDArray[Any]]:
        try:
            return self._current[number].run(arrays)
        except _ERRORS as error:
            raise refusal(NAME, error, what="run this graph") from error

    def _prepare(self, arrays: Arrays) -> None:
        shapes = tuple(array.shape for array in arrays)
        self._current, self._shapes = self._requests(shapes), list(shapes)

    def _requests(self, shapes: tuple[tuple[int, ...], ...]) -> list[_Request]:
        if shapes not in self._kept:
            # Also done where the dynamic graph runs: OpenVINO 2026.4 does not check shapes there, and multiplies a
            # [2, 7] matrix with a [3, 4] one without a word.
            graph = _reshaped(self._graph, shapes)
            self._kept[shapes] = self._compiled(graph) if self._static else self._current
            if len(self._kept) > KEPT_SHAPES:
                self._kept.popitem(last=False)
        self._kept.move_to_end(shapes)
        return self._kept[shapes]

    def _compiled(self, graph: ov.Model) -> list[_Request]:
        compiled = _compile(graph, self._settings)
        return [_Request(compiled) for _ in range(self._streams)]


class _Request:
    """One compiled graph with one request, and views of that request's own tensors where their shapes are fixed."""

    __slots__ = ("_buffers", "_count", "_infer", "_request", "_results", "compiled")

    def __init__(self, compiled: ov.CompiledModel) -> None:
        self.compiled = compiled
        self._request = compiled.create_infer_request()
        self._infer = self._request.infer
        self._count = len(compiled.outputs)
        self._buffers = [
            _view(port, self._request.get_input_tensor(index), limit=_COPIED_BYTES)
            for index, port in enumerate(compiled.inputs)
        ]
        results = [_view(port, self._request.get_output_tensor(i)) for i, port in enumerate(compiled.outputs)]
        fixed = [view for view in results if view is not None]
        self._results = fixed if len(fixed) == self._count else None

    def run(self, arrays: Arrays) -> list[NDArray[Any]]:
        """Feed, infer, and copy the results out of the request's memory."""
        for index, (buffer, array) in enumerate(zip(self._buffers, arrays, strict=True)):
            if buffer is None:
                self._request.set_input_tensor(index, ov.Tensor(array, shared_memory=array.flags.carray))
            else:
                buffer[...] = array
        self._infer()
        if self._results is None:
            return [self._request.get_output_tensor(index).data.copy() for index in range(self._count)]
        return [view.copy() for view in self._results]

    def kernel_times(self) -> dict[str, float]:
        """See `OpenVinoEngine.kernel_times`."""
        times: dict[str, float] = {}
        for entry in self._request.get_profiling_info():
            if entry.status == ov.ProfilingInfo.Status.EXECUTED:
                times[entry.node_name] = times.get(entry.node_name, 0.0) + entry.real_time.total_seconds()
        return times


class OpenVinoDefault:
    """A graph compiled with no options, called as people call it."""

    def __init__(
        self, compiled: ov.CompiledModel, own: str, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
    ) -> None:
        self.inputs, self.outputs = inputs, outputs
        self.precision = own if own == "int8" else _running(compiled)
        self._compiled = compiled

    def run(self, arrays: Arrays) -> list[NDArray[Any]]:
        """Run once; see `chipwise.runtimes.engine.Engine`."""
        try:
            return list(self._compiled(arrays).values())
        except _ERRORS as error:
            raise refusal(NAME, error, what="run this graph") from error

    def close(self) -> None:
        """Let go of the compiled graph."""
        del self._compiled


def _plain(model: bytes, settings: dict[str, Any]) -> OpenVinoDefault:
    own = own_format(model)
    graph = _read(model)
    return OpenVinoDefault(_compile(graph, settings), own, _specs(graph.inputs), _specs(graph.outputs))


def _optimizing(options: EngineOptions, streams: int) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY" if streams == 1 else "THROUGHPUT",
        "INFERENCE_PRECISION_HINT": _HINTS[options.precision],
    }
    if streams > 1:
        settings["NUM_STREAMS"] = streams
    # The vendor counts the threads of all streams together.
    return settings | ({"INFERENCE_NUM_THREADS": options.threads * streams} if options.threads else {})


@cache
def core() -> ov.Core:
    """The one `Core` of this process, which is never let go.

    The CPU plugin of each Core sets a signal stack (sigaltstack(2)) for the thread that made it, and unmaps it when
    the Core goes. Two Cores that go in the order in which they came, or one that goes in another thread, leave the
    thread with a stack that is no more: its next signal that Python handles, of a child that ended or of Ctrl-C, kills
    the process without a word (OpenVINO 2026.4).
    """
    return ov.Core()


def _read(model: bytes) -> ov.Model:
    try:
        return core().read_model(model)
    except _ERRORS as error:
        raise refusal(NAME, error) from error


def _compile(graph: ov.Model, settings: dict[str, Any]) -> ov.CompiledModel:
    try:
        return core().compile_model(graph, "CPU", settings)
    except _ERRORS as error:
        raise refusal(NAME, error) from error


def _reshaped(graph: ov.Model, shapes: tuple[tuple[int, ...], ...]) -> ov.Model:
    static = graph.clone()
    try:
        static.reshape({index: list(shape) for index, shape in enumerate(shapes)})
    except _ERRORS as error:
        raise refusal(NAME, error, what=f"prepare this graph for inputs {list(shapes)}") from error
    return static


def _running(compiled: ov.CompiledModel) -> str:
    name = str(compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name())
    return _NAMES.get(name, name)


def _view(port: ov.ConstOutput, tensor: ov.Tensor, *, limit: int | None = None) -> NDArray[Any] | None:
    fixed = port.get_partial_shape().is_static
    return tensor.data if fixed and (limit is None or tensor.byte_size <= limit) else None


def _specs(ports: list[ov.Output]) -> tuple[TensorSpec, ...]:
    return tuple(_spec(port, number) for number, port in enumerate(ports))


def _spec(port: ov.Output, number: int) -> TensorSpec:
    # OpenVINO forgets what a graph calls its free dimensions; the first one is the batch by convention.
    name = next(iter(sorted(port.get_names())), f"tensor{number}")
    partial = port.get_partial_shape()
    if partial.rank.is_dynamic:
        raise refusal(NAME, ValueError(f"the rank of {name!r} is not known"))
    shape = tuple(
        dim.get_length() if dim.is_static else "batch" if axis == 0 else f"{name}_{axis}"
        for axis, dim in enumerate(partial)
    )
    return TensorSpec(name=name, shape=shape, dtype=np.dtype(port.get_element_type().to_dtype()).name)
