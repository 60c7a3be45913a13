"""Custom layers in Python: the part of a network that registered functions compute.

It never runs a whole network: a plan cuts the graph where such a function begins and ends (`chipwise.runtimes.parts`).

>>> NAME, ORACLE
('python', False)
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

from chipwise.core.errors import RuntimeUnavailableError
from chipwise.runtimes import reference
from chipwise.runtimes.custom_operators import missing
from chipwise.runtimes.formats import parse

if TYPE_CHECKING:
    from chipwise.core.device import Machine
    from chipwise.runtimes.engine import EngineOptions
    from chipwise.runtimes.reference import ReferenceEngine

NAME = "python"
NEEDS: tuple[str, ...] = ()
node_times = None  # it has no times of kernels
ORACLE = False
WAYS: dict[str, Any] = {}


def version() -> str:
    """Version of Python."""
    return platform.python_version()


def obstacle() -> str:
    """Empty: it is what runs this."""
    return ""


def precisions(machine: Machine) -> tuple[str, ...]:  # noqa: ARG001 (the same verbs in every adapter)
    """Name "fp32"; a function gives what it gives."""
    return ("fp32",)


def build(model: bytes, options: EngineOptions) -> ReferenceEngine:  # noqa: ARG001 (functions know no options)
    """Build an engine of functions; threads, batch and precision have no meaning for it.

    Raises:
        NetworkError: the bytes are no graph.
        RuntimeUnavailableError: a custom layer is not registered.
    """
    return build_default(model)


def build_default(model: bytes) -> ReferenceEngine:
    """Build an engine of functions.

    Raises:
        NetworkError, RuntimeUnavailableError: as `build`.
    """
    unknown = missing(parse(model))
    if unknown:
        hint = f'chipwise.custom_layer("{unknown[0]}", function)'
        raise RuntimeUnavailableError(f"the custom layer {', '.join(unknown)} is not registered", hint=hint)
    return reference.build_default(model)
