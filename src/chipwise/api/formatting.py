"""Number formats: what each can hold and costs, which gates it takes, and what a network answers under it.

>>> [each.title for each in formats("posit-8-1", "int8").formats]
['int8', 'posit (8,1)']
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from chipwise.api.given import data_from, graph_told, need
from chipwise.api.notebook import drawn
from chipwise.api.pictures import check_picture
from chipwise.core.errors import DataError, InputError
from chipwise.core.events import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chipwise.api.given import DataLike, NetworkLike
    from chipwise.compression.number_formats import NumberFormat
    from chipwise.core.format_report import FormatLine, FormatReport

_CALIBRATING = 100
_PICTURES = (".svg", ".png")


@drawn
def formats(
    *only: str,
    gates: bool = False,
    network: NetworkLike | None = None,
    data: DataLike | None = None,
    samples: int = 200,
    picture: str | Path | None = None,
    weights: str | Path | None = None,
    preprocess: str | None = None,
    progress: Progress = silent,
) -> FormatReport:
    """Tell what number formats hold and cost, and what a trained network loses under each.

    Args:
        only: names of formats; all where none are given.
        gates: build adders and multipliers out of NAND gates, and count these: all of them, whatever `only` says.
        network: classify samples with a network under each format.
        data: those samples; the test part is used, and some of the training part calibrates scales.
        samples: of the test part, evenly spread over it.
        picture: an .svg or .png file to draw each format's values into.
        weights: a file of trained weights, for a network that does not hold its own.
        preprocess: how pictures become inputs, instead of what the network says.
        progress: told which format it is, and of every batch.

    Raises:
        UnknownNameError: no such format. InputError: a network without data, or the other way round, weights without a
            network, or a network whose products are not known.
        NetworkError, DataError: what was given cannot be used. MissingExtraError: torch is not installed.
    """
    from chipwise.compression.gates import circuits
    from chipwise.compression.number_formats import chosen
    from chipwise.core.format_report import FormatReport

    path = None if picture is None else check_picture(Path(picture), "value lines", _PICTURES)
    if (network is None) != (data is None):
        raise InputError("a network and labelled samples go together", hint="--network NET --data D")
    if network is None and (weights is not None or preprocess is not None):
        raise InputError("weights and preprocessing belong to a network", hint="--network NET --data D")
    if samples < 1:
        raise InputError(f"{samples} samples; at least 1 is wanted")
    forms = chosen(only)
    lines = tuple(map(_line, forms))
    if path is not None:
        _draw(path, forms, lines)
    report: dict[str, Any] = {"circuits": circuits() if gates else (), "picture": "" if path is None else str(path)}
    if network is not None and data is not None:
        report |= _scored(network, data, samples, forms, weights=weights, preprocess=preprocess, progress=progress)
    return FormatReport(lines, **report)


def format_names() -> list[str]:
    """Names of number formats, for completion."""
    from chipwise.core.format_report import FORMAT_NAMES

    return list(FORMAT_NAMES)


def _scored(
    network: NetworkLike,
    data: DataLike,
    samples: int,
    forms: Sequence[NumberFormat],
    *,
    weights: str | Path | None,
    preprocess: str | None,
    progress: Progress,
) -> dict[str, Any]:
    """Everything of the report that needs the network."""
    need("torch", extra="torch")
    import numpy as np

    from chipwise.compression.format_scores import folded_module, score_formats
    from chipwise.datasets.feed import inputs_for

    said = {"preprocess": preprocess, "task": None, "labels": None}
    graphed = graph_told(network, None, weights, None, said, progress=progress)
    if graphed.task.kind != "classification" or graphed.graph is None:
        raise InputError(f"{graphed.name} gives no classes, so there is no accuracy to lose")
    dataset = data_from(data)
    parts = dataset.split()
    if not len(parts.test) or not len(parts.train):
        raise DataError(f"{dataset.name} has no samples to calibrate by and to judge by")
    test, train = (
        part.take(np.unique(np.linspace(0, len(part) - 1, min(count, len(part))).astype(np.int64)))
        for part, count in ((parts.test, samples), (parts.train, _CALIBRATING))
    )
    inputs = [np.asarray(inputs_for(part, graphed), np.float32) for part in (test, train)]
    source, scores = score_formats(
        folded_module(graphed),
        inputs[0],
        np.asarray(test.labels),
        calibration=inputs[1],
        forms=forms,
        progress=progress,
    )
    return {"network": graphed.name, "data": dataset.name, "source": source, "scores": scores}


def _line(form: NumberFormat) -> FormatLine:
    from chipwise.compression.published_costs import cost_of
    from chipwise.core.format_report import FormatLine

    table = form.table
    return FormatLine(
        form.name,
        form.title,
        form.family,
        form.bits,
        table.largest,
        table.smallest,
        table.accuracy,
        table.decades,
        form.accumulator,
        form.scaling,
        cost_of(form.name),
    )


def _draw(path: Path, forms: Sequence[NumberFormat], lines: Sequence[FormatLine]) -> None:
    from chipwise.codec.files import atomic_write
    from chipwise.views.value_lines import value_lines

    values = {form.name: form.table.values[form.table.values > 0] for form in forms}
    atomic_write(path, value_lines(lines, values, path.suffix.lower()))
