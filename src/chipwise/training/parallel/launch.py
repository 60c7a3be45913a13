"""Run a job in several processes on this machine, and read what they answer; nothing hangs, nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from chipwise.codec.files import atomic_write
from chipwise.codec.records import decode, encode
from chipwise.core.errors import MachineError
from chipwise.core.events import Progress, silent
from chipwise.training.parallel.agent import FAILURE, LOGS, Failure, Launch, is_loopback
from chipwise.training.parallel.job import RankAnswer, answer_file
from chipwise.training.parallel.parent import import_paths

if TYPE_CHECKING:
    from collections.abc import Callable

    from chipwise.training.parallel.job import Job

_WORKER = "chipwise.training.parallel.worker"
_AGENTS = {
    "": "chipwise.training.parallel.agent",
    "ray": "chipwise.training.parallel.ray_agent",
    "servers": "chipwise.training.parallel.parameter_server",
}
_BARE = "chipwise.training.parallel.bare"
_LOOPBACK = {"linux": "lo", "darwin": "lo0"}
_LOOK_EVERY_S, _GRACE_S = 0.2, 40.0
_SAID_LINES = 5


def launch(
    job: Job, processes: int, *, cores: int, timeout_s: float, progress: Progress = silent
) -> list[list[RankAnswer]]:
    """Run all legs of a job in one launch.

    Args:
        job: its folder holds weights, batches and the reference.
        processes: how many.
        cores: of this machine; shared by the processes.
        timeout_s: of wall time for all of it.
        progress: told while it runs.

    Returns:
        for each leg the answers of all ranks in order.

    Raises:
        MachineError: a process died (it is named, with what it said last), or time ran out.
    """
    folder = Path(job.folder)
    file = folder / "job.json"
    atomic_write(file, encode(job))
    message = f"{job.legs[0].mesh}: {processes} processes"

    def tell() -> None:
        progress.update(message, 0.0, message)

    wanted = Launch(_WORKER, str(file), processes)
    run_processes(wanted, folder, threads=max(cores // processes, 1), timeout_s=timeout_s, message=message, tell=tell)
    return [
        [
            decode((folder / answer_file(leg, rank)).read_bytes(), RankAnswer, f"the answer of process {rank}")
            for rank in range(processes)
        ]
        for leg in range(len(job.legs))
    ]


def run_processes(
    launch: Launch, folder: Path, *, threads: int, timeout_s: float, message: str, tell: Callable[[], None]
) -> None:
    """Run this machine's processes to their end.

    Args:
        launch: what they are.
        folder: for the agent's files.
        threads: of each process.
        timeout_s: of wall time; infinity for any.
        message: what runs, for errors.
        tell: called while it runs.

    Raises:
        MachineError: a process died (it is named, with what it said last), or time ran out.
    """
    (folder / FAILURE).unlink(missing_ok=True)
    file, log = folder / "launch.json", folder / "agent.log"
    atomic_write(file, encode(launch))
    with log.open("wb") as said:
        agent = subprocess.Popen(  # noqa: S603  our own module, and a path that we made
            [sys.executable, "-m", _AGENTS[launch.on], str(file), str(os.getpid())],
            stdout=said,
            stderr=subprocess.STDOUT,
            env=_environment(threads, local=_is_local(launch)),
            start_new_session=True,
        )
        try:
            _wait(agent, timeout_s, tell, message)
        finally:
            _end(agent)
    if agent.returncode != 0:
        raise _died(folder, launch.processes * launch.machines, log)


def _is_local(launch: Launch) -> bool:
    """Whether all processes are on this machine."""
    if launch.on:
        return not os.environ.get("RAY_ADDRESS")
    return launch.machines == 1 or is_loopback(launch.meet)


def _environment(threads: int, *, local: bool) -> dict[str, str]:
    """What the processes see: our modules, so many threads each, and where all are here, no network but its own."""
    told = {"PYTHONPATH": import_paths(), "OMP_NUM_THREADS": str(threads), "TORCH_CPP_LOG_LEVEL": "ERROR"}
    told |= {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}  # else those that start again find addresses of the dead
    loopback = _LOOPBACK.get(sys.platform)
    return os.environ | told | ({"GLOO_SOCKET_IFNAME": loopback} if loopback and local else {})


def _wait(agent: subprocess.Popen[bytes], timeout_s: float, tell: Callable[[], None], message: str) -> None:
    begun = time.monotonic()
    while agent.poll() is None:
        spent = time.monotonic() - begun
        if spent > timeout_s:
            raise MachineError(f"{message} did not end within {timeout_s:g} s", hint="a longer --timeout")
        tell()
        time.sleep(_LOOK_EVERY_S)


def _end(agent: subprocess.Popen[bytes]) -> None:
    """Ask the agent to end its processes and itself; insist where it does not."""
    if agent.poll() is None:
        agent.send_signal(signal.SIGTERM)
        try:
            agent.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            agent.kill()
            agent.wait()


def _died(folder: Path, processes: int, log: Path) -> MachineError:
    """Say which process died first, and what it said last."""
    if not (folder / FAILURE).exists():
        return MachineError(f"the processes could not be started: {_last_lines(log)}")
    first = decode((folder / FAILURE).read_bytes(), Failure, "the failure")
    code = -first.exit_code
    how = f"was ended by {signal.Signals(code).name}" if code > 0 else f"ended with exit code {first.exit_code}"
    logs = sorted((folder / LOGS).glob(f"*/attempt_*/{first.rank}/stderr.log"))
    said = first.message.strip() or (_last_lines(logs[-1]) if logs else "")
    return MachineError(f"process {first.rank} of {processes} {how}" + (f": {said}" if said else ""))


def _last_lines(path: Path) -> str:
    lines = [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
    return " | ".join(lines[-_SAID_LINES:])


@cache
def bare_bytes() -> int:
    """Memory of a process of a mesh before it builds its network, measured on one that ends then; 0 if nothing tells.

    Raises:
        MachineError: it cannot be started.
    """
    found = subprocess.run(  # noqa: S603  our own module
        [sys.executable, "-m", _BARE], check=False, capture_output=True, text=True, env=_environment(1, local=True)
    )
    if found.returncode != 0:
        said = found.stderr.strip().rpartition("\n")[2]
        raise MachineError(f"a process that only tells its memory ended with exit code {found.returncode}: {said}")
    return int(found.stdout.split()[-1])
