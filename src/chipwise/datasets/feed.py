"""A data set as the inputs of one network, checked so that shapes and classes fit.

>>> from chipwise.core.errors import DataError
>>> from chipwise.core.network import Network, Source, TensorSpec
>>> from chipwise.core.task import Preprocess, Task
>>> from chipwise.datasets import load
>>> task = Task(preprocess=Preprocess(height=28, width=28))
>>> net = Network("net", (TensorSpec("x", ("batch", 1, 28, 28)),), task=task, source=Source("a:b"))
>>> inputs_for(load("digits").split().test, net).shape
(360, 1, 28, 28)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chipwise.core.errors import DataError
from chipwise.datasets.memory import require_memory
from chipwise.tasks.preprocess import prepare

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chipwise.core.network import Network
    from chipwise.datasets.dataset import Dataset


def inputs_for(dataset: Dataset, network: Network) -> NDArray[Any]:
    """Make the network's input from every sample: pictures through its preprocessing, arrays as they are.

    Returns:
        [N, ...] with the network's input shape after the first dimension, in its element type.

    Raises:
        DataError: when the network has not exactly one input, pictures meet a network that takes none, the shapes do
            not fit, or the classes do not.
        MachineError: when the result does not fit into memory.
    """
    check_classes(dataset, network)
    if len(network.inputs) != 1:
        names = ", ".join(spec.name for spec in network.inputs)
        raise DataError(f"{network.name} has {len(network.inputs)} inputs ({names})", hint="data sets feed one")
    spec = network.inputs[0]
    preprocess = network.task.preprocess
    if not dataset.pictures:
        arrays = dataset.arrays
    elif preprocess is None:
        raise _misfit(dataset, network)
    else:
        size = preprocess.channels * preprocess.height * preprocess.width
        require_memory(
            len(dataset) * size * np.dtype(spec.dtype).itemsize, f"{dataset.name} as input of {network.name}"
        )
        arrays = prepare(np.asarray(dataset.arrays, np.uint8), preprocess, spec.dtype)
    fits = arrays.ndim == len(spec.shape) and all(
        not isinstance(wanted, int) or wanted == given
        for wanted, given in zip(spec.shape[1:], arrays.shape[1:], strict=True)
    )
    if not fits:
        raise _misfit(dataset, network)
    converted = np.asarray(arrays, np.dtype(spec.dtype))
    if converted.dtype.kind in "iu" and not np.array_equal(converted, arrays):
        raise DataError(f"{dataset.name} holds numbers that do not fit {spec.dtype}, which {network.name} takes")
    return converted


def check_classes(dataset: Dataset, network: Network) -> None:
    """Check that the classes of a data set are those of a classification network, as far as both are known.

    A data set whose classes are only numbered may have fewer than the network: some may not occur in it.

    Raises:
        DataError: when the numbers of classes differ, or the same names come in another order.
    """
    labels, known = network.task.labels, _outputs_of(network)
    if network.task.kind != "classification" or known is None:
        return
    if dataset.classes > known or (dataset.classes < known and not dataset.numbered):
        hint = "use data with the network's classes, or train the network on this data"
        raise DataError(f"{dataset.name} has {dataset.classes} classes, {network.name} has {known}", hint=hint)
    if labels and dataset.class_names != labels and set(dataset.class_names) == set(labels):
        place = next(
            index for index, pair in enumerate(zip(labels, dataset.class_names, strict=True)) if len({*pair}) > 1
        )
        message = (
            f"class {place} is {dataset.class_names[place]!r} in {dataset.name}, {labels[place]!r} in {network.name}"
        )
        raise DataError(message, hint="number the classes of the data in the network's order")


def _outputs_of(network: Network) -> int | None:
    """Number of classes the network tells apart; None when not known."""
    if network.task.labels:
        return len(network.task.labels)
    shape = network.outputs[0].shape if len(network.outputs) == 1 else ()
    return shape[1] if len(shape) == 2 and isinstance(shape[1], int) else None


def _misfit(dataset: Dataset, network: Network) -> DataError:
    given = " x ".join(str(size) for size in dataset.inputs.shape[1:])
    wanted = " x ".join(str(size) for size in network.inputs[0].shape[1:]) or "a single number"
    what = "pictures" if dataset.pictures else "arrays"
    hint = (
        "give preprocessing that makes this shape" if dataset.pictures else "give arrays of the network's input shape"
    )
    return DataError(
        f"{dataset.name} holds {what} of {given}, {network.name} takes {wanted} for each sample", hint=hint
    )
