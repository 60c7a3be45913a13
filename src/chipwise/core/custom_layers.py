"""Operators that are Python functions: `register` gives a function to an operator of a domain of one's own.

A function takes arrays, None for an optional one that is left out, and the node's attributes as keyword arguments; it
gives an array, or a tuple of them where the operator has several outputs. Functions are never stored anywhere: whoever
opens a graph or a plan that needs one registers it first.

>>> register("doc::Twice", lambda x: x + x)
>>> function("doc", "Twice")(21)
42
>>> forget("doc::Twice")
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chipwise.core.errors import InputError, first_line
from chipwise.core.network import TensorSpec

Function = Callable[..., Any]

_NAME = re.compile(r"([A-Za-z_][\w.-]*)::([A-Za-z_]\w*)")
# Domains of operators that ONNX or a runtime defines.
DEFINED = ("", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training", "com.microsoft")
_FUNCTIONS: dict[str, Function] = {}
# What Python's own operations and libraries raise; an exception of a stranger's own kind passes through as it is.
_RAISED = (ArithmeticError, AssertionError, AttributeError, BufferError, ImportError, LookupError, NameError, OSError,
           RuntimeError, TypeError, ValueError)  # fmt: skip


def register(name: str, layer: Function) -> None:
    """Let `layer` compute an operator; a second one takes the place of the first.

    Args:
        name: "domain::Name", as the graph's nodes have them.
        layer: arrays in, attributes as keyword arguments; an array or a tuple of arrays out.

    Raises:
        InputError: no such name is possible, its domain is ONNX's or a runtime's own, or `layer` cannot be called.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise InputError(f"{name!r} is no name of a custom layer", hint='as "my.domain::Swish"')
    if found[1] in DEFINED:
        raise InputError(f"the domain {found[1]!r} is not for custom layers", hint="export with a domain of your own")
    if not callable(layer):
        raise InputError(f"custom layer {name} takes a function; received {type(layer).__name__}")
    _FUNCTIONS[name] = layer


def forget(name: str) -> None:
    """Take a function back, if there is one."""
    _FUNCTIONS.pop(name, None)


def function(domain: str, operator: str) -> Function | None:
    """The function of an operator; None without one."""
    return _FUNCTIONS.get(title(domain, operator))


def registered() -> frozenset[str]:
    """Names of the layers that have a function."""
    return frozenset(_FUNCTIONS)


def title(domain: str, operator: str) -> str:
    """What a custom layer is called.

    >>> title("my", "Swish")
    'my::Swish'
    """
    return f"{domain}::{operator}"


def call(
    name: str, layer: Function, arrays: Sequence[NDArray[Any] | None], attributes: dict[str, Any], count: int
) -> tuple[NDArray[Any], ...]:
    """Call a custom layer once.

    Args:
        name: for messages.
        layer: the function.
        arrays: its inputs, None for each that is left out.
        attributes: its keyword arguments.
        count: outputs that the node has.

    Raises:
        InputError: the function raised one of Python's own errors, or gave something else than that many arrays of
            numbers.
    """
    try:
        given = layer(*arrays, **attributes)
    except _RAISED as error:
        raise InputError(f"custom layer {name} raised {type(error).__name__}: {first_line(error)}") from error
    outputs = tuple(given) if isinstance(given, (tuple, list)) else (given,)
    if len(outputs) != count:
        raise InputError(f"custom layer {name} gave {len(outputs)} arrays; the graph wants {count}")
    for each in outputs:
        if not isinstance(each, (np.ndarray, np.generic)) or each.dtype.kind not in "biuf":
            kind = each.dtype if isinstance(each, np.ndarray) else type(each).__name__
            raise InputError(f"custom layer {name} gave {kind}", hint="it is to give NumPy arrays of numbers")
    return tuple(np.asarray(each, order="C") for each in outputs)


def check_output(name: str, array: NDArray[Any], wanted: TensorSpec) -> None:
    """Compare what a custom layer gave with what the graph says of that value.

    Raises:
        InputError: its element type, its number of dimensions or a fixed dimension is another.
    """
    if not wanted.admits(array.shape) or array.dtype != np.dtype(wanted.dtype):
        got = f"{array.dtype} [{', '.join(map(str, array.shape))}]"
        raise InputError(f"custom layer {name} gave {got} for {wanted.name!r}; the graph says {wanted.form}")
