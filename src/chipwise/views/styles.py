"""Layer tables as other tools print them, for readers who know those by heart: Keras's summary and Darknet's table.

>>> from chipwise.core.layer import Layer, totals
>>> from chipwise.core.report import Inspection
>>> rows = (Layer("fc", "Gemm", ((1, 4),), ((1, 2),), parameters=10),)
>>> print(keras_table(Inspection("tiny", "tiny", 1, (), (), rows, totals(rows))).splitlines()[-3])
Total params: 10
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chipwise.views.darknet_table import darknet_table
from chipwise.views.units import format_count, plain

if TYPE_CHECKING:
    from typing import Literal

    from chipwise.core.layer import Layer
    from chipwise.core.report import Inspection

_KERAS = {
    "Add": "Add",
    "AveragePool": "AveragePooling{}D",
    "Concat": "Concatenate",
    "Conv": "Conv{}D",
    "ConvTranspose": "Conv{}DTranspose",
    "Gather": "Embedding",
    "Gemm": "Dense",
    "GlobalAveragePool": "GlobalAveragePooling{}D",
    "GlobalMaxPool": "GlobalMaxPooling{}D",
    "MatMul": "Dense",
    "MaxPool": "MaxPooling{}D",
    "Mul": "Multiply",
    "Relu": "ReLU",
    "Reshape": "Reshape",
    "Resize": "UpSampling{}D",
    "Transpose": "Permute",
}


def styled(record: Inspection, style: Literal["keras", "darknet"]) -> str:
    """The table in another tool's style."""
    return keras_table(record) if style == "keras" else darknet_table(record)


def keras_table(record: Inspection) -> str:
    """The lines of `model.summary()`; running means and variances of batch-norms count as non-trainable."""
    lines = [
        (f"{plain(row.name)} ({_keras_type(row)})", _keras_shape(row), format_count(row.parameters + _fixed(row)))
        for row in record.layers
    ]
    head = ("Layer (type)", "Output Shape", "Param #")
    first, second = (max(len(line[column]) for line in [head, *lines]) + 3 for column in (0, 1))
    wide = max(65, first + second + 12)
    fixed = sum(map(_fixed, record.layers))
    body = [f" {name:<{first}}{shape:<{second}}{count}".rstrip() for name, shape, count in lines]
    return "\n".join(
        [
            f'Model: "{plain(record.name)}"',
            "_" * wide,
            f" {head[0]:<{first}}{head[1]:<{second}}{head[2]}",
            "=" * wide,
            *body,
            "=" * wide,
            f"Total params: {format_count(record.totals.parameters + fixed)}",
            f"Trainable params: {format_count(record.totals.parameters)}",
            f"Non-trainable params: {format_count(fixed)}",
        ]
    )


def _keras_type(row: Layer) -> str:
    axes = max(len(row.outputs[0]) - 2, 1) if row.outputs else 2
    if row.op == "Conv" and row.groups > 1 and row.inputs and row.groups == row.inputs[0][1]:
        return f"DepthwiseConv{axes}D"
    if row.op == "Reshape" and row.outputs and len(row.outputs[0]) == 2:
        return "Flatten"
    return _KERAS.get(row.op, row.op).format(axes)


def _keras_shape(row: Layer) -> str:
    return ", ".join(f"({', '.join(['None', *map(str, shape[1:])])})" for shape in row.outputs)


def _fixed(row: Layer) -> int:
    """A batch-norm keeps a mean and a variance for each channel, which training does not learn."""
    return 2 * row.outputs[0][1] if row.op == "BatchNormalization" and row.outputs and len(row.outputs[0]) > 1 else 0
