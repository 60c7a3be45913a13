"""Networks with real weights and the labelled samples that a lossy plan is guarded and judged by.

Four are trained here on MNIST; the others come trained. Every data set has three parts that share no sample: what
calibrates int8, what guards the choice, and what `check` counts in the end, which had no say. CIFAR pictures that guard
and judge are of its test set: no network here has seen them. They are JPEG files, on which the accuracy of networks
that were trained on lossless ones is some points below the published one; that is so before and after.

>>> sorted(TRAINED_HERE)
['lenet-300-100', 'lenet5', 'lenet5-caffe', 'mlp-4096']
"""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

import chipwise
from chipwise.core.events import Progress
from chipwise.datasets import load
from chipwise.datasets.dataset import Dataset, make

TRAINED_HERE = {"lenet5": 2, "lenet5-caffe": 2, "lenet-300-100": 4, "mlp-4096": 2}  # epochs
WORDS = ("Down", "Go", "Left", "No", "Off", "On", "Right", "Stop", "Up", "Yes", "Silence", "Unknown")
_IMAGENET = "mean=0.485/0.456/0.406,std=0.229/0.224/0.225"
CIFAR = {
    "resnet20": ("cifar10/models/derived_resnet20.onnx", _IMAGENET),
    "resnet56": ("cifar10/models/derived_resnet56.onnx", _IMAGENET),
    "cifar-tutorial-cnn": ("cifar10/models/cifar10_tutorial_cnn.onnx", "mean=0.5,std=0.5"),
    "mlperf-tiny-resnet8": ("mlperf_tiny/derived_ic_resnet8_float.onnx", "scale=1"),
}
_CALIBRATING = 2000  # CIFAR pictures of the training set, more than enough to calibrate by and to choose layers by
_GUARDING = 3500  # of the 7,500 of the test set; the others are judged by
_KWS_CALIBRATING, _KWS_GUARDING = 150, 300  # of 750; fewer than 271 cannot show 1% even where no answer is lost
_DEQUANTIZED = 0.5847029, 83  # scale and zero point of the spotter's input


@dataclass(frozen=True)
class Labelled:
    """A network with its data.

    Attributes:
        network: file or trained folder; made where it must be trained.
        data: in three parts.
        preprocess: how pictures become its input, where it does not say.
    """

    network: Callable[[Path, Progress], Path]
    data: Callable[[], Dataset]
    preprocess: str | None = None


def networks(shared: Path) -> dict[str, Labelled]:
    """Every network by name.

    Args:
        shared: folder of the reference data.
    """
    found = {name: Labelled(partial(_trained, name, shared), partial(mnist, shared)) for name in TRAINED_HERE}
    found |= {name: Labelled(partial(_at, shared / f), partial(cifar, shared), how) for name, (f, how) in CIFAR.items()}
    spotter = shared / "mlperf_tiny" / "derived_kws_dscnn_float.onnx"
    return found | {"keyword-spotting": Labelled(partial(_at, spotter), partial(keywords, shared))}


def _trained(name: str, shared: Path, folder: Path, progress: Progress) -> Path:
    epochs = TRAINED_HERE[name]
    chipwise.train(name, mnist(shared), folder=folder / name, epochs=epochs, augment="none", progress=progress)
    return folder / name


def _at(path: Path, _folder: Path, _progress: Progress) -> Path:
    return path


@cache
def mnist(shared: Path) -> Dataset:
    """60,000 digits to train on, a tenth of which choose and guard, and 10,000 to judge by."""
    return load(f"idx:{shared / 'mnist'}")


@cache
def cifar(shared: Path) -> Dataset:
    """Pictures of CIFAR-10: of its training set to calibrate, of its test set to guard and to judge."""
    with tempfile.TemporaryDirectory() as folder:
        seen = pictures(shared / "cifar10" / "train_jpeg_20000.tar.xz", Path(folder), _CALIBRATING)
        unseen = pictures(shared / "cifar10" / "test_jpeg_7500.tar.xz", Path(folder), None)
    order = np.random.default_rng(0).permutation(len(unseen))
    inputs = np.concatenate([seen.inputs, unseen.inputs[order]])
    labels = np.concatenate([seen.labels, unseen.labels[order]])
    judged = len(unseen) - _GUARDING
    return make("cifar-10", inputs, labels, seen.class_names, test_count=judged, validation_count=_GUARDING)


def pictures(archive: Path, folder: Path, count: int | None) -> Dataset:
    """So many pictures of an archive with a folder for each class, evenly spread over it; None for all."""
    with tarfile.open(archive) as packed:
        files = [each for each in packed.getmembers() if each.name.endswith(".jpg")]
        packed.extractall(folder, files[:: 1 if count is None else len(files) // count], filter="data")
    return load(f"folder:{folder / files[0].name.split('/')[0]}")


@cache
def keywords(shared: Path) -> Dataset:
    """750 spectra of spoken words."""
    samples = np.load(shared / "mlperf_tiny" / "kws01_750.npz")
    scale, zero = _DEQUANTIZED
    spectra = (samples["x"].reshape(-1, 49, 10, 1).astype(np.float32) - zero) * np.float32(scale)
    order = np.random.default_rng(0).permutation(len(spectra))
    judged = len(order) - _KWS_CALIBRATING - _KWS_GUARDING
    return make(
        "keywords", spectra[order], samples["y"][order], WORDS, test_count=judged, validation_count=_KWS_GUARDING
    )
