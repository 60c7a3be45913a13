"""The C++ compiler that PyTorch's own needs on a CPU.

>>> no_compiler() == "" or "compiler" in no_compiler()
True
"""

from __future__ import annotations

import os
import shutil
import sys


def no_compiler() -> str:
    """Say that the C++ compiler is missing; empty when it is there."""
    wanted = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    return "" if shutil.which(wanted) else f"it needs a C++ compiler, and {wanted} is not there (CXX names another)"
