"""Starts the processes of a job: `python -m chipwise.training.parallel.agent JOB.json PROCESSES`.

torch's elastic agent, which `torchrun` uses, too, in a process of its own: it takes over signals. When one of the
processes dies it ends the others, and what it knows of the first that died goes into a file.
"""

from __future__ import annotations

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
from chipwise.codec.records import encode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

FAILURE, LOGS = "failure.json", "logs"
_RAISED = re.compile(r"[\w.]*(Error|Exception|Warning|Interrupt)\b")
_WORKER = "chipwise.training.parallel.worker"


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


def main(job: str, processes: int) -> int:
    """Run a job to its end; 1 when a process died."""
    folder = Path(job).parent
    logs = folder / LOGS
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",  # a port that is free
        local_addr="127.0.0.1",
        max_restarts=0,
        logs_specs=DefaultLogsSpecs(log_dir=str(logs), redirects=Std.ALL),
    )
    try:
        elastic_launch(config, sys.executable)("-m", _WORKER, job)
    except ChildFailedError as error:
        atomic_write(folder / FAILURE, encode(_first(error.failures)))
        return 1
    return 0


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
