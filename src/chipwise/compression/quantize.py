"""Turn a trained network into fixed point: radix points from data, fine-tuning where it is needed, QDQ ONNX, and proof.

    made = quantize(network, data, Path("net.onnx"), Wanted(bits=8))

Radix points are chosen on the training split alone. Whether to fine-tune, and which epoch's weights to keep, is decided
on the validation split; the test split is used once, at the end. What counts as the network's answers are those of ONNX
Runtime on the written file, which the integer reference is compared with.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from chipwise import runtimes
from chipwise.codec.files import atomic_write, check_writable
from chipwise.compression.finetune import Lecture, finetune
from chipwise.compression.fixed_layout import lay_out
from chipwise.compression.fixed_training import formats_of, round_in_place, rows, seen
from chipwise.compression.integer_reference import integer_answers
from chipwise.compression.qdq import Formats, written
from chipwise.core.events import Part, Progress, silent
from chipwise.core.fixed_point import IntegerAgreement, Per, Quantization
from chipwise.networks.onnx_file import from_model, serialize
from chipwise.optimize.pipeline import names_kept
from chipwise.optimize.rewrite import constant
from chipwise.runtimes.batches import batches
from chipwise.tasks.metrics import paired_drop
from chipwise.training.evaluate import evaluate
from chipwise.training.feed import Feed, check_fits, check_task, feed_of, layout_of
from chipwise.training.process import memory_kept, threads
from chipwise.training.seeds import seeded
from chipwise.training.settings import Settings, resolve
from chipwise.training.teacher import Teacher
from chipwise.training.trainable import simplified, trainable

if TYPE_CHECKING:
    from pathlib import Path

    import onnx_ir as ir
    from numpy.typing import NDArray

    from chipwise.compression.fixed_layout import Layout
    from chipwise.core.measure import PairedDrop
    from chipwise.core.network import Network
    from chipwise.datasets.dataset import Dataset
    from chipwise.training.trainable import Trainable

RUNTIME = "onnxruntime"
ENOUGH = 0.003  # a drop on the validation split up to which nothing is fine-tuned
_EPOCHS = 3
_BATCH = 100
_FLOAT32_WHOLE = 2**24  # up to here float32 holds every whole number


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for.

    Attributes:
        bits: 8 or 16, of weights and activations.
        per: what has a radix point of its own in weights.
        epochs: of fine-tuning; None for three where the drop on the validation split is more than 0.3 points.
        calibrating: samples of the training split to choose radix points on, at most.
        comparing: samples to compare the integer reference on, at most.
        settings: of fine-tuning.
        teacher_share: of the float network's answers in what is learned.
    """

    bits: int = 8
    per: Per = "channel"
    epochs: int | None = None
    calibrating: int = 500
    comparing: int = 200
    settings: Settings = field(default_factory=Settings)
    teacher_share: float = 0.9


@dataclass(frozen=True, slots=True)
class _Made:
    """A fixed-point network, its file's bytes, and how it does on the validation split."""

    model: ir.Model
    file: bytes
    arrays: dict[str, NDArray[np.float32]]
    validation: PairedDrop


def quantize(
    network: Network, data: Dataset, output: Path, wanted: Wanted, *, progress: Progress = silent
) -> Quantization:
    """Turn a network into fixed point and write it.

    Args:
        network: trained, with its graph; for classification.
        data: labelled samples.
        output: the ONNX file.
        wanted: how.
        progress: told what is done.

    Raises:
        NetworkError: it has an operator without integer arithmetic, which is named, or is no classifier.
        DataError: the data do not fit. StorageError: the file cannot be written. GoalMissedError: training diverged.
    """
    started = time.monotonic()
    check_task(network)
    check_writable(output)
    assert network.graph is not None, "the caller exports it"
    splits = data.split(seed=wanted.settings.split_seed)
    settings = resolve(wanted.settings, samples=len(splits.train), pictures=data.pictures)
    layout = lay_out(simplified(network.graph), keep_sums=wanted.bits == 8)
    source = trainable(layout.graph)
    train, validation = (
        feed_of(part, network, what=what, channels_last=settings.channels_last)
        for part, what in ((splits.train, "training"), (splits.validation, "validation"))
    )
    check_fits(source.module, train, splits.train.classes)
    work = _Work(network, layout, source, wanted, settings, validation)
    with threads(settings.threads), memory_kept():
        chosen = _some(train, wanted.calibrating, settings.seed)
        progress.update("quantize", 0.0, f"radix points on {len(chosen)} samples")
        found, values = seen(source, layout, chosen.inputs, wanted.bits)
        formats = formats_of(layout, values, work.arrays(source), wanted.bits, wanted.per)
        made, untuned, epochs, kept = plain, *_ = work.made(formats, source), None, 0, 0
        asked = wanted.epochs if wanted.epochs is not None else _EPOCHS * (plain.validation.drop > ENOUGH)
        if asked:
            layout_channels = layout_of(network)
            lecture = Lecture(train, validation, *layout_channels, _teacher(source, wanted))
            tuned, kept = work.tuned(formats, lecture, asked, Part(progress, "quantize", 0.2, 0.8))
            better = tuned.validation.drop < plain.validation.drop
            made, kept, untuned, epochs = tuned if better else plain, kept if better else 0, plain.validation, asked
        progress.update("quantize", 0.8, "integer reference")
        agreement = agree(work.named(made.model), validation.inputs[: wanted.comparing].numpy())
        test = feed_of(splits.test, network, what="test") if len(splits.test) else None
        after = None if test is None else work.paired(made.file, test)
    atomic_write(output, serialize(replace(network, graph=made.model, source=None), with_task=True))
    progress.update("quantize", 1.0)
    return Quantization(
        network=network.name,
        data=data.name,
        path=str(output),
        bits=wanted.bits,
        per=wanted.per,
        calibrated=len(chosen),
        tensors=rows(layout, found, formats, made.arrays),
        floating=layout.floating,
        epochs=epochs,
        kept=kept,
        untuned=untuned,
        validation=made.validation,
        test=after,
        agreement=agreement,
        seed=settings.seed,
        seconds=time.monotonic() - started,
    )


@dataclass(frozen=True, slots=True)
class _Work:
    """What all steps of one quantization use."""

    network: Network
    layout: Layout
    source: Trainable
    wanted: Wanted
    settings: Settings
    validation: Feed

    def arrays(self, made: Trainable) -> dict[str, NDArray[np.float32]]:
        """All initializers that are floats, those that learn as they are now."""
        held = {name: constant(value) for name, value in self.layout.graph.graph.initializers.items()}
        floats = {name: each for name, each in held.items() if each is not None and each.dtype == np.float32}
        return floats | made.values()

    def made(self, formats: Formats, weights: Trainable) -> _Made:
        """The fixed-point network of these weights."""
        arrays = self.arrays(weights)
        model = written(self.layout, formats, arrays)
        file = serialize(self.named(model))
        return _Made(model, file, arrays, self.paired(file, self.validation))

    def named(self, model: ir.Model) -> Network:
        """A network of a graph of this one."""
        return from_model(model, self.network.name, task=self.network.task)

    def paired(self, file: bytes, feed: Feed) -> PairedDrop:
        """The float network's answers against a file's in the runtime, sample by sample."""
        right = evaluate(self.source.module, feed.inputs, feed.labels).predicted == feed.labels
        scores = scores_in_runtime(file, feed.inputs.numpy())
        return paired_drop(right.numpy(), scores.argmax(axis=1) == feed.labels.numpy())

    def tuned(self, formats: Formats, lecture: Lecture, epochs: int, progress: Progress) -> tuple[_Made, int]:
        """Train with rounding in place; the network of the best epoch, and which it was."""
        student = trainable(self.layout.graph)
        round_in_place(student, self.layout, formats)
        settings = replace(self.settings, epochs=epochs)
        with seeded(settings.seed, "quantize"):
            tuned = finetune(student.module, lecture, settings, progress=progress)
        return self.made(formats, student), tuned.kept


def agree(network: Network, inputs: NDArray[np.float32], runtime: str = RUNTIME) -> IntegerAgreement:
    """Compare the integer reference with a runtime on the last whole numbers of a QDQ graph.

    Args:
        network: of the QDQ graph.
        inputs: [N, ...].
        runtime: its name.

    Raises:
        NetworkError: as `integer_answers`.
    """
    assert network.graph is not None
    compared = equal = largest = 0
    steps, engine = 0.0, None
    try:
        for batch, count in batches(network.inputs[0], inputs, _BATCH):
            answers = integer_answers(network.graph, batch)
            if engine is None:
                engine = _engine(_ending_in(network, tuple(answers.numbers)), runtime)
            for number, floats in zip(answers.numbers.values(), engine.run([batch]), strict=True):
                apart = np.abs(np.ldexp(floats.astype(np.float64), number.radix) - number.whole)[:count]
                compared, equal = compared + apart.size, equal + int(np.count_nonzero(apart == 0))
                steps = max(steps, float(apart.max(initial=0)))
            largest = answers.largest
    finally:
        if engine is not None:
            engine.close()
    return IntegerAgreement(
        runtime, len(inputs), compared, equal, steps, largest.bit_length() + 1, largest < _FLOAT32_WHOLE
    )


def scores_in_runtime(file: bytes, inputs: NDArray[np.float32]) -> NDArray[Any]:
    """The first output of a graph in ONNX Runtime.

    Args:
        file: the graph, serialized, with one input.
        inputs: [N, ...].
    """
    engine = _engine(file, RUNTIME)
    try:
        return np.concatenate(
            [engine.run([fed])[0][:count] for fed, count in batches(engine.inputs[0], inputs, _BATCH)]
        )
    finally:
        engine.close()


def _engine(file: bytes, runtime: str) -> runtimes.Engine:
    return runtimes.load(runtime).build(file, runtimes.EngineOptions(precision="int8"))


def _ending_in(network: Network, names: tuple[str, ...]) -> bytes:
    """The graph, serialized, with these values as its outputs."""
    assert network.graph is not None
    with names_kept(network.graph):
        copy = network.graph.clone()
        values = {str(output.name): output for node in copy.graph for output in node.outputs}
        copy.graph.outputs.clear()
        copy.graph.outputs.extend(values[name] for name in names)
        return serialize(replace(network, graph=copy))


def _some(feed: Feed, count: int, seed: int) -> Feed:
    """So many samples drawn from a split."""
    with seeded(seed, "calibration"):
        chosen = torch.randperm(len(feed))[:count]
    return Feed(feed.inputs[chosen], feed.labels[chosen])


def _teacher(source: Trainable, wanted: Wanted) -> Teacher | None:
    return Teacher(source.module.eval(), wanted.teacher_share) if wanted.teacher_share else None
