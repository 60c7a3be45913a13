"""Train a network: epochs, validation, best weights, early stop; continued where a killed run left off.

    settings = Settings(epochs=20)
    with seeded(settings.seed):
        module = build_module(network.source)
    training = train(module, network, load("digits"), settings, Path("runs/lenet5"))

The folder then holds `weights.safetensors` (of the best epoch on the validation split; a graph's go into a file with
the graph, as `kept` says), `history.jsonl`,
`training.json` (the record), `runs.jsonl` (the ledger), `events/` (TensorBoard) and `checkpoint/`. Calling it again
with the same settings continues an interrupted run, bit for bit as if it had not been interrupted, and returns at once
from a finished one.
"""

from __future__ import annotations

import dataclasses
import math
import time
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from chipwise.codec.files import check_writable
from chipwise.core.epoch import Epoch
from chipwise.core.errors import GoalMissedError
from chipwise.core.events import Progress, silent
from chipwise.core.report import Training
from chipwise.training import checkpoint as checkpoints
from chipwise.training.checkpoint import Checkpoint, State
from chipwise.training.checkpointed import from_text, run_again
from chipwise.training.divergence import broken_layer, diverged
from chipwise.training.dropout import set_dropout
from chipwise.training.evaluate import evaluate_fed
from chipwise.training.events import event_log
from chipwise.training.feed import Feed, as_fed, check_task, fed
from chipwise.training.finish import Kept, finish, forget, write_history
from chipwise.training.freeze import phase_at
from chipwise.training.history import best_of, message, why_stop
from chipwise.training.lesson import lesson_of
from chipwise.training.loop import run_epoch
from chipwise.training.place import CPU, called, place_of, placed, settled
from chipwise.training.precision import resume_scaling
from chipwise.training.process import memory_kept, memory_returned, threads
from chipwise.training.runs import Host, RunFacts, note_run
from chipwise.training.settings import Settings, resolve
from chipwise.training.state_on_disk import forget_copies, state_on_disk
from chipwise.training.stream import reading, with_loading
from chipwise.training.swapped import swapped_out
from chipwise.training.teacher import Teacher, check_taught
from chipwise.training.weights_on_disk import StoredWeights, all_here, weights_on_disk

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    import torch
    from torch import Tensor, nn

    from chipwise.core.network import Network
    from chipwise.core.training_memory import ChosenMesh
    from chipwise.datasets.dataset import Dataset, Splits
    from chipwise.training.evaluate import Score
    from chipwise.training.feed import Fed
    from chipwise.training.loop import Lesson
    from chipwise.training.lying import Somewhere
    from chipwise.training.stream import Reader

_Kind = TypeVar("_Kind")

# Checkpoints may take this share of the time; epochs shorter than that allows are repeated after a kill.
_CHECKPOINT_SHARE = 0.05
_TELL_EVERY_S = 0.1
_FEW_STEPS = 200  # below, most networks have hardly begun to learn


@dataclass(frozen=True, slots=True)
class Run:
    """One call of `train`: what is trained, on what, by whom, where it is kept, and when it began.

    Attributes:
        module: with the weights to begin with.
        facts: network, data and settings, which are resolved.
        folder: of the run.
        progress: told after steps.
        begin: the state before the first epoch.
        kept: how the kept weights are written.
        teacher: whose answers are learned besides the labels.
        reader: of pictures that stay in their files; None where all is in memory.
        device: that it trains on.
        weights: of the module, where they lie on disk; None where they are in memory.
        started_s: on the clock of `time.perf_counter`.
    """

    module: nn.Module
    facts: RunFacts
    folder: Path
    progress: Progress
    begin: State
    kept: Kept
    teacher: Teacher | None
    reader: Reader | None
    device: torch.device
    weights: StoredWeights | None
    started_s: float

    @property
    def network(self) -> Network:
        """What is trained."""
        return self.facts.network

    @property
    def splits(self) -> Splits:
        """The data's."""
        return self.facts.splits

    @property
    def settings(self) -> Settings:
        """How it is trained."""
        return self.facts.settings

    @property
    def path(self) -> Path:
        """Where its last checkpoint lies."""
        return self.folder / "checkpoint" / "last.safetensors"


@dataclass(frozen=True, slots=True)
class _Standing:
    """Where the run stands: its state, the best weights so far, and when and how fast it was last written.

    `before_s` is the time that earlier calls spent on it; None where that is not known.
    """

    state: State
    best: dict[str, Tensor]
    before_s: float | None = 0.0
    written_s: float = -1e9
    cost_s: float = 0.0


def train(  # noqa: PLR0917 (six nouns in the order of the line)
    module: nn.Module,
    network: Network,
    data: Dataset,
    settings: Settings,
    folder: Path,
    progress: Progress = silent,
    *,
    fresh: bool = False,
    kept: Kept | None = None,
    teacher: Teacher | None = None,
    host: Host | None = None,
    epochs: Callable[[Run, Checkpoint | None], Checkpoint] | None = None,
    mesh: ChosenMesh | None = None,
) -> Training:
    """Train `module` on `data` and keep the weights that did best on the validation split.

    The test split is used once, at the end, with the kept weights. Where the settings freeze a part, it is held for
    the first epochs, and learns more slowly than the rest afterwards.

    Args:
        module: gives scores [N, classes]; trained in place, ends with the kept weights, in evaluation mode and in main
            memory, whatever device it was trained on.
        network: its name, digest and preprocessing.
        data: labelled samples; split by `settings.split_seed`.
        settings: how to train.
        folder: where everything is kept; one run a folder.
        progress: told after steps; the stage is "training".
        fresh: forget what is in the folder.
        kept: how the kept weights are written; None for safetensors.
        teacher: whose answers are learned besides the labels; known again by its digest.
        host: what the ledger says about the machine.
        epochs: runs those that are left after a checkpoint, on processors, and gives the last; None for this process.
        mesh: that was chosen by what fits, and is kept when the run goes on; None where it was not chosen.

    Raises:
        InputError: when the folder holds another run or a damaged checkpoint, a setting does not fit the data, or the
            device is not here.
        DataError, NetworkError: when data and network do not fit together, or the network is not for classification.
        StorageError: when the folder cannot be written; the last checkpoint stays whole.
        GoalMissedError: when the loss diverges.
    """
    check_task(network)
    splits = data.split(seed=settings.split_seed)
    chosen = with_loading(resolve(settings, samples=len(splits.train), pictures=data.pictures), data)
    device = place_of(settings.device) if epochs is None else CPU
    chosen = settled(chosen, device)
    check_taught(chosen, teacher)
    begin = State(identity=checkpoints.identity_of(module, network, data, chosen, teacher), mesh=mesh)
    facts = RunFacts(network, data, splits, chosen, host or Host())
    run = Run(
        module, facts, Path(folder), progress, begin, kept or Kept(), teacher, None, device, None, time.perf_counter()
    )
    check_writable(run.folder / run.kept.file)
    if fresh:
        forget(run.folder)
    if chosen.dropout is not None:
        set_dropout(module, chosen.dropout)
    memory = memory_returned if chosen.return_memory else memory_kept
    again, swapped = from_text(chosen.recompute), from_text(chosen.swapped)
    with ExitStack() as meanwhile:
        reader = meanwhile.enter_context(reading(data, network, chosen))
        for each in (threads(chosen.threads), memory(), placed(module, device)):
            meanwhile.enter_context(each)
        as_fed(module, channels_last=chosen.channels_last)  # while its weights are in memory
        lent = chosen.weights_on_disk and epochs is None  # a mesh refuses that
        weights = meanwhile.enter_context(weights_on_disk(module, run.folder, wanted=lent))
        for technique in (run_again(module, again), swapped_out(module, swapped, run.folder)):
            meanwhile.enter_context(technique)
        run = dataclasses.replace(run, reader=reader, weights=weights)
        found = _found(run)
        done = found if found is not None and found.state.stopped else (epochs or _train)(run, found)
        record = finish(
            module, network, done, test=splits.test, settings=chosen, folder=run.folder, kept=run.kept, reader=reader,
            device=device, weights=weights,
        )  # fmt: skip
    note_run(run.folder, facts, done.state, test=record.test)
    return record


def _found(run: Run) -> Checkpoint | None:
    """The checkpoint in the folder, once it is known to be of this run."""
    if not run.path.exists():
        return None
    named = () if run.weights is None else run.weights.like.items()
    lying = {f"{part}.{name}": value for part in ("model", "best") for name, value in named}
    found = checkpoints.load(run.path, lying)
    checkpoints.check_identity(run.path, found.state, run.begin)
    return found


def _train(run: Run, found: Checkpoint | None) -> Checkpoint:
    """Run the epochs that are left; the last checkpoint keeps the best weights only."""
    settings, reader = run.settings, run.reader
    lesson = lesson_of(run.module, run.network, run.splits.train, settings, run.teacher, reader, run.device)
    validation = fed(
        run.splits.validation, run.network, what="validation", channels_last=settings.channels_last, reader=reader,
        device=run.device, feeding=settings.feeding,
    )  # fmt: skip
    _tell_plan(run, lesson)
    wanted, lent = settings.state_on_disk or settings.weights_on_disk, run.weights.lent if run.weights else nullcontext
    with state_on_disk(lesson.optimizer, run.folder, wanted=wanted, lent=lent) as stored:
        lesson = dataclasses.replace(lesson, stored=stored, weights=run.weights)
        standing = _learned(run, lesson, validation, found)
    if lesson.frozen is not None:
        lesson.frozen.release()
    best = {} if run.weights is None else run.weights.best
    done = Checkpoint(standing.state, _prefixed("best.", standing.best), _prefixed("best.", best))
    checkpoints.save(run.path, done)
    forget_copies(run.path.parent)
    return done


def _learned(run: Run, lesson: Lesson, validation: Fed, found: Checkpoint | None) -> _Standing:
    """Where the run stands after all epochs."""
    standing = _take_up(run, lesson, found)
    with event_log(run.folder / "events", len(standing.state.history) + 1) as log:
        while not standing.state.stopped:
            standing = _epoch_or_note(run, lesson, validation, standing)
            log(standing.state.history[-1])
            if not standing.state.stopped:
                standing = _written(run, lesson, standing)
    return standing


def _take_up(run: Run, lesson: Lesson, found: Checkpoint | None) -> _Standing:
    """Continue from a checkpoint, or start with one that holds the initial weights."""
    if found is None:
        return _written(run, lesson, _Standing(run.begin, {}))
    run.module.load_state_dict(found.part("model."), strict=run.weights is None)
    if run.weights is not None:
        run.weights.take(found.lying_part("model."))
        run.weights.take(found.lying_part("best."), as_best=True)
    checkpoints.restore_optimizer(lesson.optimizer, found.part("optimizer."))
    if lesson.stored is not None:
        lesson.stored.load(run.path.parent, len(found.state.history), found.state.stored)
    if lesson.average is not None:
        lesson.average.load_state_dict(found.part("average."))
    resume_scaling(lesson.scaler, found.state.history)
    run.progress.note(f"continuing after epoch {len(found.state.history)} of {run.settings.epochs}")
    return _Standing(found.state, found.part("best."), found.state.wall_s)


def _epoch_or_note(run: Run, lesson: Lesson, validation: Fed, standing: _Standing) -> _Standing:
    """Train one epoch; where that breaks off, the ledger knows of it, and the last checkpoint stays."""
    try:
        return _epoch(run, lesson, validation, standing)
    except GoalMissedError as error:
        note_run(run.folder, run.facts, standing.state, error=error.message)
        raise


def _epoch(run: Run, lesson: Lesson, validation: Fed, standing: _Standing) -> _Standing:
    """Train one epoch and validate."""
    past = standing.state.history
    number = len(past) + 1
    trained = run_epoch(lesson, number, _teller(run, lesson, past))
    score = _validated(run, lesson, validation, number)
    held = phase_at(run.settings, number).frozen
    row = Epoch(
        number, trained.loss, score.loss, score.accuracy, trained.learning_rate, trained.seconds, held,
        wait_s=trained.wait_s, steps=lesson.steps, scaling=trained.scaling,
    )  # fmt: skip
    history = (*past, row)
    best_epoch = best_of(history)
    best = _best_now(run, lesson) if best_epoch == number else standing.best
    stopped = why_stop(run.settings, history)
    share = 1.0 if stopped else number / (run.settings.epochs or 1)
    run.progress.update("training", share, message(run.settings, history, row.train_loss))
    wall_s = None if standing.before_s is None else standing.before_s + time.perf_counter() - run.started_s
    state = State(run.begin.identity, history, best_epoch, stopped, wall_s, run.begin.mesh)
    return dataclasses.replace(standing, state=state, best=best)


def _best_now(run: Run, lesson: Lesson) -> dict[str, Tensor]:
    """A copy of what would be kept; of weights on disk there is one there."""
    if run.weights is None:
        return checkpoints.model_tensors(lesson.taught)
    run.weights.keep()
    return checkpoints.model_tensors(lesson.taught, but=run.weights.names)


def _validated(run: Run, lesson: Lesson, validation: Fed, number: int) -> Score:
    """Score what would be kept on the validation split.

    Raises:
        GoalMissedError: its loss is not finite.
    """
    module = lesson.taught
    settings = run.settings
    score = evaluate_fed(module, validation, settings.loss, batch=settings.evaluation_batch)
    if not math.isfinite(score.loss):
        with all_here(run.weights):
            layer = broken_layer(module, lambda: evaluate_fed(module, validation))
        raise diverged(score.loss, f"on the validation split after epoch {number}", settings, layer)
    return score


def _written(run: Run, lesson: Lesson, standing: _Standing) -> _Standing:
    """Write a checkpoint and the history, unless the last one is so fresh that writing would slow training down."""
    now = time.perf_counter()
    if (now - standing.written_s) * _CHECKPOINT_SHARE < standing.cost_s:
        return standing
    names: Collection[str] = () if run.weights is None else run.weights.names
    tensors = _prefixed("model.", checkpoints.model_tensors(run.module, but=names))
    tensors |= _prefixed("optimizer.", checkpoints.optimizer_tensors(lesson.optimizer))
    tensors |= _prefixed("best.", standing.best)
    if lesson.average is not None:
        tensors |= _prefixed("average.", checkpoints.model_tensors(lesson.average))
    state, epochs = standing.state, len(standing.state.history)
    if lesson.stored is not None:
        state = dataclasses.replace(state, stored=lesson.stored.save(run.path.parent, epochs))
    lying: dict[str, Somewhere] = {}
    if run.weights is not None:
        lying = _prefixed("model.", run.weights.now) | _prefixed("best.", run.weights.best)
    checkpoints.save(run.path, Checkpoint(state, tensors, lying))
    forget_copies(run.path.parent, but=epochs)
    write_history(run.folder, standing.state.history)
    after = time.perf_counter()
    return dataclasses.replace(standing, written_s=after, cost_s=after - now)


def _teller(run: Run, lesson: Lesson, past: tuple[Epoch, ...]) -> Callable[[int, float], None]:
    """A function that shows progress after a step, ten times a second at most."""
    last = 0.0

    def tell(step: int, loss: float) -> None:
        nonlocal last
        now = time.perf_counter()
        if now - last >= _TELL_EVERY_S:
            last = now
            share = (len(past) * lesson.steps + step) / (lesson.all_steps + 1)
            run.progress.update("training", share, message(run.settings, past, loss))

    return tell


def _tell_plan(run: Run, lesson: Lesson) -> None:
    """Say where it is trained, what is frozen and until when, that a run is short, and who reads its pictures."""
    settings = run.settings
    if run.device != CPU:
        lying = "all samples lie there" if isinstance(lesson.feed, Feed) else "a batch is sent ahead"
        run.progress.note(f"training on {called(run.device)}: {lying}")
    if run.reader is not None:
        fewer = f", of {settings.workers}: /dev/shm is small" if run.reader.workers < (settings.workers or 1) else ""
        run.progress.note(f"pictures stay in their files: workers that read them: {run.reader.workers}{fewer}")
    if lesson.frozen is not None:
        held = sum(value.numel() for value in lesson.frozen.weights)
        whole = sum(value.numel() for value in run.module.parameters() if value.requires_grad)
        until = (
            f"for {settings.unfreeze_after} of {settings.epochs} epochs" if settings.unfreeze_after else "to the end"
        )
        run.progress.note(f"freeze {settings.freeze}: {held:,} of {whole:,} parameters stay as they are {until}")
    if lesson.all_steps < _FEW_STEPS:
        run.progress.note(f"only {lesson.all_steps} steps in all: more epochs or a smaller batch size may learn more")


def _prefixed(prefix: str, tensors: Mapping[str, _Kind]) -> dict[str, _Kind]:
    return {prefix + name: value for name, value in tensors.items()}
