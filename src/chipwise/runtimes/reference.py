"""The ONNX reference evaluator: slow, plain NumPy, and the oracle that other runtimes are compared with.

It is never a candidate for a plan.

>>> ORACLE, precisions.__name__
(True, 'precisions')
"""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from chipwise.core.device import Machine
from chipwise.runtimes.custom_operators import operators
from chipwise.runtimes.engine import Arrays, EngineOptions, refusal
from chipwise.runtimes.formats import declared, own_format, parse

NAME = "reference"
NEEDS: tuple[str, ...] = ()
node_times = None  # it has no times of kernels
ORACLE = True
WAYS: dict[str, Any] = {}

# What NumPy code raises for an operator that it lacks or for inputs that do not fit.
_ERRORS = (
    NotImplementedError,
    RuntimeError,
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
    KeyError,
    ArithmeticError,
    MemoryError,
)


def version() -> str:
    """Installed version of onnx, which it is a part of."""
    return str(onnx.__version__)


def obstacle() -> str:
    """Empty: it needs nothing but NumPy."""
    return ""


def precisions(machine: Machine) -> tuple[str, ...]:  # noqa: ARG001 (the same verbs in every adapter)
    """Name "fp32", all it has."""
    return ("fp32",)


def build(model: bytes, options: EngineOptions) -> ReferenceEngine:
    """Build an evaluator; threads and batch have no meaning for it.

    Raises:
        NetworkError: the bytes are no graph.
        RuntimeUnavailableError: it has an operator that the evaluator lacks; or "bf16".
    """
    if options.precision not in ("fp32", "int8"):
        raise refusal(NAME, ValueError(f"it runs a graph's own formats only, not {options.precision}"))
    return build_default(model)


def build_default(model: bytes) -> ReferenceEngine:
    """Build an evaluator.

    Raises:
        NetworkError, RuntimeUnavailableError: as `build`.
    """
    graph = parse(model)
    try:
        return ReferenceEngine(graph, ReferenceEvaluator(graph, new_ops=operators(graph)), own_format(model))
    except _ERRORS as error:
        raise refusal(NAME, error) from error


class ReferenceEngine:
    """The evaluator behind the verbs of an engine."""

    def __init__(self, model: onnx.ModelProto, evaluator: ReferenceEvaluator, precision: str) -> None:
        self.precision = precision
        self.inputs, self.outputs = declared(model)
        self._evaluator = evaluator

    def run(self, arrays: Arrays) -> list[NDArray[Any]]:
        """Run once; see `chipwise.runtimes.engine.Engine`."""
        feeds = {spec.name: array for spec, array in zip(self.inputs, arrays, strict=True)}
        try:
            with np.errstate(all="ignore"):  # its sigmoid computes both of two branches, of which one overflows
                return [np.asarray(result) for result in self._evaluator.run(None, feeds)]
        except _ERRORS as error:
            raise refusal(NAME, error, what="run this graph") from error

    def close(self) -> None:
        """Let go of the evaluator. It refers to itself, weights and all, so that only the collector frees it."""
        del self._evaluator
        gc.collect()
