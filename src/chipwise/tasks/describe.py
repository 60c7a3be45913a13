"""What a network is for: guessed from its shapes, or as the user says it.

>>> from chipwise.core.network import TensorSpec
>>> guess_task((TensorSpec("x", ("N", 1, 28, 28)),), (TensorSpec("y", ("N", 10)),)).kind
'classification'
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

from chipwise.core.errors import DataError, InputError, unknown_name
from chipwise.core.network import Network, TensorSpec
from chipwise.core.task import Kind, Preprocess, Task
from chipwise.tasks.preprocess import default_preprocess, parse_preprocess

_LABELS_LIMIT_BYTES = 10_000_000  # the longest list in use, ImageNet-22k, has 0.6 MB


def described(
    network: Network, *, preprocess: str | None = None, task: str | None = None, labels: Path | None = None
) -> Network:
    """Put what the user said about a network's task in the place of what was guessed; None leaves a part alone.

    Args:
        network: any.
        preprocess: as `chipwise.tasks.preprocess.parse_preprocess` reads it.
        task: a kind ("classification", "segmentation", "image", "sequence", "tensor").
        labels: as `read_labels` reads it.

    Raises:
        InputError: when one of them cannot be read or does not suit the network.
        DataError: when the labels cannot be read.
    """
    said = network.task
    if task is not None:
        if task not in get_args(Kind):
            raise unknown_name("task", task, get_args(Kind))
        said = replace(said, kind=task)  # type: ignore[arg-type]
    if labels is not None:
        said = replace(said, labels=read_labels(labels))
    if preprocess is not None:
        said = replace(said, preprocess=_changed(said, preprocess, network))
    return network if said is network.task else replace(network, task=said)


def read_labels(path: Path) -> tuple[str, ...]:
    """Read class names, one a line, in the order of the network's outputs.

    Raises:
        DataError: when it cannot be read, is no text, or has no names.
    """
    try:
        if path.stat().st_size > _LABELS_LIMIT_BYTES:
            raise DataError(f"{path} is too large for a list of class names", hint="one name a line")
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text in UTF-8", hint="one class name a line") from error
    except OSError as error:
        raise DataError(f"cannot read labels {path}: {error.strerror or error}") from error
    names = tuple(line.strip() for line in lines)
    while names and not names[-1]:
        names = names[:-1]
    if not names:
        raise DataError(f"{path} holds no class names", hint="one name a line")
    return names


def guess_task(inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Task:
    """Classification when the only output is [N, K], K >= 2; pictures when the input looks like one."""
    scores = len(outputs) == 1 and len(outputs[0].shape) == 2 and outputs[0].dtype not in ("bool", "int64", "str")
    last = outputs[0].shape[1] if scores else None
    echoes = len(inputs) == 1 and scores and inputs[0].shape[1:] == outputs[0].shape[1:]  # an autoencoder
    kind = isinstance(last, int) and last >= 2 and not echoes
    preprocess = default_preprocess(inputs[0]) if len(inputs) == 1 and inputs[0].dtype.startswith("float") else None
    return Task("classification" if kind else "tensor", preprocess=preprocess)


def _changed(task: Task, text: str, network: Network) -> Preprocess:
    inputs = network.inputs
    start = task.preprocess or (default_preprocess(inputs[0]) if len(inputs) == 1 else None)
    if start is None:
        shapes = ", ".join(f"{spec.name} {list(spec.shape)}" for spec in inputs)
        raise InputError(f"preprocessing {text!r} needs a network that takes one picture; this one takes {shapes}")
    return parse_preprocess(text, start)
