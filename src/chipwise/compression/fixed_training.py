"""Radix points from data, and training that knows of them.

Activations of the float network are looked at twice: once for the ranges, once for the squared error that each radix
point would make. Then every value goes through its rounding as the network runs; in training, rounding passes the
gradient through and cutting off stops it (Y. Bengio, N. Leonard and A. Courville, "Estimating or propagating gradients
through stochastic neurons", 2013, arXiv 1308.3432; Jacob and others, CVPR 2018, arXiv 1712.05877).

>>> rounds = Rounds((Fixed(8, True, 1),))
>>> rounds(torch.tensor([0.2, 0.8, 99.0])).tolist()
[0.0, 1.0, 63.5]
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.utils import parametrize

from chipwise.compression.fixed_point import Fixed, best_radix, sqnr_db, squared_error, tried_radices
from chipwise.compression.fixed_point import saturated as saturated_count
from chipwise.compression.qdq import Formats, fitting, whole_weights
from chipwise.core.errors import DataError
from chipwise.core.fixed_point import FixedTensor, Per

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from chipwise.compression.fixed_layout import Layout
    from chipwise.training.trainable import Trainable

_BATCH = 100


@dataclass(slots=True)
class Seen:
    """What was seen of a value.

    Attributes:
        low, high: least and largest; count: of numbers; power: sum of their squares.
        errors, cut: by radix, the sum of squared errors, and how many numbers were cut off.
    """

    low: float = 0.0
    high: float = 0.0
    count: int = 0
    power: float = 0.0
    errors: dict[int, float] = field(default_factory=dict)
    cut: dict[int, int] = field(default_factory=dict)


class Rounds(nn.Module):
    """Rounds a tensor to one format, or each channel of an axis to its own; the gradient passes."""

    steps: Tensor
    zeros: Tensor

    def __init__(self, forms: tuple[Fixed, ...], axis: int = 0, *, symmetric: bool = False) -> None:
        super().__init__()
        self.axis, self.single = axis, forms[0].step if len(forms) == 1 else 0.0
        low, high = forms[0].range
        self.low, self.high = -high if symmetric else low, high
        self.register_buffer("steps", torch.tensor([form.step for form in forms], dtype=torch.float32))
        self.register_buffer("zeros", torch.zeros(len(forms), dtype=torch.int32))

    def forward(self, values: Tensor) -> Tensor:
        """The rounded values, of the same shape."""
        if self.single:
            return torch.fake_quantize_per_tensor_affine(values, self.single, 0, self.low, self.high)
        return torch.fake_quantize_per_channel_affine(values, self.steps, self.zeros, self.axis, self.low, self.high)


def seen(made: Trainable, layout: Layout, inputs: Tensor, bits: int) -> tuple[dict[str, Seen], dict[str, Fixed]]:
    """Look at activations, and choose the radix point of each value.

    Args:
        made: the float network.
        layout: which values are rounded.
        inputs: calibration samples [N, ...].
        bits: of each value.

    Returns:
        what was seen, by value that is computed and not only moved; and the format of every value that is rounded.

    Raises:
        DataError: an activation is not finite.
    """
    groups = layout.sources()
    found = {name: Seen() for members in groups.values() for name in members}
    _run(made, inputs, {name: _ranges(name, each) for name, each in found.items()})
    tried: dict[str, tuple[bool, tuple[int, ...]]] = {}
    for source, members in groups.items():
        low, high = (fold(getattr(found[name], end) for name in members) for fold, end in ((min, "low"), (max, "high")))
        tried[source] = low < 0, tried_radices(low, high, bits, signed=low < 0)
    watched = {name: _errors(found[name], bits, *tried[source]) for source, names in groups.items() for name in names}
    _run(made, inputs, watched)
    formats = {}
    for source, members in groups.items():
        signed, radices = tried[source]
        whole = {radix: sum(found[name].errors[radix] for name in members) for radix in radices}
        empty = not any(found[name].power for name in members)
        formats[source] = Fixed(bits, signed, 0 if empty else min(radices, key=lambda radix: whole[radix]))
        for name in members if empty else ():
            found[name].errors[0], found[name].cut[0] = 0.0, 0
    return found, {name: formats[layout.source_of(name)] for name in layout.rounded}


def formats_of(
    layout: Layout, values: Mapping[str, Fixed], arrays: Mapping[str, NDArray[np.float32]], bits: int, per: Per
) -> Formats:
    """The formats of all tensors, once those of activations are known.

    Args:
        layout: which initializers are weights, constants and biases.
        values: of `seen`.
        arrays: initializers by name.
        bits: of weights and constants.
        per: one radix for all of a layer's weights, or one for each output channel.
    """
    constants = {}
    for name in layout.constants:
        signed = bool(arrays[name].min() < 0)
        constants[name] = Fixed(bits, signed, best_radix(arrays[name], bits, signed=signed))
    weights: dict[str, tuple[Fixed, ...]] = {}
    for layer in layout.layers:
        array = arrays[layer.name]
        if layer.name not in weights:
            parts = [array] if per == "tensor" else list(array.swapaxes(0, layer.axis))
            weights[layer.name] = tuple(Fixed(bits, True, best_radix(part, bits, signed=True)) for part in parts)
        bias = None if layer.bias is None else arrays[layer.bias]
        weights[layer.name] = fitting(weights[layer.name], bias, values[layer.reads].radix)
    return Formats({**values, **constants}, weights)


def round_in_place(made: Trainable, layout: Layout, formats: Formats) -> None:
    """Have a module round its activations and weights wherever the fixed-point network does."""
    inner = made.module.inner
    inner.through = {name: Rounds((formats.values[name],)) for name in layout.rounded}
    axes = {layer.name: layer.axis for layer in layout.layers}
    learned = [(name, formats.weights[name], axis) for name, axis in axes.items()]
    learned += [(name, (formats.values[name],), 0) for name in layout.constants]
    for name, forms, axis in learned:
        if name in inner.learned:
            symmetric = name in axes
            parametrize.register_parametrization(inner, made.place(name), Rounds(forms, axis, symmetric=symmetric))


def rows(
    layout: Layout, found: Mapping[str, Seen], formats: Formats, arrays: Mapping[str, NDArray[np.float32]]
) -> tuple[FixedTensor, ...]:
    """What the table says of each tensor: activations in the order they are computed, weights behind what they read."""
    by_node = {str(layer.node.outputs[0].name): layer for layer in layout.layers}
    made, told = [], set()
    for name in _in_order(layout):
        if name in by_node and by_node[name].name not in told:
            layer = by_node[name]
            told.add(layer.name)
            made.append(_weights_row(layer.name, arrays[layer.name], formats.weights[layer.name], layer.axis))
        if name in found:
            made.append(_seen_row(name, found[name], formats.values[name]))
    for name in layout.constants:
        form, array = formats.values[name], arrays[name]
        share = saturated_count(array, form) / max(array.size, 1)
        ratio = sqnr_db(float((array.astype("float64") ** 2).sum()), squared_error(array, form))
        low, high = float(array.min(initial=0)), float(array.max(initial=0))
        made.append(FixedTensor(name, "constants", low, high, form.bits, form.signed, (form.radix,), share, ratio))
    return tuple(made)


def _in_order(layout: Layout) -> list[str]:
    graph = layout.graph.graph
    return [str(each.name) for each in (*graph.inputs, *(node.outputs[0] for node in graph))]


def _seen_row(name: str, each: Seen, form: Fixed) -> FixedTensor:
    share = each.cut[form.radix] / max(each.count, 1)
    ratio = sqnr_db(each.power, each.errors[form.radix])
    return FixedTensor(name, "activations", each.low, each.high, form.bits, form.signed, (form.radix,), share, ratio)


def _weights_row(name: str, array: NDArray[np.float32], forms: tuple[Fixed, ...], axis: int) -> FixedTensor:
    parts = [array] if len(forms) == 1 else list(array.swapaxes(0, axis))
    wholes = [whole_weights(part, (form,), 0) for part, form in zip(parts, forms, strict=True)]
    error = sum(
        float(((whole * form.step - part) ** 2).sum()) for whole, form, part in zip(wholes, forms, parts, strict=True)
    )
    cut = sum(saturated_count(part, form) for part, form in zip(parts, forms, strict=True))
    power = float((array.astype("float64") ** 2).sum())
    radix = tuple(form.radix for form in forms)
    low, high = float(array.min(initial=0)), float(array.max(initial=0))
    share = cut / max(array.size, 1)
    return FixedTensor(name, "weights", low, high, forms[0].bits, True, radix, share, sqnr_db(power, error))


def _run(made: Trainable, inputs: Tensor, through: dict[str, Callable[[Tensor], Tensor]]) -> None:
    made.module.eval()
    made.module.inner.through = through
    try:
        with torch.inference_mode():
            for start in range(0, len(inputs), _BATCH):
                made.module(inputs[start : start + _BATCH])
    finally:
        made.module.inner.through = {}


def _ranges(name: str, found: Seen) -> Callable[[Tensor], Tensor]:
    def look(values: Tensor) -> Tensor:
        low, high = (float(each) for each in values.aminmax())
        if not (abs(low) < float("inf") and abs(high) < float("inf")):
            raise DataError(f"{name} is not finite on the calibration samples")
        found.low, found.high = (min(found.low, low), max(found.high, high)) if found.count else (low, high)
        found.count += values.numel()
        found.power += float(values.double().square().sum())
        return values

    return look


def _errors(found: Seen, bits: int, signed: bool, radices: tuple[int, ...]) -> Callable[[Tensor], Tensor]:
    def look(values: Tensor) -> Tensor:
        for radix in radices:
            form = Fixed(bits, signed, radix)
            low, high = form.range
            whole = (values * (1 / form.step)).round()
            kept = whole.clamp(low, high)
            found.cut[radix] = found.cut.get(radix, 0) + int((whole != kept).sum())
            error = float((kept * form.step - values).square().sum(dtype=torch.float64))
            found.errors[radix] = found.errors.get(radix, 0.0) + error
        return values

    return look
