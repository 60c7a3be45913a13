"""What a network is for: guessed from its shapes, or as the user says it.

>>> from chipwise.core.network import TensorSpec
>>> told(Task(), (TensorSpec("x", ("N", 1, 28, 28)),), (), preprocess="fit=stretch").preprocess.fit
'stretch'
"""

from __future__ import annotations

import csv
import difflib
from dataclasses import replace
from typing import TYPE_CHECKING

from chipwise.codec.files import read_bounded
from chipwise.core.errors import DataError, InputError, unknown_name
from chipwise.core.network import Network, TensorSpec
from chipwise.core.task import Preprocess, Task
from chipwise.tasks import class_names
from chipwise.tasks.agreement import check_labels, check_task
from chipwise.tasks.guess import guess_rendering
from chipwise.tasks.preprocess import default_preprocess, free_sides, parse_preprocess, side_axes
from chipwise.tasks.task_text import parse_task, with_limits

if TYPE_CHECKING:
    from pathlib import Path

Specs = tuple[TensorSpec, ...]

_LABELS_LIMIT_BYTES = 10_000_000  # the longest list in use, ImageNet-22k, has 0.6 MB
_MOST_LABELS = 1_000_000
_NAME_COLUMNS = ("name", "label", "class_name", "class")
_INDEX_COLUMNS = ("class_index", "index", "id")
_KNOWN = {
    "coco-80": class_names.COCO_80,
    "voc-20": class_names.VOC_20,
    "voc-21": class_names.VOC_21,
    "cifar-10": class_names.CIFAR_10,
}


def described(
    network: Network, *, preprocess: str | None = None, task: str | None = None, labels: Path | None = None
) -> Network:
    """Put what the user said about a network's task in the place of what was guessed; None leaves a part alone.

    Args:
        network: any.
        preprocess: as `chipwise.tasks.preprocess.parse_preprocess` reads it.
        task: as `chipwise.tasks.task_text.parse_task` reads it.
        labels: as `read_labels` reads it.

    Raises:
        InputError: when one of them cannot be read or does not suit the network.
        DataError: when the labels cannot be read.
    """
    said = told(network.task, network.inputs, network.outputs, preprocess=preprocess, task=task, labels=labels)
    return network if said is network.task else replace(network, task=said)


def told(
    before: Task,
    inputs: Specs,
    outputs: Specs,
    *,
    preprocess: str | None = None,
    task: str | None = None,
    labels: Path | None = None,
    threshold: float | None = None,
    overlap: float | None = None,
) -> Task:
    """A task with what the user said in the place of what was guessed or stored; None leaves a part alone.

    Args:
        before: what was guessed or stored.
        inputs: of the network.
        outputs: likewise.
        preprocess: as `described`.
        task: likewise.
        labels: likewise.
        threshold: of a detector, 0..1.
        overlap: of a detector, 0..1.

    Raises:
        InputError, DataError: as `described`.
    """
    said = before
    if preprocess is not None:
        said = replace(said, preprocess=_changed(said, preprocess, inputs))
        if said.rendering is not None and said.rendering == guess_rendering(before.preprocess, outputs):
            said = replace(said, rendering=guess_rendering(said.preprocess, outputs))
    if task is not None:
        said = parse_task(task, said, inputs, outputs)
        check_task(said, outputs)
    if labels is not None:
        said = replace(said, labels=read_labels(labels))
        check_labels(
            said, outputs, known=said.labels is _KNOWN.get(str(labels)), partly=labels.suffix.lower() == ".csv"
        )
    return with_limits(said, threshold, overlap)


def label_names() -> tuple[str, ...]:
    """Lists of class names that are known without a file."""
    return tuple(_KNOWN)


def read_labels(path: Path) -> tuple[str, ...]:
    """Read class names in the order of the network's outputs.

    Args:
        path: one name a line; or .csv with a heading, of which the column "name" (or "label", "class_name", "class") is
            taken, in the order of "class_index" ("index", "id") where there is one. "coco-80", "voc-20", "voc-21" and
            "cifar-10" are known without a file.

    Raises:
        DataError: when it cannot be read, is no text, or has no names.
        UnknownNameError: when it is nearly the name of a list, and no file.
    """
    name = str(path)
    if not path.exists() and (name in _KNOWN or difflib.get_close_matches(name.lower(), _KNOWN)):
        if name not in _KNOWN:
            raise unknown_name("list of labels", name, _KNOWN)
        return _KNOWN[name]
    try:
        lines = read_bounded(path, _LABELS_LIMIT_BYTES, "labels", DataError).decode().splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text in UTF-8", hint="one class name a line") from error
    names = _column(path, lines) if path.suffix.lower() == ".csv" else tuple(line.strip() for line in lines)
    while names and not names[-1]:
        names = names[:-1]
    if not names:
        raise DataError(f"{path} holds no class names", hint="one name a line")
    return names


def _column(path: Path, lines: list[str]) -> tuple[str, ...]:
    """Names from a table with a heading; a class that it leaves out has the empty name."""
    try:
        rows = list(csv.reader(lines, strict=True))
    except csv.Error as error:
        raise DataError(f"{path} is no table: {error}", hint="or write one name a line into a .txt file") from error
    heading = [cell.strip().lower() for cell in rows[0]] if rows else []
    name = next((heading.index(key) for key in _NAME_COLUMNS if key in heading), None)
    if name is None:
        hint = f"the heading names a column {' or '.join(_NAME_COLUMNS)}; or write one name a line into a .txt file"
        raise DataError(f"{path} has no column of names; its heading is {', '.join(heading) or 'empty'}", hint=hint)
    index = next((heading.index(key) for key in _INDEX_COLUMNS if key in heading), None)
    names: dict[int, str] = {}
    for number, row in enumerate(row for row in rows[1:] if row):
        if len(row) != len(heading):
            raise DataError(f"{path}: row {number + 2} has {len(row)} cells, the heading {len(heading)}")
        place = number if index is None else _place(path, row[index])
        names[place] = row[name].strip()
    return tuple(names.get(place, "") for place in range(max(names, default=-1) + 1))


def _place(path: Path, text: str) -> int:
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) < 10 and int(digits) < _MOST_LABELS):
        raise DataError(f"{path}: {text!r} is no number of a class", hint=f"whole numbers below {_MOST_LABELS:,}")
    return int(digits)


def _changed(task: Task, text: str, inputs: Specs) -> Preprocess:
    start = task.preprocess or (_start(inputs[0]) if len(inputs) == 1 else None)
    if start is None:
        shapes = ", ".join(f"{spec.name} {list(spec.shape)}" for spec in inputs)
        raise InputError(f"preprocessing {text!r} needs a network that takes one picture; this one takes {shapes}")
    changed = parse_preprocess(text, start)
    free = free_sides(inputs[0])
    said = [(changed.height, start.height), (changed.width, start.width)]
    if any(not free[side] and now != before for side, (now, before) in enumerate(said)):
        wanted = (" x " if any(free) else "x").join(
            "any" if free[side] else str(before) for side, (_, before) in enumerate(said)
        )
        hint = f"write size=HxW with {wanted}" if any(free) else "leave size out"
        raise InputError(f"the network takes {wanted} only; received {changed.height}x{changed.width}", hint=hint)
    if not changed.height or not changed.width:
        raise InputError(f"{inputs[0].name} takes pictures of any size", hint="say which: --preprocess size=HxW,...")
    return changed


def _start(spec: TensorSpec) -> Preprocess | None:
    """Preprocessing of an input whose height and width may be free: they are 0 until they are said."""
    free = free_sides(spec)
    if not any(free):
        return default_preprocess(spec)
    axes = side_axes(spec)
    sides = tuple(1 if axis in axes and isinstance(dim, str) else dim for axis, dim in enumerate(spec.shape))
    start = default_preprocess(replace(spec, shape=sides))
    if start is None:
        return None
    return replace(start, height=0 if free[0] else start.height, width=0 if free[1] else start.width)
