"""A data set meets a network."""

from __future__ import annotations

import numpy as np
import pytest

from chipwise import datasets
from chipwise.core.errors import DataError, MachineError
from chipwise.core.network import Network, Source, TensorSpec
from chipwise.core.task import Preprocess, Task
from chipwise.datasets import memory
from chipwise.datasets.dataset import make
from chipwise.datasets.feed import inputs_for
from chipwise.tasks.preprocess import prepare

GREY = Preprocess(height=28, width=28)


def network(*shape, labels=(), preprocess=None, outputs=None, inputs=1, kind="classification"):
    specs = tuple(TensorSpec(f"x{index}", ("batch", *shape)) for index in range(inputs))
    given = (TensorSpec("scores", ("batch", outputs)),) if outputs else ()
    task = Task(kind=kind, labels=labels, preprocess=preprocess)
    return Network("net", specs, given, task=task, source=Source("a:b"))


def arrays(*shape, classes=("a", "b", "c")):
    return make("toy", np.ones((6, *shape), np.float32), np.arange(6) % 3, classes)


def test_pictures_go_through_the_networks_preprocessing():
    data = datasets.load("digits")
    assert np.array_equal(inputs_for(data, network(1, 28, 28, preprocess=GREY)), prepare(data.inputs, GREY))


def test_arrays_go_in_as_they_are():
    data = arrays(5, 4)
    assert np.array_equal(inputs_for(data, network(5, 4)), data.inputs)
    assert inputs_for(data, network("time", 4)).shape == (6, 5, 4)


@pytest.mark.parametrize("shape", [(4, 5), (20,), (5, 4, 1), ()])
def test_shapes_that_do_not_fit_are_both_named(shape):
    wanted = " x ".join(map(str, shape)) or "a single number"
    with pytest.raises(DataError, match=f"arrays of 5 x 4, net takes {wanted}"):
        inputs_for(arrays(5, 4), network(*shape))


def test_pictures_need_a_network_that_takes_them():
    with pytest.raises(DataError, match="pictures of 8 x 8 x 1, net takes 64"):
        inputs_for(datasets.load("digits"), network(64))
    with pytest.raises(DataError, match="pictures of 8 x 8 x 1, net takes 1 x 32 x 32"):
        inputs_for(datasets.load("digits"), network(1, 32, 32, preprocess=GREY))


def test_two_inputs_cannot_be_fed():
    with pytest.raises(DataError, match="x0, x1"):
        inputs_for(arrays(4), network(4, inputs=2))


def test_classes_must_be_as_many():
    with pytest.raises(DataError, match="toy has 3 classes, net has 2"):
        inputs_for(arrays(4), network(4, labels=("a", "b")))
    with pytest.raises(DataError, match="toy has 3 classes, net has 10"):
        inputs_for(arrays(4), network(4, outputs=10))
    assert len(inputs_for(arrays(4), network(4, outputs=3))) == 6
    assert len(inputs_for(arrays(4, classes=None), network(4, outputs=10))) == 6
    assert len(inputs_for(arrays(4), network(4, outputs=10, kind="tensor"))) == 6


def test_the_same_classes_in_another_order_are_refused():
    with pytest.raises(DataError, match="class 1 is 'b' in toy, 'c' in net"):
        inputs_for(arrays(4), network(4, labels=("a", "c", "b")))


def test_inputs_beyond_the_memory_are_refused(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 10**6)
    with pytest.raises(MachineError, match="digits as input of net"):
        inputs_for(datasets.load("digits"), network(1, 28, 28, preprocess=GREY))


def test_whole_number_inputs_get_pixels_in_their_own_type() -> None:
    data = datasets.load("digits").split().test
    task = Task(preprocess=Preprocess(height=8, width=8, scale=1.0, mean=(128.0,)))
    net = Network("net", (TensorSpec("x", ("batch", 1, 8, 8), "int8"),), task=task, source=Source("a:b"))
    inputs = inputs_for(data, net)
    assert inputs.dtype == np.int8
    assert np.array_equal(inputs[:, 0].astype(int) + 128, data.inputs[..., 0])


def test_numbers_are_not_bent_into_another_type() -> None:
    net = Network("net", (TensorSpec("x", ("batch", 2), "int8"),), source=Source("a:b"))
    halves = make("toy", np.full((6, 2), 0.5, np.float32), np.arange(6) % 3, ("a", "b", "c"))
    with pytest.raises(DataError, match="do not fit int8"):
        inputs_for(halves, net)
