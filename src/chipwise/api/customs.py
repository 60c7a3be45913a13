"""Layers of one's own: Python functions for operators that no runtime has.

>>> custom_layer("doc::Third", lambda x: x / 3)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def custom_layer(name: str, function: Callable[..., Any]) -> None:
    """Let a Python function compute an operator of a domain of one's own, in this process.

    Graphs that have it can then be inspected, run and compiled. A plan remembers that it needs the function, and never
    holds it: register it again where the plan is opened.

    Args:
        name: "domain::Name", as the graph's nodes have them.
        function: NumPy arrays in (None for an optional input that is left out), the node's attributes as keyword
            arguments; an array out, or a tuple of them where the operator has several outputs.

    Raises:
        InputError: no such name is possible, its domain is ONNX's or a runtime's own, or `function` cannot be called.
    """
    from chipwise.core.custom_layers import register

    register(name, function)
