"""Starts the processes of a job on this machine: `python -m chipwise.training.parallel.agent LAUNCH.json PARENT`.

torch's elastic agent, which `torchrun` uses, too, in a process of its own: it takes over signals. When one of the
processes dies it ends the others, and starts all again where it may; else what it knows of the first that died goes
into a file. It ends with the process that started it.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from chipwise.codec.files import atomic_write
from chipwise.codec.records import decode, encode
from chipwise.training.parallel.parent import end_with

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

FAILURE, LOGS = "failure.json", "logs"
_RAISED = re.compile(r"[\w.]*(Error|Exception|Warning|Interrupt)\b")


@dataclass(frozen=True, slots=True)
class Failure:
    """The first process that died.

    Attributes:
        rank: from 0.
        exit_code: negative for the signal that ended it.
        message: what its Python raised; empty where it had no time to say.
    """

    rank: int
    exit_code: int
    message: str = ""


@dataclass(frozen=True, slots=True)
class Launch:
    """What an agent starts.

    Attributes:
        worker: module that each process runs, with the file and the agent's process number as arguments.
        file: what the processes are told.
        processes: on this machine.
        restarts: how often all are started again after one died.
        machines: how many there are; this one is number `machine`, from 1.
        meet: "host:port" at the first machine, where agents of several meet.
        on: in place of torch's agent, "ray" for Ray Train, "servers" for a parameter server on Ray.
    """

    worker: str
    file: str
    processes: int
    restarts: int = 0
    machine: int = 1
    machines: int = 1
    meet: str = ""
    on: str = ""


def main(path: str, parent: int) -> int:
    """Run a job to its end; 1 when a process died."""
    end_with(parent, lambda: os.kill(os.getpid(), signal.SIGTERM))  # which torch's agent takes to end its processes
    launch = decode(Path(path).read_bytes(), Launch, "launch")
    folder = Path(path).parent
    try:
        elastic_launch(_config(launch, folder), sys.executable)("-m", launch.worker, launch.file, str(os.getpid()))
    except ChildFailedError as error:
        atomic_write(folder / FAILURE, encode(_first(error.failures)))
        return 1
    return 0


def _config(launch: Launch, folder: Path) -> LaunchConfig:
    several = launch.machines > 1
    return LaunchConfig(
        min_nodes=launch.machines,
        max_nodes=launch.machines,
        nproc_per_node=launch.processes,
        run_id="chipwise" if several else uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint=launch.meet if several else "127.0.0.1:0",  # a port that is free
        rdzv_configs={"is_host": str(launch.machine == 1)} if several else {},
        local_addr=None if several and not is_loopback(launch.meet) else "127.0.0.1",
        max_restarts=launch.restarts,
        logs_specs=DefaultLogsSpecs(log_dir=str(folder / LOGS), redirects=Std.ALL),
    )


def is_loopback(endpoint: str) -> bool:
    """Whether "host:port" is of this machine alone."""
    return endpoint.rpartition(":")[0] in {"localhost", "127.0.0.1"}


def _first(failures: Mapping[int, ProcessFailure]) -> Failure:
    """The process that died first.

    One that was killed leaves no time; the others may have noticed before the agent did, but were not killed.
    """

    def order(rank: int) -> tuple[bool, int]:
        found = failures[rank]
        return found.exitcode >= 0 or found.exitcode == -signal.SIGTERM, found.timestamp

    rank = min(failures, key=order)
    return Failure(int(rank), int(failures[rank].exitcode), _said(failures[rank].error_file_data))


def _said(data: dict[str, Any]) -> str:
    """What a process raised, and before that its cause, where the error file that it left says so."""
    told = data.get("message", "")
    message = str(told.get("message", "")) if isinstance(told, dict) else str(told)
    stack = str(told.get("extraInfo", {}).get("py_callstack", "")) if isinstance(told, dict) else ""
    cause = next((line for line in stack.splitlines() if _RAISED.match(line)), "")
    return " ".join(message.split()) if cause in {"", message} else f"{cause}; then {' '.join(message.split())}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
