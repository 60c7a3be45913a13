"""What the system says about memory."""

from __future__ import annotations

import pytest

from chipwise.core.errors import MachineError
from chipwise.datasets import memory


@pytest.fixture
def system(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    return tmp_path


def test_nothing_known_refuses_nothing(system):
    assert memory.available_bytes() is None
    memory.require_memory(10**18, "all")


def test_the_least_of_system_and_cgroup_counts(system):
    (system / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable: 8 kB\n")
    assert memory.available_bytes() == 8192
    for name, text in (("memory.max", "5000"), ("memory.current", "3000"), ("memory.stat", "anon 1\nfile 1000\n")):
        (system / name).write_text(text)
    assert memory.available_bytes() == 3000
    with pytest.raises(MachineError, match="all needs"):
        memory.require_memory(3001, "all")
    (system / "memory.max").write_text("max\n")
    assert memory.available_bytes() == 8192
