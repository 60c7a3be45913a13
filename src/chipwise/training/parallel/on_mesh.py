"""Train in several processes, on this machine or on several: what starts them, watches them, and takes over at the end.

placement = Placement(parse_mesh("dp2"), cores=2)
train(module, network, data, settings, folder, epochs=epochs_on(placement, ("package.module:callable", {})))
"""

from __future__ import annotations

import math
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from chipwise.codec.files import atomic_write
from chipwise.codec.records import decode, encode
from chipwise.core.errors import GoalMissedError, MachineError
from chipwise.training import checkpoint as checkpoints
from chipwise.training.checkpoint import Checkpoint
from chipwise.training.feed import Feed, feed_of, layout_of
from chipwise.training.lesson import learned_from
from chipwise.training.lying import write_safetensors
from chipwise.training.parallel import shards
from chipwise.training.parallel.agent import Launch
from chipwise.training.parallel.assignment import (
    DATA,
    INITIAL,
    MEMORY,
    STATUS,
    Assignment,
    Status,
    Taken,
    forget_refusal,
    refusal_in,
)
from chipwise.training.parallel.launch import run_processes
from chipwise.training.parallel.takes import check_takes, microbatches_of
from chipwise.training.precision import check_computes
from chipwise.training.runs import note_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chipwise.core.training_memory import RankMemory
    from chipwise.training.parallel.mesh import Mesh
    from chipwise.training.train import Run

_TRAINER = "chipwise.training.parallel.trainer"
_WAIT_S, _LOOK_EVERY_S = 600.0, 0.2


@dataclass(frozen=True, slots=True)
class Placement:
    """Where processes run.

    Attributes:
        mesh: how they are laid out.
        cores: of this machine.
        machine, machines: this one's number from 1, and how many there are; meet: "host:port" at the first.
        restarts: how often all are started again from the last checkpoint after one died.
        timeout_s: how long a process waits for another.
        on: "ray" for a Ray cluster; nothing for this machine, or those that meet.
        twist: see `Assignment`; only tests set it.
    """

    mesh: Mesh
    cores: int
    machine: int = 1
    machines: int = 1
    meet: str = ""
    restarts: int = 3
    timeout_s: float = 600.0
    on: str = ""
    twist: str = ""

    @property
    def here(self) -> int:
        """Processes on this machine."""
        return self.mesh.processes // self.machines


def epochs_on(
    placement: Placement,
    made: tuple[str, dict[str, object]],
    take: Callable[[tuple[RankMemory, ...]], None] = lambda _: None,
) -> Callable[[Run, Checkpoint | None], Checkpoint]:
    """What `train` takes to run epochs in several processes.

    Args:
        placement: where they run.
        made: the factory that makes the network again, "package.module:callable", and its arguments.
        take: called with what each process took of memory, once they end; on the first machine.
    """
    return partial(_epochs, placement, made, take)


def _epochs(
    placement: Placement,
    made: tuple[str, dict[str, object]],
    take: Callable[[tuple[RankMemory, ...]], None],
    run: Run,
    found: Checkpoint | None,
) -> Checkpoint:
    """Run the epochs that are left after a checkpoint, of one process or of several.

    Raises:
        InputError, NetworkError: a setting or a network that the mesh does not take. GoalMissedError: the loss
        diverges. MachineError: a process died too often, there is no kernel for the number format, or another strategy
        runs than was asked for.
    """
    feed = learned_from(run.module, run.network, run.splits.train, run.settings)
    assert isinstance(feed, Feed), "without a reader samples are in memory"
    check_computes(run.module, feed.first(2), run.settings.precision)
    validation = feed_of(
        run.splits.validation, run.network, what="validation", channels_last=run.settings.channels_last
    )
    check_takes(run, placement.mesh, len(feed), feed.inputs.shape[1:])
    folder = run.path.parent
    before = _state_before(placement, run, found)
    if not before.stopped:
        with _work(placement, run) as work:
            file = work / "assignment.json"
            atomic_write(file, encode(_assignment(placement, made, run, work, before.wall_s)))
            write_safetensors(run.module.state_dict(), work / INITIAL)
            _keep(work, feed, validation)
            _run(placement, run, file)
            if (work / MEMORY).exists():
                take(decode((work / MEMORY).read_bytes(), Taken, "what the processes took").ranks)
    if placement.machine > 1:
        return _done_elsewhere(run)
    path = shards.newest(folder)
    assert path is not None, "processes that end well leave a checkpoint"
    done = shards.best_of(path)
    checkpoints.save(run.path, done)
    shards.remove(folder)
    return done


def _state_before(placement: Placement, run: Run, found: Checkpoint | None) -> checkpoints.State:
    """Where the run stands; what one process left is cut for several."""
    folder = run.path.parent
    path = shards.newest(folder)
    state = None if path is None else shards.state_of(path)
    if path is not None and state is not None:
        checkpoints.check_identity(path, state, run.begin)
    if placement.machine == 1:
        forget_refusal(folder)
        shards.remove(folder, but=path)
        if (
            found is not None
            and found.state.history
            and (state is None or len(state.history) < len(found.state.history))
        ):
            shards.apart(run.module, run.settings, found, folder)
            state = found.state
    state = state or (run.begin if found is None else found.state)
    if state.history:
        run.progress.note(f"continuing after epoch {len(state.history)} of {run.settings.epochs}")
    return state


@contextmanager
def _work(placement: Placement, run: Run) -> Iterator[Path]:
    """A folder for what the processes of this machine read; it goes with them."""
    number = f"-{placement.machine}" if placement.machines > 1 else ""
    work = run.folder / f"processes{number}"
    shutil.rmtree(work, ignore_errors=True)  # of a run that was killed
    work.mkdir(parents=True)
    run.path.parent.mkdir(exist_ok=True)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _assignment(
    placement: Placement, made: tuple[str, dict[str, object]], run: Run, work: Path, before_s: float | None
) -> Assignment:
    layout, channels = layout_of(run.network)
    return Assignment(
        made[0],
        dict(made[1]),
        str(work.absolute()),
        str(run.folder.absolute()),
        str(placement.mesh),
        microbatches_of(placement.mesh),
        run.settings,
        run.begin.identity,
        layout,
        channels,
        before_s if run.begin is not None else None,
        time.time(),
        placement.timeout_s,
        placement.twist,
        run.begin.mesh,
    )


def _keep(work: Path, feed: Feed, validation: Feed) -> None:
    """Leave the samples where processes map them into memory, all the same pages."""
    tensors = {
        "train.inputs": feed.inputs,
        "train.labels": feed.labels,
        "validation.inputs": validation.inputs,
        "validation.labels": validation.labels,
    }
    write_safetensors(tensors, work / DATA)


def _run(placement: Placement, run: Run, file: Path) -> None:
    """Start the processes, and tell how far they are until they end."""
    launch = Launch(
        _TRAINER,
        str(file.absolute()),
        placement.here,
        placement.restarts,
        placement.machine,
        placement.machines,
        placement.meet,
        placement.on,
    )
    threads = max((run.settings.threads or placement.cores) // placement.here, 1)
    message = f"{placement.mesh}: {placement.mesh.processes} processes"
    try:
        run_processes(
            launch,
            file.parent,
            threads=threads,
            timeout_s=math.inf,
            message=message,
            tell=_teller(placement, run, file),
        )
    except MachineError as error:
        refused = refusal_in(run.path.parent)
        if refused is None:
            raise MachineError(
                f"{error.message} (after {placement.restarts} new starts)", hint="the same command goes on"
            ) from error
    refused = refusal_in(run.path.parent)
    if refused is None:
        return
    if isinstance(refused, GoalMissedError):
        path = shards.newest(run.path.parent)
        state = run.begin if path is None else shards.state_of(path)
        note_run(run.folder, run.facts, state, error=refused.message)
    raise refused


def _teller(placement: Placement, run: Run, file: Path) -> Callable[[], None]:
    """A function that shows what the first process says of itself."""
    seen, restarts, told = 0.0, 0, False
    status, begins = file.with_name(STATUS), f"{placement.mesh}: starting {placement.here} processes"

    def tell() -> None:
        nonlocal seen, restarts, told
        when = status.stat().st_mtime if status.exists() else 0.0
        if when == seen:
            if not when:
                run.progress.update("training", 0.0, begins)
            return
        seen = when
        found = decode(status.read_bytes(), Status, "the status")
        if not told:
            told = True
            run.progress.note(f"{placement.mesh.processes} processes: {'; '.join(found.running)}")
        if found.restarts > restarts:
            restarts = found.restarts
            run.progress.note(
                f"a process died; all go on from the last checkpoint (new start {restarts} of {placement.restarts})"
            )
        run.progress.update("training", found.fraction, found.message)

    return tell


def _done_elsewhere(run: Run) -> Checkpoint:
    """What the first machine makes of the last checkpoint.

    Raises:
        MachineError: it does not.
    """
    began = time.monotonic()
    while time.monotonic() - began < _WAIT_S:
        state = checkpoints.state_of(run.path)
        if state is not None and state.stopped:
            return checkpoints.load(run.path)
        time.sleep(_LOOK_EVERY_S)
    raise MachineError(
        f"the first machine did not write {run.path} within {_WAIT_S:g} s", hint="all machines must see that folder"
    )
