"""Matrix products and Fourier transforms of every library that is installed, as calls that a clock can time.

A `Product` says which arithmetic it does and through what; `make(size)` prepares the data once and returns a call of
`operations(size)` operations.

>>> product = next(each for each in numpy_products(threads=1) if each.format == "fp32")
>>> call = product.make(64)
>>> call() is not None, product.operations(64)
(True, 524288.0)
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import Any, cast

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from chipwise.core.device import Machine
from chipwise.core.errors import MachineError
from chipwise.runtimes import table
from chipwise.runtimes.arithmetic import FFT_VALUES, Product
from chipwise.runtimes.engine import EngineOptions

# Products in a row in a runtime's graph, so that handing over the first input and the last result does not show.
_CHAINED = 4
_TYPES = {"fp32": np.float32, "fp64": np.float64}
_COMPLEX = {"fp32": np.complex64, "fp64": np.complex128}
# What an instruction set must have for a format to be native; the other formats always are.
_NATIVE = {
    "bf16": {"amx_bf16", "avx512_bf16", "bf16", "svebf16"},
    "fp16": {"amx_fp16", "avx512_fp16", "asimdhp", "fphp"},
    "int8": {"amx_int8", "avx512_vnni", "avx_vnni", "asimddp", "i8mm"},
}


def native(format_: str, machine: Machine) -> bool:
    """Whether the processor has instructions that multiply numbers of this format."""
    return format_ not in _NATIVE or bool(_NATIVE[format_] & set(machine.isa))


def products(machine: Machine) -> tuple[Product, ...]:
    """All that the installed libraries offer, the graphics processor's last."""
    found = [*numpy_products(machine.cores)]
    for name, formats in (("onnxruntime", ("fp32", "int8")), ("openvino", ("fp32", "bf16", "int8"))):
        try:
            table.load(name)
        except MachineError:
            continue
        found += [_on(name, format_, machine.cores) for format_ in formats]
    if importlib.util.find_spec("torch"):
        found += cast("Any", importlib.import_module("chipwise.runtimes.torch_products")).products(machine.cores)
    return tuple(found)


def scaling(threads: int) -> Product:
    """A product in fp32 with so many threads, by what the light install has."""
    return _on("onnxruntime", "fp32", threads)


def numpy_products(threads: int) -> Iterator[Product]:
    """NumPy's, by its own OpenBLAS and its own transforms."""
    for format_, kind in _TYPES.items():
        yield Product("product", format_, "numpy", threads, partial(_numpy_product, kind))
    for format_, complex_kind in _COMPLEX.items():
        yield Product("fft", format_, "numpy", threads, partial(_numpy_fft, complex_kind, threads))


def _numpy_product(kind: type[Any], size: int) -> Callable[[], object]:
    left, right = np.random.default_rng(0).standard_normal((2, size, size)).astype(kind)
    return partial(np.matmul, left, right, out=np.empty((size, size), kind))


def _numpy_fft(kind: type[Any], threads: int, size: int) -> Callable[[], object]:
    rows = np.random.default_rng(0).standard_normal((FFT_VALUES // size, size)).astype(kind)
    parts = np.array_split(rows, threads)
    if threads == 1:
        return lambda: np.fft.fft(rows)
    pool = ThreadPoolExecutor(threads)
    return lambda: list(pool.map(np.fft.fft, parts))


def _on(runtime: str, format_: str, threads: int) -> Product:
    make = partial(_runtime_product, runtime, format_, threads)
    return Product("product", format_, runtime, threads, make, 1 if format_ == "int8" else _CHAINED)


def _runtime_product(runtime: str, format_: str, threads: int, size: int) -> Callable[[], object]:
    if format_ == "int8":
        model, array = _int8_graph(size) if runtime == "onnxruntime" else _quantized_graph(size)
    else:
        model, array = _float_graph(size)
    engine = table.load(runtime).build(model, EngineOptions(format_, threads, batch=size))
    return lambda: engine.run([array])


def _float_graph(size: int) -> tuple[bytes, NDArray[Any]]:
    left, right = np.random.default_rng(0).standard_normal((2, size, size)).astype(np.float32)
    names = ["x", *(f"p{index}" for index in range(1, _CHAINED)), "y"]
    nodes = [helper.make_node("MatMul", [one, "w"], [two]) for one, two in pairwise(names)]
    return _graph(nodes, {"w": right / np.float32(math.sqrt(size))}, size, TensorProto.FLOAT), left


def _int8_graph(size: int) -> tuple[bytes, NDArray[Any]]:
    random = np.random.default_rng(0)
    node = helper.make_node("MatMulInteger", ["x", "w"], ["y"])
    weights = random.integers(-63, 63, (size, size), np.int8)
    left = random.integers(0, 127, (size, size), np.uint8)
    return _graph([node], {"w": weights}, size, TensorProto.UINT8, TensorProto.INT32), left


def _quantized_graph(size: int) -> tuple[bytes, NDArray[Any]]:
    """What OpenVINO runs in int8: a product between a quantized input and quantized weights."""
    random = np.random.default_rng(0)
    left = random.standard_normal((size, size)).astype(np.float32)
    values = {
        "w": random.integers(-63, 63, (size, size), np.int8),
        "scale": np.array(0.02, np.float32),
        "zero_u": np.array(128, np.uint8),
        "zero_i": np.array(0, np.int8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero_u"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero_u"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "scale", "zero_i"], ["v"]),
        helper.make_node("MatMul", ["d", "v"], ["y"]),
    ]
    return _graph(nodes, values, size, TensorProto.FLOAT), left


def _graph(
    nodes: list[onnx.NodeProto], values: dict[str, NDArray[Any]], size: int, kind: int, result: int = TensorProto.FLOAT
) -> bytes:
    shape = (size, size)
    graph = helper.make_graph(
        nodes,
        "product",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", result, shape)],
        [numpy_helper.from_array(array, name) for name, array in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def chain(operators: int) -> tuple[bytes, NDArray[Any]]:
    """A graph of so many operators that do next to nothing and cannot be merged, and its input."""
    names = ["x", *(f"y{index}" for index in range(operators))]
    nodes = [helper.make_node("Softmax", [one], [two], axis=-1) for one, two in pairwise(names)]
    value = partial(helper.make_tensor_value_info, elem_type=TensorProto.FLOAT, shape=(1, 8))
    graph = helper.make_graph(nodes, "chain", [value("x")], [value(names[-1])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString(), np.zeros((1, 8), np.float32)
