"""Refuse data that does not fit into memory before it is read, instead of being killed half way.

>>> require_memory(1, "one byte")
"""

from __future__ import annotations

from pathlib import Path

from chipwise.core.errors import MachineError

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def require_memory(size_bytes: int, what: str) -> None:
    """Check that `size_bytes` can be allocated now.

    Raises:
        MachineError: when `what` needs more memory than is available.
    """
    available = available_bytes()
    if available is not None and size_bytes > available:
        needs = f"{what} needs {size_bytes / 1e9:,.1f} GB of memory, {available / 1e9:,.1f} GB are available"
        raise MachineError(needs, hint="use fewer or smaller samples, or a larger machine")


def available_bytes() -> int | None:
    """Memory that this process could still get: the least of the system's and its cgroup's; None when not known."""
    limits = [found for found in (_system_bytes(), _cgroup_bytes()) if found is not None]
    return min(limits, default=None)


def _system_bytes() -> int | None:
    try:
        lines = _MEMINFO.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _cgroup_bytes() -> int | None:
    try:
        limit, used = ((_CGROUP / name).read_text().strip() for name in ("memory.max", "memory.current"))
        cache = next(line for line in (_CGROUP / "memory.stat").read_text().splitlines() if line.startswith("file "))
    except (OSError, StopIteration):
        return None
    # Pages of files are counted as used but are given back on demand.
    return int(limit) - int(used) + int(cache.split()[1]) if limit.isdigit() else None
