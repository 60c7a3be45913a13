"""What both makers of layer rows share: which operators are activations, and rows for any batch from two.

>>> one, two = (Layer("a", "Relu", ((n, 3),), ((n, 3),), flops=3 * n) for n in (1, 2))
>>> at_batch((one,), (two,), 8)[0].flops
24
"""

from __future__ import annotations

from dataclasses import replace

from chipwise.core.layer import Layer, Shape


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Functions of one element (or row) that follow a layer; shown on the line of the layer that feeds them.
ACTIVATIONS = _names(
    "Celu Clip Elu Gelu HardSigmoid HardSwish LeakyRelu LogSoftmax Mish PRelu Relu Selu Sigmoid Softmax "
    "Softplus Softsign Swish Tanh ThresholdedRelu"
)


def at_batch(one: tuple[Layer, ...], two: tuple[Layer, ...], batch: int) -> tuple[Layer, ...]:
    """Rows for any batch from those for batch 1 and 2: every number in a row is linear in the batch."""
    return tuple(_line(first, second, batch - 1) for first, second in zip(one, two, strict=True))


def alike(one: tuple[Layer, ...], two: tuple[Layer, ...]) -> bool:
    """Whether two tables have the same layers, with shapes of as many axes."""

    def outline(rows: tuple[Layer, ...]) -> list[tuple[str, list[int]]]:
        return [(row.name, [len(shape) for shape in (*row.inputs, *row.outputs)]) for row in rows]

    return outline(one) == outline(two)


def _line(one: Layer, two: Layer, steps: int) -> Layer:
    def extend(first: int, second: int) -> int:
        return first + (second - first) * steps

    def shapes(first: tuple[Shape, ...], second: tuple[Shape, ...]) -> tuple[Shape, ...]:
        return tuple(tuple(map(extend, a, b)) for a, b in zip(first, second, strict=True))

    saved = None if one.saved_bytes is None or two.saved_bytes is None else extend(one.saved_bytes, two.saved_bytes)
    return replace(
        one,
        inputs=shapes(one.inputs, two.inputs),
        outputs=shapes(one.outputs, two.outputs),
        flops=extend(one.flops, two.flops),
        read_bytes=extend(one.read_bytes, two.read_bytes),
        write_bytes=extend(one.write_bytes, two.write_bytes),
        saved_bytes=saved,
    )
