"""A process and the one that started it: what it may import, and that nothing goes on alone when the other was killed.

>>> end_with(os.getppid(), lambda: None)
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_LOOK_EVERY_S = 0.2


def import_paths() -> str:
    """PYTHONPATH for a process that is to import what this one does, wherever it stands."""
    return os.pathsep.join(dict.fromkeys([*(path or str(Path.cwd()) for path in sys.path), str(Path.cwd())]))


def end_with(parent: int, end: Callable[[], None]) -> None:
    """Call `end`, from a thread, as soon as another process than `parent` is the parent of this one.

    Args:
        parent: number of the process that started this one.
        end: ends it.
    """

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_EVERY_S)
        end()

    threading.Thread(target=look, daemon=True).start()


def vanish() -> None:
    """End this process at once."""
    os._exit(1)
