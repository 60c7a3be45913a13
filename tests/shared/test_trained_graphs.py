"""Published ONNX files learn: with weights behind reshapes, a fixed batch, a Softmax at the end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import chipwise
from chipwise import datasets
from chipwise.datasets.dataset import Dataset, make
from chipwise.networks.load import load

pytest.importorskip("torch")
pytestmark = [pytest.mark.shared, pytest.mark.runtime]

QUICK = {"epochs": 1, "augment": "none", "threads": 1}


def first_digits(shared_data: Path, count: int = 1500) -> Dataset:
    """MNIST's first training pictures."""
    mnist = datasets.load(f"idx:{shared_data / 'mnist'}")
    return make("first digits", mnist.inputs[:count], mnist.labels[:count])


@pytest.mark.parametrize("name", ["mnist_cntk", "opt-mnist"])
def test_a_network_that_is_good_stays_good_and_keeps_its_form(name: str, shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "onnx" / f"{name}.onnx"
    done = chipwise.train(path, first_digits(shared_data), folder=tmp_path / "run", **QUICK)
    assert done.history[0].val_accuracy > 0.97
    before, after = load(str(path)), load(str(tmp_path / "run"))
    assert (after.inputs, after.outputs) == (before.inputs, before.outputs), "its batch is as fixed as before"
    kernels = [each.graph.graph.initializers["Parameter5"].const_value.numpy() for each in (before, after)]  # type: ignore[union-attr]
    assert (kernels[0] != kernels[1]).all()


def test_a_softmax_at_the_end_learns(shared_data: Path, tmp_path: Path) -> None:
    """MLPerf Tiny's ResNet-8 learns, from NHWC pictures, ten colours for its ten classes."""
    draw, labels = np.random.default_rng(0), np.arange(200) % 10
    colours = draw.integers(40, 216, (10, 1, 1, 3))[labels]
    pictures = (colours + draw.integers(-20, 20, (200, 32, 32, 3))).astype(np.uint8)
    path = shared_data / "mlperf_tiny" / "derived_ic_resnet8_float.onnx"
    settings = QUICK | {"epochs": 25, "batch_size": 20, "learning_rate": 3e-3, "preprocess": "scale=1"}
    done = chipwise.train(path, make("colours", pictures, labels), folder=tmp_path, **settings)
    assert done.history[-1].val_accuracy > 0.6
    assert done.history[-1].train_loss < 1, "what a second softmax in the loss would keep above 1.46"
    assert load(str(tmp_path)).graph.graph[-1].op_type == "Softmax"  # type: ignore[union-attr]
