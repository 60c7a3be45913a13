"""What a process lets go of before its process groups end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.runtime

_ONE_PROCESS = """
import gc
import sys
import weakref

import torch
import torch.distributed as dist
from torch import nn

from chipwise.training.parallel.grid import let_go

gc.disable()  # the collector comes when it likes; here only where it is called
dist.init_process_group("gloo", init_method=f"file://{sys.argv[1]}", rank=0, world_size=1)
wrapped = nn.parallel.DistributedDataParallel(nn.Linear(3, 3))
wrapped(torch.ones(2, 3)).sum().backward()
seen = weakref.ref(wrapped)
del wrapped
let_go()
assert seen() is None, "it would be freed after its process group"
dist.destroy_process_group()
"""


def test_wrapped_modules_are_freed_before_their_groups(tmp_path: Path) -> None:
    """Freed afterwards they hang some processes at exit: see `chipwise.training.parallel.grid.let_go`."""
    command = [sys.executable, "-c", _ONE_PROCESS, str(tmp_path / "meet")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
