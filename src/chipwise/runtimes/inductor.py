"""PyTorch's compiler, TorchInductor, on the CPU.

The graph is translated to a PyTorch module (`onnx_to_torch`) and compiled ahead of time with its weights, for static
shapes, when these are first seen (`torch_native`). That takes a C++ compiler and from seconds to a minute; the code is
kept in the engine cache, and loading it takes milliseconds. What cannot be compiled ahead of time is given to
torch.compile, with a warning, as that is done anew in every process.

Compiled ahead, a call has less to do before it computes (microseconds, one thread of a shared Xeon with AVX-512, ahead
of time and torch.compile: LeNet-5 440 and 960, ResNet-20 2080 and 3490).

>>> NAME, obstacle() == "" or "compiler" in obstacle()
('inductor', True)
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from subprocess import SubprocessError
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from chipwise.codec.hashes import sha256_bytes
from chipwise.core.device import Machine
from chipwise.runtimes.cpp_compiler import no_compiler
from chipwise.runtimes.engine import KEPT_SHAPES, Arrays, EngineOptions, refusal
from chipwise.runtimes.formats import declared, parse
from chipwise.runtimes.lanes import Lanes, lane_count
from chipwise.runtimes.onnx_to_torch import OnnxModule, check_operators, translate
from chipwise.runtimes.torch_native import Call, Wanted, exported, native

NAME = "inductor"
NEEDS: tuple[str, ...] = ("torch",)
node_times = None  # it has no times of kernels
ORACLE = False

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}

# Read before any engine changes it.
_DEFAULT_THREADS = torch.get_num_threads()

# The compiler's own failures are RuntimeErrors; translating a graph by hand-written rules can meet any of the others.
_ERRORS = (
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    NotImplementedError,
    AttributeError,
    AssertionError,
    OSError,
    SubprocessError,
)

# Makes the call for inputs like these.
Prepare = Callable[[list[torch.Tensor]], Call]


def version() -> str:
    """Installed version of PyTorch."""
    return str(torch.__version__)


def obstacle() -> str:
    """Say that the C++ compiler is missing; empty when it is there."""
    return no_compiler()


def precisions(machine: Machine) -> tuple[str, ...]:
    """Name "fp32", and "bf16" where the processor multiplies bfloat16 natively."""
    native_types = {"avx512_bf16", "amx_bf16", "bf16"} & set(machine.isa)
    return ("fp32", "bf16") if native_types else ("fp32",)


def build(model: bytes, options: EngineOptions) -> TorchEngine:
    """Load the code for `options.batch` from the engine cache, or translate and compile.

    Raises:
        NetworkError: the bytes are no ONNX graph.
        RuntimeUnavailableError: an operator without translation (all are named), no C++ compiler, a precision other
            than "fp32" and "bf16", or the compiler's own reason.
        StorageError: the engine cache cannot be written.
    """
    if options.precision not in _DTYPES:
        raise refusal(NAME, ValueError(f"it runs float graphs only, not {options.precision}"))
    wanted = Wanted(sha256_bytes(model), options.precision, options.threads or -1)
    runners = lane_count(options.streams, options.threads)

    def prepare(module: Callable[[], OnnxModule], examples: list[torch.Tensor]) -> Call:
        try:
            return native(wanted, module, examples, runners=runners)
        except _ERRORS as error:
            reason = refusal(NAME, error, what="compile this graph ahead of time").message
            warnings.warn(f"{reason}; torch.compile takes its place, in every process anew", stacklevel=2)
        settings: dict[str, Any] = {"freezing": True, "cpp.threads": wanted.threads}
        return _on_list(torch.compile(exported(module(), examples).module(), dynamic=False, options=settings))

    return _compiled(model, options, prepare)


def build_default(model: bytes) -> TorchEngine:
    """Build `torch.compile(module)` and call it under `torch.inference_mode()`.

    Raises:
        NetworkError, RuntimeUnavailableError: as `build`.
    """

    def prepare(module: Callable[[], OnnxModule], examples: list[torch.Tensor]) -> Call:
        return _on_list(torch.compile(exported(module(), examples).module()))

    return _compiled(model, EngineOptions(threads=_DEFAULT_THREADS), prepare)


def build_eager(model: bytes) -> TorchEngine:
    """Build the module as it is, not compiled: what most people call "PyTorch". Needs no C++ compiler.

    Raises:
        NetworkError, RuntimeUnavailableError: as `build`, for operators without translation.
    """
    graph = parse(model)
    try:
        module = translate(graph).eval()
        return TorchEngine(graph, EngineOptions(threads=_DEFAULT_THREADS), lambda _: _on_list(module))
    except _ERRORS as error:
        raise refusal(NAME, error) from error


WAYS = {"eager": build_eager}


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A call for one set of shapes, and which of its results are not its own: views of inputs, constants."""

    call: Call
    shared: frozenset[int]


class TorchEngine:
    """Calls on tensors behind the verbs of an engine: one for every set of input shapes, the last few kept."""

    def __init__(self, graph: Any, options: EngineOptions, prepare: Prepare) -> None:
        self.inputs, self.outputs = declared(graph)
        self.precision = options.precision
        self._threads = options.threads or _DEFAULT_THREADS
        self._make = prepare
        self._kept: OrderedDict[tuple[Any, ...], _Prepared] = OrderedDict()
        self._prepared: _Prepared | None = None
        self._shapes: tuple[Any, ...] = ()
        self._streams = lane_count(options.streams, options.threads)
        self._lanes = Lanes([self._run_prepared] * self._streams) if self._streams > 1 else None

    def run(self, arrays: Arrays) -> list[NDArray[Any]]:
        """Run once; see `chipwise.runtimes.engine.Engine`."""
        if _shapes(arrays) != self._shapes:
            self._prepare(arrays)
        return self._run_prepared(arrays)

    def run_many(self, batches: Sequence[Arrays]) -> list[list[NDArray[Any]]]:
        """Run several at once where all have the same shapes; see `chipwise.runtimes.engine.Streaming`."""
        if self._lanes is None or len({_shapes(arrays) for arrays in batches}) != 1:
            return [self.run(arrays) for arrays in batches]
        self._prepare(batches[0])
        return self._lanes.run(batches)

    def close(self) -> None:
        """Let go of the compiled code."""
        if self._lanes:
            self._lanes.close()
            self._lanes = None  # the lanes hold the engine
        self._kept.clear()
        self._prepared, self._shapes = None, ()
        del self._make

    def _run_prepared(self, arrays: Arrays) -> list[NDArray[Any]]:
        prepared = self._prepared
        assert prepared is not None, "prepared before it runs"
        self._set_threads()
        try:
            with torch.inference_mode():
                results = prepared.call(_tensors(arrays))
                return [
                    (result.clone() if number in prepared.shared else result).contiguous().numpy()
                    for number, result in enumerate(results)
                ]
        except _ERRORS as error:
            raise refusal(NAME, error, what="run this graph") from error

    def _prepare(self, arrays: Arrays) -> None:
        key = _shapes(arrays)
        if key not in self._kept:
            self._set_threads()
            try:
                with torch.inference_mode():
                    self._kept[key] = self._compiled(arrays)
            except _ERRORS as error:
                raise refusal(NAME, error) from error
            if len(self._kept) > KEPT_SHAPES:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        self._prepared, self._shapes = self._kept[key], key

    def _compiled(self, arrays: Arrays) -> _Prepared:
        with torch.inference_mode(mode=False):
            call = self._make(_tensors(arrays))
        tensors = _tensors(arrays)
        first, second = list(call([*tensors])), list(call([*tensors]))
        # What lies where the last call's result still lies was not made by this call.
        old = {_storage(tensor) for tensor in (*tensors, *first)}
        return _Prepared(call, frozenset(number for number, each in enumerate(second) if _storage(each) in old))

    def _set_threads(self) -> None:
        # The number of threads does not belong to a module: another engine in this thread may have changed it.
        if torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)


def _shapes(arrays: Arrays) -> tuple[Any, ...]:
    return tuple((array.shape, array.dtype.char) for array in arrays)


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _tensors(arrays: Arrays) -> list[torch.Tensor]:
    return [torch.from_numpy(array if array.flags.writeable else array.copy()) for array in arrays]


def _on_list(call: Callable[..., Sequence[torch.Tensor]]) -> Call:
    return lambda tensors: call(*tensors)


def _compiled(
    model: bytes, options: EngineOptions, prepare: Callable[[Callable[[], OnnxModule], list[torch.Tensor]], Call]
) -> TorchEngine:
    reason = obstacle()
    if reason:
        raise refusal(NAME, RuntimeError(reason))
    graph = parse(model)

    def module() -> OnnxModule:
        return translate(parse(model), _DTYPES[options.precision]).eval()

    try:
        check_operators(graph)
        engine = TorchEngine(graph, options, lambda examples: prepare(module, examples))
    except _ERRORS as error:
        raise refusal(NAME, error) from error

    # Compile now, not in the first timed call; and what the compiler cannot do is a reason not to build.
    # A graph with other free dimensions than the batch gives no hint what sizes make sense: it waits for real inputs.
    if all(isinstance(dim, int) for spec in engine.inputs for dim in spec.shape[1:]):
        engine.run([np.zeros(spec.concrete(options.batch), spec.dtype) for spec in engine.inputs])
    return engine
