"""One process of a proof: `python -m chipwise.training.parallel.worker JOB.json AGENT`, started by torch's agent."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import torch.distributed as dist
from torch.distributed.elastic.multiprocessing.errors import record

from chipwise.codec.files import atomic_write
from chipwise.codec.records import decode, encode
from chipwise.training.parallel.grid import let_go
from chipwise.training.parallel.job import Job, answer_file
from chipwise.training.parallel.leg import run_leg
from chipwise.training.parallel.parent import end_with, vanish


@record  # errors go into a file with their time, so that the agent knows which came first
def main(path: str) -> None:
    """Run all legs of a job, and leave an answer on each in its folder."""
    job = decode(Path(path).read_bytes(), Job, "job")
    dist.init_process_group("gloo", timeout=timedelta(seconds=job.timeout_s))
    rank = dist.get_rank()
    for number, leg in enumerate(job.legs):
        answer = run_leg(job, leg, rank)
        atomic_write(Path(job.folder) / answer_file(number, rank), encode(answer))
        dist.barrier()
    let_go()
    dist.destroy_process_group()


if __name__ == "__main__":
    end_with(int(sys.argv[2]), vanish)
    main(sys.argv[1])
