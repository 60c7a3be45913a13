"""Import this folder's heavy modules when they are needed; where a library is missing, say so in one line.

>>> late("rows").__name__
'chipwise.networks.rows'
"""

from __future__ import annotations

import importlib
from types import ModuleType

from chipwise.core.errors import MissingExtraError

# Library: the extra that brings it.
_EXTRAS = {"torch": "torch", "safetensors": "torch", "keras": "keras", "h5py": "keras"}


def late(module: str) -> ModuleType:
    """Import a module of this folder.

    Raises:
        MissingExtraError: when it needs a library that is not installed.
    """
    try:
        return importlib.import_module(f"chipwise.networks.{module}")
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library in _EXTRAS:
            raise MissingExtraError(library, _EXTRAS[library]) from error
        raise
