"""PyTorch's compiler, TorchInductor, on the CPU.

The graph is translated to a PyTorch module (`onnx_to_torch`), its weights frozen into the compiled code, and compiled
with static shapes when a batch size is first seen. Compiling takes seconds and needs a C++ compiler.

>>> import shutil
>>> NAME, obstacle() == "" or "compiler" in obstacle()
('inductor', True)
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from chipwise.core.device import Machine
from chipwise.core.network import TensorSpec
from chipwise.runtimes.engine import Arrays, EngineOptions, refusal
from chipwise.runtimes.formats import declared, parse
from chipwise.runtimes.onnx_to_torch import OnnxModule, translate

NAME = "inductor"
NEEDS: tuple[str, ...] = ("torch",)
node_times = None  # it has no times of kernels
ORACLE = False

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}

# Read before any engine changes it.
_DEFAULT_THREADS = torch.get_num_threads()

# The compiler's own failures are RuntimeErrors; translating a graph by hand-written rules can meet any of the others.
_ERRORS = (RuntimeError, ValueError, TypeError, KeyError, IndexError, NotImplementedError, AttributeError, OSError)


def version() -> str:
    """Installed version of PyTorch."""
    return str(torch.__version__)


def obstacle() -> str:
    """Say that the C++ compiler is missing; empty when it is there."""
    wanted = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    return "" if shutil.which(wanted) else f"it needs a C++ compiler, and {wanted} is not there (CXX names another)"


def precisions(machine: Machine) -> tuple[str, ...]:
    """Name "fp32", and "bf16" where the processor multiplies bfloat16 natively."""
    native = {"avx512_bf16", "amx_bf16", "bf16"} & set(machine.isa)
    return ("fp32", "bf16") if native else ("fp32",)


def build(model: bytes, options: EngineOptions) -> TorchEngine:
    """Translate, freeze and compile for `options.batch`.

    Raises:
        NetworkError: the bytes are no ONNX graph.
        RuntimeUnavailableError: an operator without translation (all are named), no C++ compiler, a precision other
            than "fp32" and "bf16", or the compiler's own reason.
    """
    if options.precision not in _DTYPES:
        raise refusal(NAME, ValueError(f"it runs float graphs only, not {options.precision}"))
    settings: dict[str, str | int | bool | Callable[..., Any]] = {
        "freezing": True,
        "cpp.threads": options.threads or -1,
    }
    return _compiled(model, options, lambda module: torch.compile(module, dynamic=False, options=settings))


def build_default(model: bytes) -> TorchEngine:
    """Build `torch.compile(module)` and call it under `torch.inference_mode()`.

    Raises:
        NetworkError, RuntimeUnavailableError: as `build`.
    """
    return _compiled(model, EngineOptions(threads=_DEFAULT_THREADS), torch.compile)


def build_eager(model: bytes) -> TorchEngine:
    """Build the module as it is, not compiled: what most people call "PyTorch". Needs no C++ compiler.

    Raises:
        NetworkError, RuntimeUnavailableError: as `build`, for operators without translation.
    """
    return _engine(model, EngineOptions(threads=_DEFAULT_THREADS), lambda module: module)


class TorchEngine:
    """A callable on tensors behind the verbs of an engine."""

    def __init__(
        self,
        call: Callable[..., tuple[torch.Tensor, ...]],
        specs: tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]],
        options: EngineOptions,
    ) -> None:
        self.inputs, self.outputs = specs
        self.precision = options.precision
        self._call = call
        self._threads = options.threads or _DEFAULT_THREADS
        self._dtype = None if options.precision == "fp32" else _DTYPES[options.precision]

    def run(self, arrays: Arrays) -> list[NDArray[Any]]:
        """Run once; see `chipwise.runtimes.engine.Engine`."""
        # The number of threads belongs to the process, not to a module: another engine may have changed it.
        if torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        try:
            with torch.inference_mode():
                tensors = [torch.from_numpy(array if array.flags.writeable else array.copy()) for array in arrays]
                if self._dtype is None:
                    return [_owned(result, tensors) for result in self._call(*tensors)]
                results = self._call(*(tensor.to(self._dtype) for tensor in tensors))
                return [result.float().numpy() for result in results]
        except _ERRORS as error:
            raise refusal(NAME, error, what="run this graph") from error

    def close(self) -> None:
        """Let go of the compiled code."""
        del self._call


def _owned(result: torch.Tensor, inputs: list[torch.Tensor]) -> NDArray[Any]:
    """Copy a result that is a view of an input (Identity, Reshape): the caller may overwrite what it gave."""
    array: NDArray[Any] = result.numpy()
    shared = any(np.may_share_memory(array, tensor.numpy()) for tensor in inputs)
    return array.copy() if shared else array


def _compiled(model: bytes, options: EngineOptions, compile_module: Callable[[OnnxModule], Any]) -> TorchEngine:
    reason = obstacle()
    if reason:
        raise refusal(NAME, RuntimeError(reason))
    engine = _engine(model, options, compile_module)
    # Compile now, not in the first timed call; and what the compiler cannot do is a reason not to build.
    # A graph with other free dimensions than the batch gives no hint what sizes make sense: it waits for real inputs.
    if all(isinstance(dim, int) for spec in engine.inputs for dim in spec.shape[1:]):
        engine.run([np.zeros(spec.concrete(options.batch), spec.dtype) for spec in engine.inputs])
    return engine


def _engine(model: bytes, options: EngineOptions, finish: Callable[[OnnxModule], Any]) -> TorchEngine:
    graph = parse(model)
    try:
        module = translate(graph).eval().to(_DTYPES[options.precision])
        return TorchEngine(finish(module), declared(graph), options)
    except _ERRORS as error:
        raise refusal(NAME, error) from error
