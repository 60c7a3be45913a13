"""Training steps through torch.compile.

>>> same = compiled(torch.nn.Identity()) if not no_compiler() else torch.nn.Identity()
>>> same(torch.ones(2)).tolist()
[1.0, 1.0]
"""

from __future__ import annotations

from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch

from chipwise.core.errors import MachineError, first_line
from chipwise.runtimes.cpp_compiler import no_compiler
from chipwise.training.place import CPU

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, nn

# What torch.compile raises of what it cannot translate, and of a C++ compiler that fails, are RuntimeErrors; its
# tracing of somebody's Python may meet any of the others.
_ERRORS = (RuntimeError, NotImplementedError, TypeError, ValueError, AttributeError, AssertionError, KeyError, OSError)
_MOST_SHAPES = 256


def compiled(module: nn.Module, device: torch.device = CPU) -> Callable[[Tensor], Any]:
    """What computes the same as the module and learns the same parameters, compiled at its first call for each shape.

    Args:
        module: on `device`.
        device: that runs it.

    Raises:
        MachineError: no C++ compiler, or no Triton; and at that call, the compiler's own reason.
    """
    why = no_compiling(device)
    if why:
        raise MachineError(f"torch.compile cannot be used: {why}", hint="train without compiled=True")
    inner = torch.compile(module, dynamic=False)
    seen: set[tuple[torch.Size, bool]] = set()

    def call(inputs: Tensor) -> Any:
        if (inputs.shape, module.training) in seen:
            return inner(inputs)
        try:
            result = inner(inputs)
        except _ERRORS as error:
            raise MachineError(
                f"torch.compile cannot compile this network: {first_line(error)}", hint="train without compiled=True"
            ) from error
        seen.add((inputs.shape, module.training))
        return result

    return call


def no_compiling(device: torch.device) -> str:
    """Why torch.compile cannot be used for a device; empty where it can."""
    if device == CPU:
        return no_compiler()
    return "" if find_spec("triton") or device.type == "mps" else "triton is not installed"


@contextmanager
def many_compiled() -> Iterator[None]:
    """Let many copies of a network be compiled side by side; torch runs the ninth as it is, and says so in a log."""
    limits = {"recompile_limit": _MOST_SHAPES, "accumulated_recompile_limit": _MOST_SHAPES}
    with torch._dynamo.config.patch(limits):  # noqa: SLF001  it has no public name
        yield
