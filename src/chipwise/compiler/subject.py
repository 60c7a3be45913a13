"""What is being compiled: the source graph, the optimized one, a sample with the oracle's answer, and guard data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from chipwise import runtimes
from chipwise.compiler.graphs import Graphs, serialized
from chipwise.compiler.oracle import reference_outputs
from chipwise.compiler.parts import build_default
from chipwise.compiler.pixels import check_pictures, for_source, takes_pixels, taking_pixels
from chipwise.core.errors import InputError
from chipwise.core.layer import Layer, totals
from chipwise.datasets.feed import inputs_for
from chipwise.runtimes.batches import batches

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chipwise.core.device import Machine
    from chipwise.core.network import Network, TensorSpec
    from chipwise.core.task import Preprocess, Stream, Task
    from chipwise.datasets.dataset import Dataset

CALIBRATION_COUNT = 300
_TUNING_COUNT = 1000
_LANES, _FEWEST_LANES = {"avx512": 16, "avx2": 8}, 4
_EVALUATION_BATCH = 64


@dataclass(frozen=True, slots=True)
class Judged:
    """Samples with true classes, [N, ...] and [N], and where the source network answers right, [N]."""

    inputs: NDArray[np.generic]
    labels: NDArray[np.int64]
    source_right: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class GuardData:
    """Samples that decide whether a lossy candidate may ship, apart from those that calibrate it.

    Attributes:
        name: of the data set; digest: of which samples calibrate and which guard.
        calibration: [C, B, ...] calls' worth of inputs from the training split; B is 1 unless the graph fixes it.
        tuning: other samples of the training split, by which layers are chosen that stay in float.
        held_out: the validation split, which decides.
    """

    name: str
    digest: str
    calibration: NDArray[np.generic]
    tuning: Judged
    held_out: Judged


@dataclass(frozen=True, slots=True)
class Subject:
    """Everything about the network that candidates are made of and judged by.

    Attributes:
        network: with its graph, as candidates run it.
        source: serialized ONNX as it was given; graphs: the network after the passes, in every variant.
        sample: one array per input, batch 1 or what the graph fixes; source_sample: the same as the source takes it.
        expected: the oracle's outputs of the source for it.
        layers: rows of the layer table for one item; flops: their sum.
        guard: None without data.
        source_preprocess: what the source wants done to pictures that `network` takes as uint8; None where it takes
            what `network` takes.
    """

    network: Network
    source: bytes
    graphs: Graphs
    sample: tuple[NDArray[Any], ...]
    source_sample: tuple[NDArray[Any], ...]
    expected: tuple[NDArray[Any], ...]
    layers: tuple[Layer, ...]
    flops: int
    guard: GuardData | None = field(default=None)
    source_preprocess: Preprocess | None = None

    @property
    def dynamic_batch(self) -> bool:
        """True when every input takes any batch size."""
        return all(spec.dynamic_batch for spec in self.network.inputs)


def make_subject(
    network: Network,
    source: bytes,
    layers: tuple[Layer, ...],
    data: Dataset | None,
    *,
    seed: int,
    machine: Machine,
    uint8: bool = False,
) -> Subject:
    """Optimize the graph, take a sample, ask the oracle, and set guard data aside.

    Args:
        network: with its graph.
        source: the same graph serialized.
        layers: rows for one item.
        data: labelled samples; None compiles without a guard, which excludes everything lossy.
        seed: of the calibration samples, and of the sample where there is no data.
        machine: whose vectors decide which widths are left.
        uint8: candidates take pictures as uint8, in the place of what the network's preprocessing makes of them.

    Raises:
        NetworkError: when `uint8` is asked of a network that takes no pictures.
        DataError: when the data does not fit the network.
        RuntimeUnavailableError: when neither the reference evaluator nor ONNX Runtime can run the graph.
    """
    assert network.graph is not None, "compile needs a graph; export the source first"
    width = width_step(machine.isa)
    if uint8 and not takes_pixels(network):
        taken, said = taking_pixels(network)
        assert taken.graph is not None, "it is the network's"
        seen, graphs = network.task.preprocess, Graphs(taken.graph, serialized(taken.graph), width, (said,))
    else:
        taken, seen, graphs = network, None, Graphs(network.graph, source, width)
    guard = _guard_data(taken, source, data, seed, seen) if data is not None else None
    if guard is not None:
        sample: tuple[NDArray[Any], ...] = (guard.calibration[0],)
    elif seen is not None:
        sample = (np.random.default_rng(seed).integers(0, 256, taken.inputs[0].concrete(), np.uint8),)
    else:
        sample = random_inputs(taken.inputs, seed, stream=taken.task.stream)
    given = for_source(sample, taken.task.preprocess, seen, network.inputs[0].dtype if network.inputs else "")
    flops = totals(layers).flops
    return Subject(
        network=taken,
        source=source,
        graphs=graphs,
        sample=sample,
        source_sample=given,
        expected=tuple(reference_outputs(source, given, flops)),
        layers=layers,
        flops=flops,
        guard=guard,
        source_preprocess=seen,
    )


def width_step(isa: tuple[str, ...]) -> int:
    """Channels that a vector of float32 holds: kernels work on so many at once, and others cost as much or more."""
    wide = next((lanes for flag, lanes in _LANES.items() if any(each.startswith(flag) for each in isa)), None)
    return wide or _FEWEST_LANES


def random_inputs(
    specs: tuple[TensorSpec, ...], seed: int, batch: int = 1, stream: Stream | None = None
) -> tuple[NDArray[Any], ...]:
    """Seeded inputs where there is no data: uniform 0..1 for floats, 0 or 1 for integers and booleans.

    A network that is fed a stream gets one piece, states of zero and its constants.
    """
    rng = np.random.default_rng(seed)
    arrays = []
    for spec in specs:
        dtype, shape = np.dtype(spec.dtype), spec.concrete(batch)
        if stream is not None and spec.name in {name for name, _ in stream.states} | set(stream.constants):
            arrays.append(np.full(shape, stream.constants.get(spec.name, 0.0), dtype))
            continue
        if stream is not None:
            piece = stream.context + stream.step
            shape = tuple(dim if isinstance(dim, int) else piece if axis else 1 for axis, dim in enumerate(spec.shape))
        floating = np.issubdtype(dtype, np.floating)
        arrays.append((rng.random(shape) if floating else rng.integers(0, 2, shape)).astype(dtype))
    return tuple(arrays)


def predicted_classes(engine: runtimes.Engine, inputs: NDArray[Any]) -> NDArray[np.int64]:
    """Classes that an engine answers, [N]."""
    classes: NDArray[np.int64] = class_scores(engine, inputs).argmax(axis=1)
    return classes


def class_scores(engine: runtimes.Engine, inputs: NDArray[Any]) -> NDArray[Any]:
    """Scores per class, [N, K]; batched as far as the graph allows, a fixed batch filled up with the last row."""
    answers = []
    for fed, count in batches(engine.inputs[0], inputs, _EVALUATION_BATCH):
        answers.append(engine.run([fed])[0][:count].reshape(count, -1))
    return np.concatenate(answers)


def require_classes(task: Task, name: str, *, hint: str = "") -> None:
    """Refuse to count right answers of a network that does not answer with classes.

    Args:
        task: what it is for.
        name: what it is called.
        hint: what to do instead, if there is something.

    Raises:
        InputError: when it is for something else.
    """
    if task.kind != "classification":
        raise InputError(f"{name} is for {task.kind}; accuracy is counted for classification only", hint=hint)


def _guard_data(network: Network, source: bytes, data: Dataset, seed: int, seen: Preprocess | None) -> GuardData:
    """Samples as the network takes them, judged by the source, which takes what `seen` makes of them."""
    hint = "compile without --data: only plans that equal the source up to rounding are considered then"
    require_classes(network.task, network.name, hint=hint)
    if seen is not None:
        check_pictures(data)
    splits = data.split()  # the one that training uses whatever its seed: no sample may be in its training part
    batch = network.inputs[0].concrete()[0]
    calls = max(min(CALIBRATION_COUNT, len(splits.train)) // batch, 1)
    order = np.random.default_rng(seed).permutation(len(splits.train))
    rows = np.resize(order, (calls, batch))
    others = order[calls * batch :][:_TUNING_COUNT]
    training = inputs_for(splits.train, network)
    baseline = build_default("onnxruntime", source)

    def judged(inputs: NDArray[np.generic], labels: NDArray[np.int64]) -> Judged:
        if not len(labels):
            return Judged(inputs, labels, labels == 0)
        (given,) = for_source([inputs], network.task.preprocess, seen, baseline.inputs[0].dtype)
        return Judged(inputs, labels, predicted_classes(baseline, given) == labels)

    return GuardData(
        name=data.name,
        digest=splits.train.digest + splits.validation.digest,
        calibration=training[rows],
        tuning=judged(training[others], splits.train.labels[others]),
        held_out=judged(inputs_for(splits.validation, network), splits.validation.labels),
    )
