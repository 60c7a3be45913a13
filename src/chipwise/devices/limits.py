"""What a process may really use of a machine: affinity and the quotas of its control groups (cgroup v1 and v2).

A container sees all processors of its host; a quota then decides how much of them it gets. Quotas apply at every level
from the process's own group up to the root, so the tightest one counts.

>>> usable_cores(affinity=8, quota=2.5)
2
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

# cgroup v1 writes "no limit" as the largest multiple of the page size.
_V1_UNLIMITED = 1 << 60


def usable_cores(affinity: int, quota: float | None) -> int:
    """Whole cores: the smaller of the processors allowed and the quota rounded down, at least 1.

    Args:
        affinity: processors that the process may be scheduled on.
        quota: processors' worth of time per second; None without a limit.
    """
    return max(1, affinity if quota is None else min(affinity, int(quota + 1e-6)))


def cpu_quota(root: Path) -> float | None:
    """Find the tightest processor quota, in processors (2.5 = two and a half); None without one.

    Args:
        root: of the file system; holds proc/self/cgroup and sys/fs/cgroup.
    """
    quotas = [_quota_v2(folder / "cpu.max") for folder in _groups(root, "")]
    quotas += [
        _ratio(_number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us"))
        for folder in _groups(root, "cpu")
    ]
    return min((quota for quota in quotas if quota is not None), default=None)


def memory_bytes(root: Path, physical: int | None) -> int | None:
    """Find the memory the process may use: the smallest of the physical size and the limits of its control groups.

    Args:
        root: of the file system; holds proc/self/cgroup and sys/fs/cgroup.
        physical: bytes of RAM; None when not known.
    """
    found = [_number(folder / "memory.max") for folder in _groups(root, "")]
    found += [_number(folder / "memory.limit_in_bytes") for folder in _groups(root, "memory")]
    limits = [limit for limit in found if limit is not None and 0 < limit < _V1_UNLIMITED]
    return min([*limits, *([physical] if physical else [])], default=None)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of the process's group and all above it; `controller` is empty for version 2.

    Inside a container the group's path may be the host's, of which only the top is mounted: folders that do not exist
    are passed over by whoever reads files in them.
    """
    mounts = root / "sys/fs/cgroup"
    path = _own_group(root, controller)
    if controller:
        tops = [mounts / controller, mounts / "cpu,cpuacct"] if controller == "cpu" else [mounts / controller]
    else:
        tops = [mounts, mounts / "unified"]
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for top in tops:
        for depth in range(len(parts), -1, -1):
            yield top.joinpath(*parts[:depth])


def _own_group(root: Path, controller: str) -> str:
    for line in _lines(root / "proc/self/cgroup"):
        fields = line.split(":", maxsplit=2)
        if len(fields) == 3 and controller in fields[1].split(","):
            return fields[2]
    return "/"


def _quota_v2(path: Path) -> float | None:
    """cpu.max is "max 100000" or "250000 100000": microseconds per period."""
    fields = next(iter(_lines(path)), "").split()
    if len(fields) != 2 or not all(field.isdigit() for field in fields):
        return None
    return _ratio(int(fields[0]), int(fields[1]))


def _ratio(quota: int | None, period: int | None) -> float | None:
    return quota / period if quota is not None and period and quota > 0 else None


def _number(path: Path) -> int | None:
    text = next(iter(_lines(path)), "").strip()
    return int(text) if text.lstrip("-").isdigit() else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
