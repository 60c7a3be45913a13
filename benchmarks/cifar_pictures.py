"""CIFAR-10 as JPEG files to train on, and networks that came trained, after some epochs on them.

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
from chipwise.core.compression import Compression
from chipwise.datasets.dataset import Dataset, make
from chipwise.training.settings import Settings
from labelled import CIFAR, pictures
from taught import taught

if TYPE_CHECKING:
    from chipwise.core.events import Progress

NETWORKS = ("resnet20", "resnet56")
PREPROCESS = {name: CIFAR[name][1] for name in NETWORKS}
_KEPT = ("learning_rate", "batch_size", "augment", "precision", "channels_last", "threads")  # of them, for `compress`
VALIDATION = 2000  # of the 20,000 of the training set; the 7,500 of the test set judge
USUAL = Settings(
    learning_rate=1e-3,
    batch_size=128,
    weight_decay=0.0,
    augment="shift,flip",
    precision="bf16",
    channels_last=True,
    threads=1,
    epochs=8,
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
