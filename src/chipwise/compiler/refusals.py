"""What a quantizer raises where it does not fit a graph, as one error of ours, and its chatter swallowed.

>>> with refusing("NNCF"):
...     raise ValueError("opset 9")
Traceback (most recent call last):
chipwise.core.errors.RuntimeUnavailableError: NNCF refuses this graph: opset 9
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from onnxruntime.capi import onnxruntime_pybind11_state as state

from chipwise.compiler.quiet import quiet
from chipwise.core.errors import RuntimeUnavailableError, first_line

if TYPE_CHECKING:
    from collections.abc import Iterator

# Libraries written for graphs that their authors saw: on others they trip over what is missing.
_ERRORS: tuple[type[Exception], ...] = (
    *(kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)),
    *(ValueError, RuntimeError, KeyError, AttributeError, TypeError, IndexError, AssertionError),
)


@contextlib.contextmanager
def refusing(library: str, *also: type[Exception]) -> Iterator[None]:
    """Turn what the block raises into a refusal.

    Args:
        library: whose words they are.
        also: exceptions of its own.

    Raises:
        RuntimeUnavailableError: instead of what was raised.
    """
    try:
        with quiet():
            yield
    except (*_ERRORS, *also) as error:
        raise RuntimeUnavailableError(f"{library} refuses this graph: {first_line(error)}") from error
