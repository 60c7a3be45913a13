"""All epochs of a training in this process, one of several: steps, validation, checkpoints.

Everything that decides how training goes on is the same number on all processes, so that all decide alike.
"""

from __future__ import annotations

import math
import os
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from safetensors.torch import load_file

from chipwise.codec.files import atomic_write
from chipwise.codec.records import encode
from chipwise.core.epoch import Epoch
from chipwise.core.errors import InputError
from chipwise.core.training_memory import RankMemory
from chipwise.training.checkpoint import State
from chipwise.training.divergence import diverged
from chipwise.training.dropout import set_dropout
from chipwise.training.events import event_log
from chipwise.training.feed import Feed, as_fed
from chipwise.training.finish import write_history
from chipwise.training.history import best_of, message, why_stop
from chipwise.training.loop import Lesson, run_epoch
from chipwise.training.objective import loss_of
from chipwise.training.parallel import shards
from chipwise.training.parallel.assignment import DATA, INITIAL, MEMORY, STATUS, Status, Taken
from chipwise.training.parallel.checkpoint import load_checkpoint, model_state
from chipwise.training.parallel.grid import make_grid, place_of, share_of
from chipwise.training.parallel.mesh import SHARING, parse_mesh
from chipwise.training.parallel.norms import joined
from chipwise.training.parallel.step import ELSEWHERE, Blend, Learner, method_of, summed, whole_of
from chipwise.training.parallel.strategy import build_strategy
from chipwise.training.precision import resume_scaling
from chipwise.training.process import forget_peak, memory_kept, memory_returned, peak_bytes, settled_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor
    from torch.distributed.device_mesh import DeviceMesh

    from chipwise.training.parallel.assignment import Assignment
    from chipwise.training.parallel.mesh import Mesh
    from chipwise.training.parallel.strategy import Strategy

_TELL_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class _Here:
    """What this process has of a training."""

    told: Assignment
    mesh: Mesh
    grid: DeviceMesh
    strategy: Strategy
    lesson: Lesson
    learner: Learner
    validation: Feed

    @property
    def first(self) -> bool:
        """Whether this is the process that does what is done once."""
        return dist.get_rank() == 0

    @property
    def checkpoints(self) -> Path:
        """Where they lie."""
        return Path(self.told.folder) / "checkpoint"


def run_epochs(told: Assignment) -> None:
    """Run the epochs that are left; the process group must be there.

    Raises:
        GoalMissedError: the loss diverges. MachineError: another strategy runs than was asked for. InputError: other
        machines train something else. StorageError: a checkpoint cannot be written.
    """
    _check_alike(told)
    before = settled_bytes()
    forget_peak()
    returned = told.settings.return_memory or parse_mesh(told.mesh).has("zero2", "fsdp")  # holes would eat what is cut
    with memory_returned() if returned else memory_kept(), ExitStack() as stack:
        here = _built(told)
        state, best = _taken_up(here)
        log: Callable[[Epoch], None] = lambda _: None  # noqa: E731  (others than the first keep no log)
        if here.first:
            log = stack.enter_context(event_log(Path(told.folder) / "events", len(state.history) + 1))
        while not state.stopped:
            state, best = _epoch(here, state, best)
            log(state.history[-1])
            shards.write(here.strategy, here.grid, here.checkpoints, state, best, first=here.first)
            if here.first:
                write_history(Path(told.folder), state.history)
        _tell_memory(here, before)


def _built(told: Assignment) -> _Here:
    """Build the network, cut it, and read the samples."""
    mesh, settings, work = parse_mesh(told.mesh), told.settings, Path(told.work)
    grid = make_grid(mesh)
    module = resolve_name(told.factory)(**told.arguments)
    if settings.dropout is not None:
        set_dropout(module, settings.dropout)
    module.load_state_dict(load_file(work / INITIAL))
    whole, blend = whole_of(module), Blend()
    joined(module, [grid[name].get_group() for name, _ in mesh.sizes if name in SHARING])
    as_fed(module, channels_last=settings.channels_last)
    data = load_file(work / DATA)
    feed, validation = (
        Feed(_ordered(data[f"{name}.inputs"], channels_last=settings.channels_last), data[f"{name}.labels"])
        for name in ("train", "validation")
    )
    method = method_of(module, settings, mesh, blend, told.microbatches)
    share = min(settings.batch_size, len(feed)) // mesh.shares
    strategy = build_strategy(module, mesh, method, grid, feed.inputs[:share])
    del module  # a stage of a pipeline is all that its process is to have
    lesson = Lesson(
        strategy.parts[0], strategy.optimizers[0], feed, settings, told.layout, told.channels, scaler=method.scaler
    )
    learner = Learner(strategy, mesh, grid, whole, blend)
    return _Here(told, mesh, grid, strategy, lesson, learner, validation)


def _ordered(inputs: Tensor, *, channels_last: bool) -> Tensor:
    """Samples in the order in memory in which the network has its kernels."""
    last = channels_last and inputs.ndim == 4
    return inputs.contiguous(memory_format=torch.channels_last) if last else inputs


def _taken_up(here: _Here) -> tuple[State, dict[str, Tensor]]:
    """Go on from the last checkpoint, where there is one: the state, and the best weights so far."""
    path = shards.newest(here.checkpoints)
    if path is None:
        return State(here.told.identity, mesh=here.told.chosen), {}
    best = load_checkpoint(here.strategy, path, here.grid, best=True)
    state = shards.state_of(path)
    resume_scaling(here.lesson.scaler, state.history)
    return state, best


def _epoch(here: _Here, state: State, best: dict[str, Tensor]) -> tuple[State, dict[str, Tensor]]:
    """Train one epoch and validate."""
    settings, number = here.told.settings, len(state.history) + 1
    trained = run_epoch(here.lesson, number, _teller(here, state.history), here.learner)
    loss, accuracy = _validated(here, number)
    mean, loss, accuracy, rate, seconds = _agreed(
        [trained.loss, loss, accuracy, trained.learning_rate, trained.seconds]
    )
    history = (
        *state.history,
        Epoch(
            number,
            mean,
            loss,
            accuracy,
            rate,
            seconds,
            wait_s=trained.wait_s,
            steps=here.lesson.steps,
            scaling=trained.scaling,
        ),
    )
    best_epoch = best_of(history)
    if best_epoch == number:
        best = {name: value.detach().clone() for name, value in model_state(here.strategy).items()}
    spent = _agreed([time.time() - here.told.began_s])[0]
    before = here.told.before_s
    wall_s = None if before is None else before + spent
    stopped = why_stop(settings, history)
    return State(here.told.identity, history, best_epoch, stopped, wall_s, here.told.chosen), best


def _validated(here: _Here, number: int) -> tuple[float, float]:
    """Mean loss and share right on the validation split, of which each process scores its share.

    Raises:
        GoalMissedError: the loss is not finite.
    """
    part, settings = here.strategy.parts[0], here.told.settings
    inputs, labels = here.validation.inputs, here.validation.labels
    count, shares = len(labels), here.mesh.shares
    each = math.ceil(count / shares)
    begin = each * share_of(here.mesh, here.grid)
    part.eval()
    losses, right, seen = 0.0, 0, 0
    with torch.no_grad():
        for start in range(begin, begin + each, settings.evaluation_batch):
            rows = torch.arange(start, min(start + settings.evaluation_batch, begin + each))
            inside = rows < count  # all processes score as many; what is too much does not count
            rows = rows.clamp(max=count - 1)
            scores = here.strategy.score(inputs[rows])
            if scores is None or not inside.any():
                continue
            given, wanted = scores.float()[inside], labels[rows][inside]
            losses += loss_of(given, wanted, settings.loss, reduction="sum").item()
            right += int((given.argmax(1) == wanted).sum())
            seen += len(wanted)
    loss, hits, all_seen = summed([losses, right, seen])
    if not math.isfinite(loss):
        raise diverged(loss, f"on the validation split after epoch {number}", settings, ELSEWHERE)
    return loss / all_seen, hits / all_seen


def _tell_memory(here: _Here, before: int | None) -> None:
    """Leave what each process took for whoever started them."""
    mine = RankMemory(dist.get_rank(), place_of(here.mesh, here.grid), before, peak_bytes())
    ranks: list[RankMemory] = [mine] * dist.get_world_size()
    dist.all_gather_object(ranks, mine)
    if here.first:
        atomic_write(Path(here.told.work) / MEMORY, encode(Taken(tuple(ranks))))


def _agreed(numbers: list[float]) -> list[float]:
    """The first process's numbers, on all."""
    found = torch.tensor(numbers, dtype=torch.float64)
    dist.broadcast(found, 0)
    return [float(value) for value in found]


def _check_alike(told: Assignment) -> None:
    """Refuse to train with a machine that trains something else.

    Raises:
        InputError: naming what differs.
    """
    found: list[dict[str, object]] = [{}] * dist.get_world_size()
    mine = told.identity | {"mesh": told.mesh}
    mine.pop("threads", None)  # each machine has its own
    dist.all_gather_object(found, mine)
    differ = sorted(name for name in found[0] if any(each.get(name) != found[0][name] for each in found))
    if differ:
        raise InputError(f"machines differ in {', '.join(differ)}", hint="the same command and data on all of them")


def _teller(here: _Here, past: tuple[Epoch, ...]) -> Callable[[int, float], None]:
    """A function that writes after a step how far training is, a few times a second at most."""
    last = 0.0
    lesson, file = here.lesson, Path(here.told.work) / STATUS
    restarts = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))

    def tell(step: int, loss: float) -> None:
        nonlocal last
        now = time.perf_counter()
        if here.first and now - last >= _TELL_EVERY_S:
            last = now
            share = (len(past) * lesson.steps + step) / (lesson.all_steps + 1)
            text = message(here.told.settings, past, loss)
            atomic_write(file, encode(Status(share, text, restarts, here.strategy.running)))

    return tell
