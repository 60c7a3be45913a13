"""Which runtimes there are, how to get one, and which are usable here.

A new runtime is one file with the verbs of `Adapter` and one entry in `RUNTIMES`.

>>> load("reference").NAME
'reference'
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from chipwise.core.device import Machine, RuntimeStatus
from chipwise.core.errors import MachineError, MissingExtraError, RuntimeUnavailableError, unknown_name

if TYPE_CHECKING:
    from chipwise.runtimes.engine import Adapter

RUNTIMES: dict[str, str] = {
    "onnxruntime": "chipwise.runtimes.onnxruntime",
    "onnxruntime-cuda": "chipwise.runtimes.onnxruntime_cuda",
    "openvino": "chipwise.runtimes.openvino",
    "tensorrt": "chipwise.runtimes.tensorrt",
    "inductor": "chipwise.runtimes.inductor",
    "reference": "chipwise.runtimes.reference",
}
# Never a whole network's: what a part of one may run on.
_OF_PARTS = {"python": "chipwise.runtimes.python"}

# Optional libraries by the module whose absence shows that the extra was never installed.
_EXTRAS = {"openvino": "openvino", "torch": "torch"}

# What an import of a half-installed native library raises: a missing shared object is an OSError, another NumPy ABI a
# ValueError or SystemError, a partly overwritten package an AttributeError or TypeError.
_BROKEN_IMPORT = (ImportError, OSError, RuntimeError, ValueError, AttributeError, TypeError, SystemError)


def load(name: str) -> Adapter:
    """Import one runtime's adapter, and with it the vendor's library.

    Args:
        name: a key of `RUNTIMES`, or "python" for custom layers.

    Raises:
        UnknownNameError: no such runtime.
        MissingExtraError: its library is not installed; the hint names the extra.
        RuntimeUnavailableError: the library is installed and does not import; the message has the library's reason.
    """
    module = (RUNTIMES | _OF_PARTS).get(name)
    if module is None:
        raise unknown_name("runtime", name, RUNTIMES)
    try:
        return cast("Adapter", importlib.import_module(module))
    except ModuleNotFoundError as error:
        if error.name in _EXTRAS:
            raise MissingExtraError(error.name, _EXTRAS[error.name]) from error
        raise _broken(name, error) from error
    except _BROKEN_IMPORT as error:
        raise _broken(name, error) from error


def status(machine: Machine, names: Iterable[str] = tuple(RUNTIMES)) -> tuple[RuntimeStatus, ...]:
    """Say of each runtime whether it can be used on `machine`, and if not, why. Never raises for a broken runtime.

    Args:
        machine: decides which number formats are native.
        names: the runtimes to look at, all by default; each one's library is imported, which takes seconds for PyTorch.

    Raises:
        UnknownNameError: no such runtime.
    """
    return tuple(_status(name, machine) for name in names)


def _status(name: str, machine: Machine) -> RuntimeStatus:
    try:
        adapter = load(name)
    except MachineError as error:
        return RuntimeStatus(name=name, usable=False, reason=". ".join(filter(None, (error.message, error.hint))))
    reason = adapter.obstacle()
    if reason:
        return RuntimeStatus(name=name, usable=False, version=adapter.version(), reason=reason)
    return RuntimeStatus(name=name, usable=True, version=adapter.version(), precisions=adapter.precisions(machine))


def _broken(name: str, error: BaseException) -> RuntimeUnavailableError:
    lines = str(error).strip().splitlines()
    reason = lines[0] if lines else "no message"
    return RuntimeUnavailableError(
        f"the runtime {name} does not import: {type(error).__name__}: {reason}",
        hint="reinstall its library, or leave it out",
    )
