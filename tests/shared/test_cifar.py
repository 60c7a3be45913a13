"""ResNet-20 with the weights that others trained on CIFAR-10: the same scores and accuracies as elsewhere."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

import chipwise
from chipwise import datasets
from chipwise.compiler.runner import Runner
from chipwise.tasks.pictures import open_picture
from chipwise.tasks.preprocess import prepare

pytest.importorskip("torch")
pytestmark = [pytest.mark.shared, pytest.mark.runtime]

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@pytest.fixture(scope="module")
def resnet20(shared_data: Path) -> Runner:
    return chipwise.load("resnet20", weights=shared_data / "cifar10" / "models" / "resnet20-12fca82f.th")


def stated(shared_data: Path, data: str) -> tuple[float, int]:
    """Accuracy and number of samples that another runtime measured."""
    rows = json.loads((shared_data / "expected_metrics.json").read_text())["results"]
    found = [row for row in rows if "derived_resnet20" in row["model"] and data in row["data"]]
    return found[0]["top1"], found[0]["n"]


def right(runner: Runner, pictures: np.ndarray, labels: np.ndarray) -> int:
    """How many pictures are given their class."""
    preprocess = runner.task.preprocess
    assert preprocess is not None
    found = 0
    for start in range(0, len(labels), 500):
        (scores,) = runner.run(prepare(pictures[start : start + 500], preprocess)).values()
        found += int((scores.argmax(axis=1) == labels[start : start + 500]).sum())
    return found


def test_scores_equal_those_of_the_converted_graph(resnet20: Runner, shared_data: Path) -> None:
    golden = np.load(shared_data / "golden" / "derived_resnet20.npz")
    (scores,) = resnet20.run(golden["input"]).values()
    np.testing.assert_allclose(scores, golden["output"], rtol=1e-4, atol=1e-4)


def test_accuracy_on_lossless_training_pictures(resnet20: Runner, shared_data: Path) -> None:
    sheets = [open_picture(shared_data / "cifar10" / f"cifar10_batch_{number}.png") for number in range(4)]
    pictures = np.concatenate(sheets).reshape(-1, 32, 32, 3)
    labels = np.load(shared_data / "cifar10" / "labels_first4000.npy")
    share, count = stated(shared_data, "batch_0")
    assert len(pictures) == len(labels) == count
    assert right(resnet20, pictures, labels) == pytest.approx(share * count, abs=1)


def test_accuracy_on_compressed_test_pictures(resnet20: Runner, shared_data: Path, tmp_path: Path) -> None:
    with tarfile.open(shared_data / "cifar10" / "test_jpeg_7500.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    data = datasets.load(f"folder:{tmp_path / 'test'}")
    share, count = stated(shared_data, "test_jpeg_7500")
    assert (data.class_names, len(data)) == (CLASSES, count)
    # The stated share is rounded to four places; decoders of JPEG may differ in the last bit of a pixel.
    assert right(resnet20, data.inputs, data.labels) / count == pytest.approx(share, abs=5e-4)
