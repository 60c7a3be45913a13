"""Compress a network into a file of a given size: take channels away, prune, round, code, and prove what was lost.

    made = compress(network, data, Path("small.cwz"), Work(target=parse_target("100x")))

Each stage trains on the training split with the source network as its teacher; which weights are kept is decided on
the validation split, and the test split is used once, at the end.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from chipwise.codec.files import atomic_write, check_writable
from chipwise.codec.small_file import encode_small
from chipwise.codec.small_file import ledger as ledger_of
from chipwise.compression.finetune import Lecture
from chipwise.compression.journal import Journal
from chipwise.compression.layers_table import layer_rows
from chipwise.compression.narrow import narrowed
from chipwise.compression.recipe import Recipe, Target, denser, plan
from chipwise.compression.stages import Kind, Rounding, coded, pruned, rounded
from chipwise.core.compression import Compression, Stage
from chipwise.core.events import Part, Progress, silent
from chipwise.core.layer import totals
from chipwise.networks import small_file
from chipwise.networks.layers import layer_rows as network_rows
from chipwise.tasks.metrics import paired_drop
from chipwise.training.evaluate import evaluate
from chipwise.training.feed import Feed, check_fits, check_task, feed_of, layout_of
from chipwise.training.process import memory_kept, threads
from chipwise.training.seeds import seeded
from chipwise.training.settings import Settings, as_json, resolve
from chipwise.training.teacher import Teacher
from chipwise.training.trainable import parameters, simplified, trainable, weights_left

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import onnx_ir as ir
    from torch import nn

    from chipwise.core.measure import PairedDrop
    from chipwise.core.network import Network
    from chipwise.datasets.dataset import Dataset

_ATTEMPTS = 3  # of pruning and rounding, each with the density that the last file's size calls for
_FULL_BYTES = 4


@dataclass(frozen=True, slots=True)
class Work:
    """What is asked for, and how.

    Attributes:
        target: size of the file.
        settings: of each stage's training; the learning rate falls to half for rounding.
        recipe: what each stage is to reach; None to choose it by the target.
        rounding: which values weights may have.
        teacher_share: of the source's answers in the loss; 0 learns from labels alone.
    """

    target: Target
    settings: Settings = field(default_factory=Settings)
    recipe: Recipe | None = None
    rounding: Kind = "steps"
    teacher_share: float = 0.9


@dataclass(slots=True)
class _Run:
    """One compression: what it works on, and what it has done."""

    network: Network
    work: Work
    lecture: Lecture
    journal: Journal
    progress: Progress
    stages: list[Stage] = field(default_factory=list)

    def stage(self, name: str, detail: str, bar: tuple[float, float], work: Callable[[Progress], _Left]) -> ir.Model:
        """Do a stage, or take it from an earlier run."""
        known = self.journal.done(name, detail)
        if known is None:
            started = time.monotonic()
            with seeded(self.work.settings.seed, name):
                graph, accuracy = work(Part(self.progress, "compress", *bar))
            stage = Stage(name.partition("-")[2], detail, weights_left(graph), accuracy, time.monotonic() - started)
            self.journal.keep(name, replace(self.network, graph=graph), stage)
            known = self.journal.done(name, detail)
            assert known is not None, "it was just written"
        self.stages.append(known[1])
        self.progress.update("compress", bar[1], f"{known[1].name}: {detail}, accuracy {known[1].accuracy:.2%}")
        return known[0]


_Left = tuple["ir.Model", float]


def compress(
    network: Network, data: Dataset, output: Path, folder: Path, work: Work, *, progress: Progress = silent
) -> Compression:
    """Make a network small and write it.

    Args:
        network: trained, with its graph; for classification.
        data: labelled samples, split by the settings' seed of splits.
        output: the `.cwz` file.
        folder: of what each stage left; an interrupted compression goes on there.
        work: how small, and how.
        progress: told what is done.

    Raises:
        NetworkError: the network cannot be trained as a graph, or is no classifier. DataError: the data do not fit.
        InputError: the target cannot be reached at all. StorageError: a file cannot be written.
        GoalMissedError: training diverged.
    """
    started = time.monotonic()
    check_task(network)
    check_writable(output)
    assert network.graph is not None, "the caller exports it"
    splits = data.split(seed=work.settings.split_seed)
    settings = resolve(work.settings, samples=len(splits.train), pictures=data.pictures)
    work = replace(work, settings=settings)
    graph = simplified(network.graph)
    source = trainable(graph)
    train = feed_of(splits.train, network, what="training")
    validation = feed_of(splits.validation, network, what="validation")
    check_fits(source.module, train, splits.train.classes)
    bf16 = settings.precision == "bf16"
    teacher = Teacher(source.module.eval(), work.teacher_share, bf16=bf16) if work.teacher_share else None
    layout, channels = layout_of(network)
    run = _Run(
        network,
        work,
        Lecture(train, validation, layout, channels, teacher),
        Journal(folder, _identity(network, data, work)),
        progress,
    )
    dense_bytes = _FULL_BYTES * totals(network_rows(network)).parameters
    with threads(settings.threads), memory_kept():
        small, recipe, file = _to_size(run, graph, work.target.bytes_of(dense_bytes), dense_bytes)
        atomic_write(output, file)
        test = feed_of(splits.test, network, what="test") if len(splits.test) else None
        after = trainable(small).module.eval()
        drops = [None if feed is None else _paired(source.module, after, feed) for feed in (validation, test)]
    assert drops[0] is not None, "the validation split is not empty"
    ledger = ledger_of(output)
    progress.update("compress", 1.0)
    return Compression(
        network=network.name,
        data=data.name,
        path=str(output),
        target=_said(work.target),
        met=len(file) <= work.target.bytes_of(dense_bytes),
        dense_bytes=dense_bytes,
        file_bytes=len(file),
        stages=tuple(run.stages),
        layers=layer_rows(graph, small, ledger, recipe.bits),
        validation=drops[0],
        test=drops[1],
        ledger=ledger,
        seed=settings.seed,
        seconds=time.monotonic() - started,
    )


def _to_size(run: _Run, graph: ir.Model, wanted: int, dense_bytes: int) -> tuple[ir.Model, Recipe, bytes]:
    """Narrow, prune and round until the file is small enough, at most three times with fewer weights.

    Returns:
        the graph that the file decodes to, the last recipe, and the file.
    """
    weights, biases = (sum(array.size for array in arrays.values()) for arrays in parameters(graph))
    recipe = run.work.recipe or plan(weights, biases, wanted, dense_bytes)
    if recipe.weights is not None and recipe.weights < weights:
        narrow = partial(_narrow, run, graph, recipe.weights)
        graph = run.stage("1-narrow", f"{recipe.weights} weights", (0.0, 0.3), narrow)
    rounding = Rounding(recipe.bits, run.work.rounding, seed=run.work.settings.seed)
    for attempt in range(_ATTEMPTS):
        low, share = 0.3 + 0.2 * attempt, recipe.density
        if share < 1.0:
            prune = partial(_prune, run, graph, share)
            graph = run.stage(f"{2 + 2 * attempt}-prune", f"{share:.1%} of the weights", (low, low + 0.1), prune)
        to_values = partial(_round, run, graph, rounding)
        small = run.stage(f"{3 + 2 * attempt}-round", rounding.title, (low + 0.1, low + 0.2), to_values)
        last, tensors = coded(simplified(small))
        file = encode_small(small_file.to_small(replace(run.network, graph=last, source=None), tensors))
        if len(file) <= wanted or run.work.recipe is not None or attempt == _ATTEMPTS - 1:
            break
        recipe = denser(recipe, len(file), wanted)
    return last, recipe, file


def _narrow(run: _Run, graph: ir.Model, weights: int, bar: Progress) -> _Left:
    narrow, tuned = narrowed(graph, run.lecture, run.work.settings, weights, progress=bar)
    return narrow, tuned.accuracy if tuned else 0.0


def _prune(run: _Run, graph: ir.Model, density: float, bar: Progress) -> _Left:
    sparse, tuned = pruned(graph, run.lecture, run.work.settings, density, progress=bar)
    return sparse, tuned.accuracy


def _round(run: _Run, graph: ir.Model, rounding: Rounding, bar: Progress) -> _Left:
    slower = replace(run.work.settings, learning_rate=run.work.settings.learning_rate / 2)
    small, tuned = rounded(graph, run.lecture, slower, rounding, progress=bar)
    return small, tuned.accuracy


def _paired(source: nn.Module, after: nn.Module, feed: Feed) -> PairedDrop:
    before_right, after_right = (
        (evaluate(module, feed.inputs, feed.labels).predicted == feed.labels).numpy() for module in (source, after)
    )
    return paired_drop(before_right, after_right)


def _identity(network: Network, data: Dataset, work: Work) -> str:
    how = f"{as_json(work.settings)}|{work.target}|{work.recipe}|{work.rounding}|{work.teacher_share}"
    return f"{network.digest}|{data.digest}|{how}"


def _said(target: Target) -> str:
    return f"{target.ratio:g}x" if target.ratio is not None else f"{target.size_bytes} bytes"
