"""One process of a training: `python -m chipwise.training.parallel.trainer ASSIGNMENT.json AGENT`, by torch's agent.

Errors that are meant are left in a file, and end all processes; whatever else ends one has the agent start all of them
again, from the last checkpoint.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import torch.distributed as dist
from torch.distributed.elastic.multiprocessing.errors import record

from chipwise.codec.records import decode
from chipwise.core.errors import ChipwiseError
from chipwise.training.parallel.assignment import Assignment, refusal_in, refuse
from chipwise.training.parallel.epochs import run_epochs
from chipwise.training.parallel.grid import let_go
from chipwise.training.parallel.parent import end_with, vanish


@record  # errors go into a file with their time, so that the agent knows which came first
def main(path: str) -> None:
    """Train, unless a process refused to before."""
    told = decode(Path(path).read_bytes(), Assignment, "assignment")
    if refusal_in(Path(told.folder) / "checkpoint") is not None:
        return
    dist.init_process_group("gloo", timeout=timedelta(seconds=told.timeout_s))
    train_rank(path)
    dist.destroy_process_group()


def train_rank(path: str) -> None:
    """What one process does; the process group must be there. Errors that are meant are left in a file.

    Args:
        path: of the assignment.
    """
    told = decode(Path(path).read_bytes(), Assignment, "assignment")
    checkpoints = Path(told.folder) / "checkpoint"
    if refusal_in(checkpoints) is not None:
        return
    broken: Any = resolve_name(told.twist)() if told.twist else nullcontext()
    try:
        with broken:
            run_epochs(told)
    except ChipwiseError as error:
        refuse(checkpoints, error)
    let_go()


if __name__ == "__main__":
    end_with(int(sys.argv[2]), vanish)
    main(sys.argv[1])
