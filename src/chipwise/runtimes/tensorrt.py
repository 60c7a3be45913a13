"""NVIDIA TensorRT. UNTESTED: written from the documentation of its versions 10 and 11, it has never run.

So `obstacle` keeps it out of `chipwise compile` even where the library is installed, until CHIPWISE_UNTESTED names it.
The conformance suite is what it has to pass: run it with CHIPWISE_UNTESTED=tensorrt on a machine with the library.

The graph is compiled strongly typed, without TF32, for the shapes of one batch at a time; the host's arrays are copied
through PyTorch's CUDA tensors, so that PyTorch with CUDA is needed beside it.

>>> obstacle().startswith("untested: ")
True
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections import OrderedDict
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chipwise.core.device import Machine
from chipwise.runtimes.engine import KEPT_SHAPES, Arrays, EngineOptions, refusal
from chipwise.runtimes.formats import declared, own_format, parse

NAME = "tensorrt"
NEEDS: tuple[str, ...] = ()
ORACLE = False
WAYS: dict[str, Any] = {}
node_times = None  # its profiler calls back by layers of its own names

_ERRORS = (RuntimeError, ValueError, TypeError, KeyError, AttributeError, ImportError)
_ALLOWED = "CHIPWISE_UNTESTED"


def version() -> str:
    """Installed version; empty where it is not installed."""
    return str(_library("tensorrt").__version__) if importlib.util.find_spec("tensorrt") else ""


def obstacle() -> str:
    """Say that this adapter is untested, and what is missing besides; empty only where the user allowed it."""
    missing = [name for name in ("tensorrt", "torch") if importlib.util.find_spec(name) is None]
    if missing:
        return f"untested: this adapter has never run; here {' and '.join(missing)} is not installed"
    if not _library("torch").cuda.is_available():
        return "untested: this adapter has never run; here PyTorch finds no CUDA device"
    if NAME not in os.environ.get(_ALLOWED, "").split(","):
        return f"untested: this adapter has never run; {_ALLOWED}={NAME} lets it try"
    return ""


def precisions(machine: Machine) -> tuple[str, ...]:  # noqa: ARG001 (the same verbs in every adapter)
    """Only "fp32": strongly typed, it computes in the formats of its graph."""
    return ("fp32",)


def build(model: bytes, options: EngineOptions) -> TensorRtEngine:
    """Compile for `options.batch`; TensorRT has no threads.

    Raises:
        NetworkError: the bytes are no ONNX graph.
        RuntimeUnavailableError: what `obstacle` says, an operator that its parser lacks, or another precision.
    """
    if options.precision not in ("fp32", "int8"):
        raise refusal(NAME, ValueError(f"it runs a graph's own formats only, not {options.precision}"))
    engine = TensorRtEngine(model)
    if all(isinstance(dim, int) for spec in engine.inputs for dim in spec.shape[1:]):
        engine.prepare(tuple(spec.concrete(options.batch) for spec in engine.inputs))
    return engine


def build_default(model: bytes) -> TensorRtEngine:
    """Build as `build` does: TensorRT has no call without a configuration.

    Raises:
        NetworkError, RuntimeUnavailableError: as `build`.
    """
    return build(model, EngineOptions())


class TensorRtEngine:
    """A graph compiled once for every set of input shapes that was seen, the last few kept."""

    def __init__(self, model: bytes) -> None:
        self.precision = own_format(model)
        self.inputs, self.outputs = declared(parse(model))
        reason = obstacle()
        if reason:
            raise refusal(NAME, RuntimeError(reason))
        self._model = model
        self._kept: OrderedDict[tuple[tuple[int, ...], ...], _Context] = OrderedDict()

    def prepare(self, shapes: tuple[tuple[int, ...], ...]) -> _Context:
        """Compile for these shapes where that was not done yet."""
        try:
            if shapes not in self._kept:
                self._kept[shapes] = _Context(_compiled(self._model, shapes))
                if len(self._kept) > KEPT_SHAPES:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(shapes)
            return self._kept[shapes]
        except _ERRORS as error:
            raise refusal(NAME, error) from error

    def run(self, arrays: Arrays) -> list[NDArray[Any]]:
        """Run once; see `chipwise.runtimes.engine.Engine`."""
        context = self.prepare(tuple(array.shape for array in arrays))
        try:
            feeds = {spec.name: array for spec, array in zip(self.inputs, arrays, strict=True)}
            results = context.run(feeds)
            return [results[spec.name] for spec in self.outputs]
        except _ERRORS as error:
            raise refusal(NAME, error, what="run this graph") from error

    def close(self) -> None:
        """Let go of the compiled graphs."""
        self._kept.clear()


class _Context:
    """One compiled graph with buffers on the device, all on one stream."""

    def __init__(self, engine: Any) -> None:
        self._engine, self._context = engine, engine.create_execution_context()
        torch, trt = _library("torch"), _library("tensorrt")
        self._stream = torch.cuda.Stream()
        self._buffers: dict[str, Any] = {}
        self._results: list[str] = []
        for number in range(engine.num_io_tensors):
            name = engine.get_tensor_name(number)
            kind = np.dtype(trt.nptype(engine.get_tensor_dtype(name)))
            shape = tuple(engine.get_tensor_shape(name))
            if min(shape, default=0) < 0:
                raise ValueError(f"the shape of {name!r} depends on the data")
            self._buffers[name] = torch.from_numpy(np.zeros(shape, kind)).cuda()
            self._context.set_tensor_address(name, self._buffers[name].data_ptr())
            if engine.get_tensor_mode(name) == trt.TensorIOMode.OUTPUT:
                self._results.append(name)

    def run(self, feeds: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Copy in, run, copy out."""
        torch = _library("torch")
        with torch.cuda.stream(self._stream):
            for name, array in feeds.items():
                if name in self._buffers:  # an input that nothing reads is dropped
                    self._buffers[name].copy_(torch.from_numpy(array if array.flags.writeable else array.copy()))
            if not self._context.execute_async_v3(self._stream.cuda_stream):
                raise RuntimeError("execute_async_v3 failed")
            results = {name: self._buffers[name].cpu() for name in self._results}
        self._stream.synchronize()
        return {name: tensor.numpy() for name, tensor in results.items()}


def _compiled(model: bytes, shapes: tuple[tuple[int, ...], ...]) -> Any:
    trt = _library("tensorrt")
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    # Version 11 knows nothing else and has no such flag.
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    network = builder.create_network(0 if flag is None else 1 << int(flag))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(model):
        raise ValueError("; ".join(str(parser.get_error(number).desc()) for number in range(parser.num_errors)))
    for number, shape in enumerate(shapes):
        network.get_input(number).shape = shape
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    serialized = builder.build_serialized_network(network, config)
    if serialized is None:
        raise RuntimeError("it could not compile the graph; its log says why")
    return trt.Runtime(logger).deserialize_cuda_engine(serialized)


@cache
def _library(name: str) -> Any:
    """Import when first needed: whoever has no TensorRT must still be told so."""
    return importlib.import_module(name)
