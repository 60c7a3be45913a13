"""Score a graph under number formats, sample by sample against the graph as it is.

Batch normalizations are folded into the layers around first, as every chip with such arithmetic has it; the graph then
runs in PyTorch, whose products `format_accuracy` takes over.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from chipwise.compression.format_accuracy import calibrated, classes, evaluate, layer_names, scores_of
from chipwise.core.errors import NetworkError
from chipwise.core.events import Part
from chipwise.core.format_report import FormatScore
from chipwise.networks.onnx_file import proto
from chipwise.optimize import fold_batch_norm
from chipwise.optimize.pipeline import names_kept
from chipwise.runtimes.onnx_to_torch import translate
from chipwise.runtimes.torch_values import UnsupportedError
from chipwise.tasks.metrics import accuracy, paired_drop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import nn

    from chipwise.compression.number_formats import NumberFormat
    from chipwise.core.events import Progress
    from chipwise.core.measure import Accuracy
    from chipwise.core.network import Network


def folded_module(network: Network) -> nn.Module:
    """A module that computes a network's graph with its batch normalizations folded.

    Args:
        network: with its graph, which is not changed.

    Raises:
        NetworkError: an operator has no translation to PyTorch.
    """
    assert network.graph is not None, "whoever calls this has exported it"
    with names_kept(network.graph):
        copy = network.graph.clone()
        fold_batch_norm.apply(copy)
        copy.graph.sort()
        model = proto(replace(network, graph=copy))
    try:
        return translate(model).eval()
    except UnsupportedError as error:
        raise NetworkError(str(error), hint="its number formats cannot be tried out") from error


def score_formats(
    module: nn.Module,
    inputs: NDArray[np.float32],
    labels: NDArray[np.int64],
    *,
    calibration: NDArray[np.float32],
    forms: Sequence[NumberFormat],
    progress: Progress,
) -> tuple[Accuracy, tuple[FormatScore, ...]]:
    """Classify the same samples as the module does, and under each format.

    Args:
        module: gives scores [N, classes].
        inputs: [N, ...]; labels: [N].
        labels: the right classes.
        calibration: inputs that scales are taken from, once for all formats.
        forms: formats to try.
        progress: told which format it is, and of every batch.

    Returns:
        the accuracy as it is, and one score a format.

    Raises:
        InputError: as `format_accuracy.calibrated` and `evaluate`.
    """
    right = classes(scores_of(module, inputs)) == labels
    names, scores = layer_names(module), []
    largest = calibrated(module, calibration, names)
    for place, form in enumerate(forms):
        part = Part(progress, "formats", place / len(forms), (place + 1) / len(forms))
        started = time.monotonic()
        answers = evaluate(module, inputs, form, names, largest=largest, progress=part)
        drop = paired_drop(right, answers.predicted == labels)
        seconds = time.monotonic() - started
        scores.append(FormatScore(form.name, form.title, drop.candidate, drop, answers.layers, seconds))
    progress.update("formats", 1.0)
    return accuracy(int(np.count_nonzero(right)), len(labels)), tuple(scores)
