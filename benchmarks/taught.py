"""Networks that benchmarks train beside `chipwise train`: graphs, with a teacher; and how they answer, in pairs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from chipwise.codec.files import atomic_write
from chipwise.compression.finetune import Lecture, Tuned, finetune
from chipwise.compression.stages import pruned
from chipwise.networks import onnx_file
from chipwise.networks.load import load
from chipwise.tasks.metrics import paired_drop
from chipwise.training.evaluate import evaluate
from chipwise.training.feed import feed_of, layout_of
from chipwise.training.process import memory_kept, threads
from chipwise.training.seeds import seeded
from chipwise.training.teacher import Teacher
from chipwise.training.trainable import put_back, simplified, trainable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from chipwise.core.events import Progress
    from chipwise.datasets.dataset import Dataset
    from chipwise.training.settings import Settings


def taught(
    source: Path,
    output: Path,
    data: Dataset,
    settings: Settings,
    progress: Progress,
    *,
    preprocess: str | None = None,
    teacher: Path | None = None,
    density: float | None = None,
) -> Tuned | None:
    """Train an ONNX network and write it, unless that was done before.

    Args:
        source: what it starts from.
        output: the ONNX file.
        data: in three parts.
        settings: of the training.
        progress: told after epochs.
        preprocess: how pictures become its inputs, where its file does not say it.
        teacher: a network whose answers are 90% of what is learned; None for labels alone.
        density: share of single weights that stay, the largest; None for all.

    Returns:
        how training went; None where the file was there.
    """
    if output.exists():
        return None
    network = load(str(source), preprocess=preprocess)
    assert network.graph is not None, "an ONNX file is its graph"
    splits = data.split(seed=settings.split_seed)
    graph = simplified(network.graph)
    wise = None
    if teacher is not None:
        loaded = load(str(teacher), preprocess=preprocess)
        assert loaded.graph is not None, "an ONNX file is its graph"
        wise = Teacher(trainable(simplified(loaded.graph)).module.eval(), precision=settings.precision)
    train, validation = (
        feed_of(each, network, what="training", channels_last=settings.channels_last)
        for each in (splits.train, splits.validation)
    )
    lecture = Lecture(train, validation, *layout_of(network), wise)
    with threads(settings.threads), memory_kept(), seeded(settings.seed, output.name):
        if density is None:
            made = trainable(graph)
            tuned = finetune(made.module, lecture, settings, progress=progress)
            graph = put_back(graph, made.values())
        else:
            graph, tuned = pruned(graph, lecture, settings, density, progress=progress)
    output.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(output, onnx_file.serialize(replace(network, graph=graph)))
    return tuned


def drops(paths: Mapping[str, Path], data: Dataset, preprocess: str | None, against: Iterable[str]) -> dict[str, Any]:
    """Right answers of networks on the test pictures, in pairs with some of them.

    Args:
        paths: of the networks, by name.
        data: whose test part judges.
        preprocess: how pictures become their inputs, where their files do not say it.
        against: names of those that all are compared with.
    """
    right = {}
    for name, path in paths.items():
        network = load(str(path), preprocess=preprocess)
        assert network.graph is not None, "all of these files are graphs"
        feed = feed_of(data.split().test, network, what="test")
        module = trainable(simplified(network.graph)).module
        right[name] = (evaluate(module, feed.inputs, feed.labels).predicted == feed.labels).numpy()
    rows = {}
    for name, mine in right.items():
        found = {other: paired_drop(right[other], mine) for other in against}
        rows[name] = {
            "accuracy": float(mine.mean()),
            "against": {
                other: {"drop": drop.drop, "drop_upper_95": drop.upper, "lost": drop.lost, "won": drop.won}
                for other, drop in found.items()
            },
        }
    return rows
