"""Starts processes on a Ray cluster: `python -m chipwise.training.parallel.ray_agent LAUNCH.json PARENT`.

Ray Train places them, and starts all again from the last checkpoint when one dies. The cluster is the one that the
variable RAY_ADDRESS names, whose machines must see the run's folder; without it, one of this machine alone that ends
with this process. Like `agent`, this is a process of its own: Ray takes over signals and output.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import ray
import torch.distributed as dist
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2.api.exceptions import TrainingFailedError

from chipwise.codec.files import atomic_write
from chipwise.codec.records import decode, encode
from chipwise.training.parallel.agent import FAILURE, Failure, Launch
from chipwise.training.parallel.parent import end_with
from chipwise.training.parallel.ray_cluster import join
from chipwise.training.parallel.trainer import train_rank

_STARTS = "starts"
_GONE = "WorkerHealthCheckFailedError"  # of Ray, which does not export it
_STORE_BYTES = 80 << 20  # of objects that processes hand each other: ours hand none


def main(path: str, parent: int) -> int:
    """Run a job to its end; 1 when a process died more often than it may."""
    end_with(parent, lambda: os.kill(os.getpid(), signal.SIGTERM))  # which ends Ray's own processes, too
    launch, folder = decode(Path(path).read_bytes(), Launch, "launch"), Path(path).parent
    join(launch.processes, _STORE_BYTES)
    trainer = TorchTrainer(
        _rank,
        train_loop_config={"file": launch.file},
        torch_config=TorchConfig(backend="gloo"),
        scaling_config=ScalingConfig(num_workers=launch.processes, use_gpu=False),
        run_config=RunConfig(
            name="chipwise",
            storage_path=str(folder / "ray"),
            failure_config=FailureConfig(max_failures=launch.restarts),
        ),
    )
    try:
        trainer.fit()
    except TrainingFailedError as error:
        atomic_write(folder / FAILURE, encode(_first(getattr(error, "worker_failures", {}), error)))
        return 1
    finally:
        ray.shutdown()
    return 0


def _first(failures: dict[int, Exception], error: Exception) -> Failure:
    """The process that died first: one that is gone, before those that noticed."""

    def gone(rank: int) -> bool:
        return type(failures[rank]).__name__ == _GONE

    if not failures:
        return Failure(0, 1, " ".join(str(error).split()))
    rank = min(failures, key=lambda each: (not gone(each), each))
    said = "it is gone: killed, or its machine was lost" if gone(rank) else " ".join(str(failures[rank]).split())
    return Failure(int(rank), 1, said)


def _rank(told: dict[str, str]) -> None:
    """What each process runs; its process group is there."""
    starts = Path(told["file"]).with_name(f"{_STARTS}-{dist.get_rank()}")
    before = starts.stat().st_size if starts.exists() else 0
    with starts.open("ab") as file:
        file.write(b".")
    os.environ["TORCHELASTIC_RESTART_COUNT"] = str(before)  # as torch's agent says it
    train_rank(told["file"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
