"""Quotas of control groups, on trees as real machines have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from chipwise.devices.limits import cpu_quota, memory_bytes, usable_cores

GIB = 1 << 30


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_version_2_in_a_container(tmp_path: Path) -> None:
    """`docker run --cpus 2.5 --memory 4g` with a private group namespace: the container is its own root."""
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/cpu.max": "250000 100000\n",
            "sys/fs/cgroup/memory.max": f"{4 * GIB}\n",
        },
    )
    assert cpu_quota(root) == 2.5
    assert memory_bytes(root, 64 * GIB) == 4 * GIB


def test_version_2_takes_the_tightest_level(tmp_path: Path) -> None:
    """A systemd slice with CPUQuota=150% around a scope without one."""
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/user.slice/user-1000.slice/session-2.scope\n",
            "sys/fs/cgroup/user.slice/cpu.max": "400000 100000\n",
            "sys/fs/cgroup/user.slice/memory.max": "max\n",
            "sys/fs/cgroup/user.slice/user-1000.slice/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/user.slice/user-1000.slice/memory.max": f"{2 * GIB}\n",
            "sys/fs/cgroup/user.slice/user-1000.slice/session-2.scope/cpu.max": "max 100000\n",
            "sys/fs/cgroup/user.slice/user-1000.slice/session-2.scope/memory.max": f"{3 * GIB}\n",
        },
    )
    assert cpu_quota(root) == 1.5
    assert memory_bytes(root, None) == 2 * GIB


def test_version_1_in_a_container_that_sees_the_hosts_path(tmp_path: Path) -> None:
    """Docker on a version 1 host: the path in /proc is the host's, mounted is only the container's own group."""
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": (
                "12:memory:/docker/0f1e2d\n11:cpuset:/docker/0f1e2d\n"
                "4:cpu,cpuacct:/docker/0f1e2d\n1:name=systemd:/docker/0f1e2d\n"
            ),
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "300000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{8 * GIB}\n",
        },
    )
    assert cpu_quota(root) == 3.0
    assert memory_bytes(root, 64 * GIB) == 8 * GIB


def test_version_1_nested_groups(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "2:cpu:/jobs/17\n1:memory:/jobs/17\n0::/\n",
            "sys/fs/cgroup/cpu/jobs/cpu.cfs_quota_us": "50000\n",
            "sys/fs/cgroup/cpu/jobs/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/cpu/jobs/17/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/jobs/17/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/jobs/17/memory.limit_in_bytes": "9223372036854771712\n",
        },
    )
    assert cpu_quota(root) == 0.5
    assert memory_bytes(root, 16 * GIB) == 16 * GIB


@pytest.mark.parametrize("quota", ["max 100000\n", "", "nonsense\n", "0 100000\n", "1 0\n", "a b\n"])
def test_no_limit_and_unreadable_ones(tmp_path: Path, quota: str) -> None:
    root = tree(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": quota})
    assert cpu_quota(root) is None


def test_no_control_groups_at_all(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) is None
    assert memory_bytes(tmp_path, 5) == 5
    assert memory_bytes(tmp_path, None) is None


@pytest.mark.parametrize(
    ("affinity", "quota", "cores"),
    [(8, None, 8), (8, 2.5, 2), (2, 4.0, 2), (8, 0.5, 1), (4, 3.0, 3), (4, 2.9999999, 3)],
)
def test_usable_cores(affinity: int, quota: float | None, cores: int) -> None:
    assert usable_cores(affinity, quota) == cores
