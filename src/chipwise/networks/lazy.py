"""Import this folder's torch modules when they are needed; where torch is missing, say so in one line.

>>> late("rows").__name__
'chipwise.networks.rows'
"""

from __future__ import annotations

import importlib
from types import ModuleType

from chipwise.core.errors import MissingExtraError


def late(module: str) -> ModuleType:
    """Import a module of this folder.

    Raises:
        MissingExtraError: when it needs torch, which is not installed.
    """
    try:
        return importlib.import_module(f"chipwise.networks.{module}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("torch", "safetensors"):
            raise MissingExtraError("torch", "torch") from error
        raise
