"""What a process of a mesh takes before it builds its network: `python -m chipwise.training.parallel.bare`."""

from __future__ import annotations

import sys

from chipwise.training.parallel import trainer as _  # noqa: F401  whose libraries are what takes it
from chipwise.training.process import settled_bytes

if __name__ == "__main__":
    sys.stdout.write(f"{settled_bytes() or 0}\n")
