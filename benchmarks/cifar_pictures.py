"""CIFAR-10 as JPEG files to train on, and the training of an ONNX graph on them.

The pictures are lossy, and fewer than the networks were trained on (20,000 of 50,000): so what is compressed is the
network after some epochs on them, and what it is compared with has had as many more.

>>> sorted(PREPROCESS)
['resnet20', 'resnet56']
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import chipwise
from chipwise.codec.files import atomic_write
from chipwise.codec.records import decode, encode
from chipwise.compression.finetune import Lecture, Tuned, finetune
from chipwise.compression.stages import pruned
from chipwise.core.compression import Compression
from chipwise.datasets.dataset import Dataset, make
from chipwise.networks import onnx_file
from chipwise.networks.load import load
from chipwise.tasks.metrics import paired_drop
from chipwise.training.evaluate import evaluate
from chipwise.training.feed import feed_of
from chipwise.training.process import memory_kept, threads
from chipwise.training.seeds import seeded
from chipwise.training.settings import Settings
from chipwise.training.teacher import Teacher
from chipwise.training.trainable import put_back, simplified, trainable
from labelled import CIFAR, pictures

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from chipwise.core.events import Progress

NETWORKS = ("resnet20", "resnet56")
PREPROCESS = {name: CIFAR[name][1] for name in NETWORKS}
_KEPT = ("learning_rate", "batch_size", "augment", "precision", "threads")  # of them, for `compress`
VALIDATION = 2000  # of the 20,000 of the training set; the 7,500 of the test set judge
USUAL = Settings(
    learning_rate=1e-3, batch_size=128, weight_decay=0.0, augment="shift", precision="bf16", threads=1, epochs=8
)


@cache
def cifar_to_train(shared: Path) -> Dataset:
    """18,000 pictures to train on, 2,000 that choose, and 7,500 that judge."""
    with tempfile.TemporaryDirectory() as folder:
        seen = pictures(shared / "cifar10" / "train_jpeg_20000.tar.xz", Path(folder), None)
        unseen = pictures(shared / "cifar10" / "test_jpeg_7500.tar.xz", Path(folder), None)
    order = np.random.default_rng(0).permutation(len(seen))
    inputs = np.concatenate([seen.inputs[order], unseen.inputs])
    labels = np.concatenate([seen.labels[order], unseen.labels])
    return make("cifar-10-jpeg", inputs, labels, seen.class_names, test_count=len(unseen), validation_count=VALIDATION)


def taught(
    source: Path,
    output: Path,
    data: Dataset,
    settings: Settings,
    progress: Progress,
    *,
    preprocess: str,
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
        preprocess: how pictures become its inputs.
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
        wise = Teacher(trainable(simplified(loaded.graph)).module.eval(), bf16=settings.precision == "bf16")
    train, validation = (feed_of(each, network, what="training") for each in (splits.train, splits.validation))
    lecture = Lecture(train, validation, "NCHW", 3, wise)
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


def dense_network(  # noqa: PLR0917 (as `taught`)
    name: str, shared: Path, output: Path, data: Dataset, epochs: int, progress: Progress
) -> None:
    """Write the network that came trained after epochs on the pictures, unless that was done before."""
    settings = replace(USUAL, epochs=epochs)
    taught(shared / CIFAR[name][0], output, data, settings, progress, preprocess=PREPROCESS[name])


def compressed(  # noqa: PLR0917 (as `taught`)
    dense: Path,
    output: Path,
    data: Dataset,
    preprocess: str,
    epochs: int,
    progress: Progress,
    *,
    target: str | None = None,
    faster: str | None = None,
) -> Compression:
    """What `compress` makes of a network, unless that was done before.

    Args:
        dense: the network.
        output: the `.cwz` file; the record lies beside it.
        data: in three parts.
        preprocess: how pictures become its inputs.
        epochs: of each stage.
        progress: told what is done.
        target: how small.
        faster: or how fast.
    """
    file = output.with_suffix(".json")
    if not file.exists() or not output.exists():
        how: dict[str, Any] = {name: getattr(USUAL, name) for name in _KEPT}
        found = chipwise.compress(
            dense,
            data,
            output=output,
            target=target,
            faster=faster,
            preprocess=preprocess,
            progress=progress,
            epochs=epochs,
            **how,
        )
        atomic_write(file, encode(found, pretty=True))
    return decode(file.read_bytes(), Compression, str(file))


def drops(paths: Mapping[str, Path], data: Dataset, preprocess: str, against: Iterable[str]) -> dict[str, Any]:
    """Right answers of networks on the test pictures, in pairs with some of them.

    Args:
        paths: of the networks, by name.
        data: whose test part judges.
        preprocess: how pictures become their inputs.
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
