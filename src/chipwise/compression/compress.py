"""Compress a network into a file of a given size: take channels away, prune, round, code, and prove what was lost.

    made = compress(network, data, Path("small.cwz"), Work(target=parse_target("100x")))

Each stage trains on the training split with the source network as its teacher; which weights are kept is decided on
the validation split, and the test split is used once, at the end.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from chipwise.codec.files import atomic_write, check_writable
from chipwise.codec.small_file import encode_small
from chipwise.codec.small_file import ledger as ledger_of
from chipwise.compression.bits import by_layer
from chipwise.compression.faster import Faster, quickened, recovered, shares, speed_of, table_of
from chipwise.compression.finetune import Lecture, Tuned
from chipwise.compression.journal import Journal
from chipwise.compression.layers_table import layer_rows
from chipwise.compression.narrow import narrowed
from chipwise.compression.portrait import layer_weights
from chipwise.compression.pruning import Pruning, prune_to
from chipwise.compression.recipe import Recipe, Target, bits_of, denser, plan
from chipwise.compression.stages import Kind, Rounding, coded, rounded
from chipwise.core.compression import Compression, Speed, Stage, StageEpoch
from chipwise.core.events import Part, Progress, silent
from chipwise.core.layer import totals
from chipwise.networks import small_file
from chipwise.networks.layers import layer_rows as network_rows
from chipwise.tasks.metrics import paired_drop
from chipwise.training.evaluate import evaluate
from chipwise.training.feed import Feed, as_fed, check_fits, check_task, feed_of, layout_of
from chipwise.training.precision import check_computes
from chipwise.training.process import memory_kept, threads
from chipwise.training.seeds import seeded
from chipwise.training.settings import Settings, as_json, resolve
from chipwise.training.teacher import Teacher
from chipwise.training.trainable import density, parameters, simplified, trainable, weights_left

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import onnx_ir as ir
    from torch import nn

    from chipwise.compression.codebooks import Start
    from chipwise.compression.latency_table import LatencyTable
    from chipwise.core.measure import PairedDrop
    from chipwise.core.network import Network
    from chipwise.datasets.dataset import Dataset

_ATTEMPTS = 3  # of pruning and rounding, each with the density that the last file's size calls for
_FULL_BYTES, _FULL_BITS = 4, 32


@dataclass(frozen=True, slots=True)
class Work:
    """What is asked for, and how.

    Attributes:
        target: size of the file.
        settings: of each stage's training; the learning rate falls to half for rounding.
        recipe: what each stage is to reach; None to choose it by the target.
        rounding: which values weights may have.
        teacher_share: of the source's answers in the loss; 0 learns from labels alone.
        pruning: what goes of each layer, and when.
        start: of k-means, for codebooks.
        bits_by_layer: choose the bits of each layer: so that the file is as large as was asked for, or, where the
            recipe is given, so that the loss rises by no more than with the recipe's bits in every layer.
        faster: how fast it is to be, in place of how small; then values of weights are kept.
    """

    target: Target
    settings: Settings = field(default_factory=Settings)
    recipe: Recipe | None = None
    rounding: Kind = "steps"
    teacher_share: float = 0.9
    pruning: Pruning = field(default_factory=Pruning)
    start: Start = "linear"
    bits_by_layer: bool = False
    faster: Faster | None = None


@dataclass(slots=True)
class _Run:
    """One compression: what it works on, and what it has done."""

    network: Network
    work: Work
    lecture: Lecture
    journal: Journal
    progress: Progress
    stages: list[Stage] = field(default_factory=list)
    graphs: list[ir.Model] = field(default_factory=list)

    def stage(self, name: str, detail: str, bar: tuple[float, float], work: Callable[[Progress], _Left]) -> ir.Model:
        """Do a stage, or take it from an earlier run."""
        known = self.journal.done(name, detail)
        if known is None:
            started = time.monotonic()
            with seeded(self.work.settings.seed, name):
                left = work(Part(self.progress, "compress", *bar))
            stage = left.told(name.partition("-")[2], detail, time.monotonic() - started)
            self.journal.keep(name, replace(self.network, graph=left.graph), stage)
            known = self.journal.done(name, detail)
            assert known is not None, "it was just written"
        self.stages.append(known[1])
        self.graphs.append(known[0])
        self.progress.update("compress", bar[1], f"{known[1].name}: {detail}, accuracy {known[1].accuracy:.2%}")
        return known[0]


class _Left(NamedTuple):
    """What a stage leaves: a graph, its accuracy on validation, how training went, bits by layer where chosen so."""

    graph: ir.Model
    accuracy: float
    tuned: Tuned | None = None
    bits: Mapping[str, int] | None = None

    def told(self, name: str, detail: str, seconds: float) -> Stage:
        """The record of it."""
        history: tuple[StageEpoch, ...] = ()
        if self.tuned is not None:
            densities = self.tuned.densities or (density(self.graph),) * len(self.tuned.history)
            history = tuple(map(StageEpoch, densities, self.tuned.history))
        kept = 0 if self.tuned is None else self.tuned.kept
        left = weights_left(self.graph)
        return Stage(name, detail, left, self.accuracy, seconds, history, kept, dict(self.bits or {}))


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
    nhwc = settings.channels_last
    train = feed_of(splits.train, network, what="training", channels_last=nhwc)
    validation = feed_of(splits.validation, network, what="validation", channels_last=nhwc)
    check_fits(as_fed(source.module, channels_last=nhwc), train, splits.train.classes)
    check_computes(source.module, train.inputs[:2], settings.precision)
    share, precision = work.teacher_share, settings.precision
    teacher = Teacher(source.module.eval(), share, precision=precision) if share else None
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
        speed, bits = None, _FULL_BITS
        if work.faster is not None:
            small, speed, file = _to_pace(run, graph, work.faster)
        else:
            small, recipe, file = _to_size(run, graph, work.target.bytes_of(dense_bytes), dense_bytes)
            bits = recipe.bits
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
        target=_said(work),
        met=len(file) <= work.target.bytes_of(dense_bytes) if speed is None else speed.ratio.mid >= speed.asked,
        dense_bytes=dense_bytes,
        file_bytes=len(file),
        stages=tuple(run.stages),
        layers=layer_rows(graph, small, ledger, bits, run.stages[-1].bits),
        validation=drops[0],
        test=drops[1],
        ledger=ledger,
        seed=settings.seed,
        seconds=time.monotonic() - started,
        weights=layer_weights(graph, run.stages, run.graphs) if speed is None else (),
        speed=speed,
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
    rounding = Rounding(recipe.bits, run.work.rounding, run.work.start, run.work.settings.seed)
    title = f"{rounding.kind}, bits by layer" if run.work.bits_by_layer else rounding.title
    title += ", more in small layers" if _finely(run.work) else ""
    for attempt in range(_ATTEMPTS):
        low, share = 0.3 + 0.2 * attempt, recipe.density
        if share < 1.0:
            prune = partial(_prune, run, graph, share)
            graph = run.stage(f"{2 + 2 * attempt}-prune", f"{share:.1%} of the weights", (low, low + 0.1), prune)
        to_values = partial(_round, run, graph, rounding, wanted)
        small = run.stage(f"{3 + 2 * attempt}-round", title, (low + 0.1, low + 0.2), to_values)
        last, tensors = coded(simplified(small))
        file = encode_small(small_file.to_small(replace(run.network, graph=last, source=None), tensors))
        if len(file) <= wanted or run.work.recipe is not None or attempt == _ATTEMPTS - 1:
            break
        recipe = denser(recipe, len(file), wanted)
    return last, recipe, file


def _to_pace(run: _Run, source: ir.Model, wanted: Faster) -> tuple[ir.Model, Speed, bytes]:
    """Take channels away round by round until it is fast enough, and train what is left.

    Returns:
        the graph, how fast it is, and the file.
    """
    table = partial(table_of, wanted=wanted, file=run.journal.folder / "latency.json")
    table(source, progress=Part(run.progress, "compress", 0.0, 0.1))
    graph, todo = source, shares(wanted.times)
    for number, share in enumerate(todo):
        bar = (0.1 + 0.4 * number / len(todo), 0.1 + 0.4 * (number + 1) / len(todo))
        narrow = partial(_quicken, run, source, graph, share, table(graph))
        graph = run.stage(f"{number + 1}-narrow", f"{share:.1%} of the time", bar, narrow)
    train = partial(_recover, run, graph)
    graph = run.stage(f"{len(todo) + 1}-train", f"{run.work.settings.epochs} epochs", (0.5, 0.95), train)
    speed = speed_of(source, graph, table(graph), wanted)
    return graph, speed, encode_small(small_file.to_small(replace(run.network, graph=graph, source=None)))


def _quicken(  # noqa: PLR0917 (the bar comes last)
    run: _Run, source: ir.Model, graph: ir.Model, share: float, table: LatencyTable, bar: Progress
) -> _Left:
    wanted = run.work.faster
    assert wanted is not None, "a pace was asked for"
    return _Left(*quickened(source, graph, share, table, wanted, run.lecture, run.work.settings, progress=bar))


def _recover(run: _Run, graph: ir.Model, bar: Progress) -> _Left:
    return _Left(*recovered(graph, run.lecture, run.work.settings, progress=bar))


def _narrow(run: _Run, graph: ir.Model, weights: int, bar: Progress) -> _Left:
    narrow, tuned = narrowed(graph, run.lecture, run.work.settings, weights, progress=bar)
    return _Left(narrow, tuned.accuracy if tuned else 0.0, tuned)


def _prune(run: _Run, graph: ir.Model, share: float, bar: Progress) -> _Left:
    sparse, tuned = prune_to(graph, run.lecture, run.work.settings, share, run.work.pruning, progress=bar)
    return _Left(sparse, tuned.accuracy, tuned)


def _round(run: _Run, graph: ir.Model, rounding: Rounding, wanted: int, bar: Progress) -> _Left:
    if run.work.bits_by_layer:
        most = wanted if run.work.recipe is None else None
        rounding = by_layer(run.network, graph, run.lecture.validation, rounding, most, progress=bar)
    elif _finely(run.work):
        sizes = {name: array.size for name, array in parameters(graph)[0].items()}
        rounding = replace(rounding, each=bits_of(sizes, rounding.bits))
    slower = replace(run.work.settings, learning_rate=run.work.settings.learning_rate / 2)
    small, tuned = rounded(graph, run.lecture, slower, rounding, progress=bar)
    return _Left(small, tuned.accuracy, tuned, rounding.each)


def _finely(work: Work) -> bool:
    """Whether small layers get more bits: where the target alone decides."""
    return work.recipe is None and not work.bits_by_layer


def _paired(source: nn.Module, after: nn.Module, feed: Feed) -> PairedDrop:
    before_right, after_right = (
        (evaluate(module, feed.inputs, feed.labels).predicted == feed.labels).numpy() for module in (source, after)
    )
    return paired_drop(before_right, after_right)


def _identity(network: Network, data: Dataset, work: Work) -> str:
    how = f"{as_json(work.settings)}|{work.target}|{work.recipe}|{work.rounding}|{work.teacher_share}"
    how += f"|{work.pruning}|{work.start}|{work.bits_by_layer}"
    how += "" if work.faster is None else f"|{work.faster.said}|{work.faster.step}"
    return f"{network.digest}|{data.digest}|{how}"


def _said(work: Work) -> str:
    if work.faster is not None:
        return work.faster.said
    target = work.target
    return f"{target.ratio:g}x" if target.ratio is not None else f"{target.size_bytes} bytes"
