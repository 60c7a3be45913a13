"""Which libraries there are, and how to get one. A new one is a file with the verbs of `Library`, and an entry here.

>>> load("numpy").devices()
('cpu',)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

from chipwise.core.array_race import LIBRARY_NAMES
from chipwise.core.errors import MissingExtraError, RuntimeUnavailableError, first_line, unknown_name

if TYPE_CHECKING:
    from chipwise.numerics.library import Library

LIBRARIES = {name: f"chipwise.numerics.{name}" for name in LIBRARY_NAMES}
_EXTRAS = {"torch": "torch", "numba": "arrays"}
# CuPy comes as one package for each version of CUDA.
_INSTALLED_BY = {"jax": "pip install jax", "cupy": "pip install cupy-cuda13x, or the one for your CUDA"}
# What an import of a half-installed native library raises, as of `chipwise.runtimes.table`.
_BROKEN_IMPORT = (ImportError, OSError, RuntimeError, ValueError, AttributeError, TypeError, SystemError)


def load(name: str) -> Library:
    """Import one library.

    Raises:
        UnknownNameError: no such library. MissingExtraError, RuntimeUnavailableError: it is not installed, does not
            import, or has no device to work on here.
    """
    if name not in LIBRARIES:
        raise unknown_name("library of arrays", name, LIBRARIES)
    try:
        found = cast("Library", importlib.import_module(LIBRARIES[name]))
        places = found.devices()
    except ModuleNotFoundError as error:
        if error.name != name:
            raise _broken(name, error) from error
        if name in _EXTRAS:
            raise MissingExtraError(name, _EXTRAS[name]) from error
        raise RuntimeUnavailableError(f"{name} is not installed", hint=_INSTALLED_BY[name]) from error
    except _BROKEN_IMPORT as error:
        raise _broken(name, error) from error
    if not places:
        raise RuntimeUnavailableError(f"{name} is installed and has no device to work on here")
    return found


def _broken(name: str, error: BaseException) -> RuntimeUnavailableError:
    return RuntimeUnavailableError(
        f"{name} does not import: {type(error).__name__}: {first_line(error)}", hint="reinstall it, or leave it out"
    )
