"""What a network answers when its products are computed in a number format.

Every convolution and every product of matrices that the module calls is done here instead: both operands rounded to the
format, products added up by its accumulator, the sum rounded back. What is between (activations, pooling, sums of
branches) is computed in float32 and rounded when the next product reads it.

- Formats without a scale (fp32 to bf16, fixed point, posits, logarithms) take the network as it is. The bias is a value
  of the format too, and is added in the accumulator; every result is rounded to the format, the scores included.
- Formats with a scale (int8, int4, fp8, fp6, fp4) have one for each output channel of the weights, and one for the
  inputs of each layer, from the largest magnitude seen in calibration. Results stay as they are in the accumulator,
  times both scales, plus the bias, until the next layer rounds its inputs: one rounding, as where layers are
  requantized.
- Blocks that share a scale (MX) lie along the sum.

An activation that is not finite makes sums that are not numbers, as in float32, also where a format has neither
infinity nor NaN: hardware may go on with any number there, so that sample has no class.

>>> from chipwise.compression.number_formats import number_formats
>>> layer, inputs = torch.nn.Linear(2, 2), np.eye(2, dtype=np.float32)
>>> names = layer_names(layer)
>>> largest = calibrated(layer, inputs, names)
>>> answers = evaluate(layer, inputs, number_formats()["posit-8-1"], names, largest=largest)
>>> answers.predicted.shape, [each.layer for each in answers.layers]
((2,), ['linear 1'])
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from chipwise.compression.arithmetic import Encoded, encode, multiply
from chipwise.core.errors import InputError
from chipwise.core.events import Progress, silent
from chipwise.core.format_report import LayerRounding, Rounded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from chipwise.compression.number_formats import NumberFormat

    Doubles = NDArray[np.float64]

_PRODUCTS = (
    torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__, torch.mm, torch.Tensor.mm, torch.bmm, torch.Tensor.bmm,
)  # fmt: skip
# These multiply too. None of them may run unnoticed in float32.
_REFUSED = (
    torch.conv1d, torch.conv3d, torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d,
    torch.convolution, torch.lstm, torch.gru, torch.rnn_relu, torch.rnn_tanh, torch.lstm_cell, torch.gru_cell,
    torch.rnn_relu_cell, torch.rnn_tanh_cell, torch.mv, torch.Tensor.mv, torch.dot, torch.Tensor.dot, torch.vdot,
    torch.inner, torch.Tensor.inner, torch.linalg.vecdot, torch.addmv, torch.Tensor.addmv, torch.addmm,
    torch.Tensor.addmm, torch.addbmm, torch.Tensor.addbmm, torch.baddbmm, torch.Tensor.baddbmm, torch.einsum,
    torch.tensordot, torch.chain_matmul, torch.linalg.multi_dot, torch.linalg.matmul, torch.Tensor.__rmatmul__,
    functional.bilinear, functional.scaled_dot_product_attention, functional.multi_head_attention_forward,
)  # fmt: skip
_BATCH = 50
_PARTS = ("weights", "inputs", "outputs")


@dataclass(frozen=True, slots=True)
class Answers:
    """The class given to each sample [N], -1 where the scores are not numbers; and what rounding met."""

    predicted: NDArray[np.int64]
    layers: tuple[LayerRounding, ...]


@dataclass(slots=True)
class _Layer:
    """A product of the module: its name, the largest input seen, its encoded weights by group, and counts."""

    name: str
    largest: float = 0.0
    weights: dict[int, Encoded] = field(default_factory=dict)
    counts: dict[str, list[int]] = field(default_factory=lambda: {key: [0, 0, 0] for key in _PARTS})

    def count(self, part: str, size: int, encoded: Encoded) -> None:
        """Add what was rounded."""
        for place, number in enumerate((size, encoded.saturated, encoded.tiny)):
            self.counts[part][place] += number


class _Rounding(TorchFunctionMode):
    """Computes products in a format; without one it looks at the largest inputs only."""

    def __init__(
        self,
        form: NumberFormat | None,
        layers: dict[int, _Layer],
        names: Mapping[int, str],
        largest: Mapping[int, float],
    ) -> None:
        super().__init__()
        self._form, self._layers, self._names, self._largest = form, layers, names, largest
        self.calls = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Do products here, and everything else as it is."""
        del types
        given = kwargs or {}
        if func in _REFUSED:
            name = getattr(func, "__name__", str(func))
            raise InputError(f"{name} has no arithmetic in other number formats", hint="networks of 2-D convolutions")
        if func not in (torch.conv2d, functional.linear, *_PRODUCTS):
            return func(*args, **given)
        layer = self._next(func, args)
        if self._form is None:
            layer.largest = max(layer.largest, _largest(args[0]))
            return func(*args, **given)
        if func is torch.conv2d:
            return _convolved(self._form, layer, *args, constant=self._constant(args), **given)
        if func is functional.linear:
            left, weight, bias = (*args, given.get("bias"))[:3]
            rows = left.reshape(-1, left.shape[-1])
            made = _product(
                self._form, layer, _read(self._form, layer, rows), weight.t(), bias, constant=self._constant(args)
            )
            return made.reshape(*left.shape[:-1], -1)
        return _batched(self._form, layer, *args, constant=self._constant(args))

    def _constant(self, args: tuple[Any, ...]) -> bool:
        """Whether the second operand is a parameter, which stays as it is."""
        return args[1].data_ptr() in self._names

    def _next(self, func: Callable[..., Any], args: tuple[Any, ...]) -> _Layer:
        self.calls += 1
        kind = "conv" if func is torch.conv2d else "linear" if func is functional.linear else "product"
        name = self._names.get(args[1].data_ptr(), "") or f"{kind} {self.calls}"
        return self._layers.setdefault(self.calls, _Layer(name, self._largest.get(self.calls, 0.0)))


def layer_names(module: nn.Module) -> dict[int, str]:
    """The layer that each weight belongs to, by the address of the weight; empty where its name says nothing."""
    found = {}
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        layer = name.rpartition(".")[0]
        found[tensor.data_ptr()] = "" if name.startswith("constant") else layer
    return found


def calibrated(
    module: nn.Module, inputs: NDArray[np.float32], names: Mapping[int, str], *, batch: int = _BATCH
) -> dict[int, float]:
    """Look for the largest finite magnitude that each product of a module reads; products are numbered from 1.

    Args:
        module: in evaluation mode.
        inputs: [N, ...].
        names: of `layer_names`.
        batch: samples at once.

    Raises:
        InputError: the module multiplies by an operator that is not known here, or not at all.
    """
    layers: dict[int, _Layer] = {}
    scores_of(module, inputs, partial(_Rounding, None, layers, names, {}), batch=batch)
    if not layers:
        raise InputError("the network has no convolution and no product of matrices")
    return {call: layer.largest for call, layer in layers.items()}


def evaluate(
    module: nn.Module,
    inputs: NDArray[np.float32],
    form: NumberFormat,
    names: Mapping[int, str],
    *,
    largest: Mapping[int, float],
    batch: int = _BATCH,
    progress: Progress = silent,
) -> Answers:
    """Classify samples with a module whose products are computed in a format.

    Args:
        module: gives scores [N, classes]; in evaluation mode.
        inputs: [N, ...].
        form: the format.
        names: of `layer_names`.
        largest: of `calibrated`: what scales are taken from.
        batch: samples at once.
        progress: told of every batch.

    Raises:
        InputError: the module multiplies by an operator that is not known here, or by weights that are not finite.
    """
    layers: dict[int, _Layer] = {}
    mode = partial(_Rounding, form, layers, names, largest)
    predicted = classes(scores_of(module, inputs, mode, batch=batch, progress=progress, stage=form.title))
    return Answers(predicted, tuple(map(_layer_rounding, layers.values())))


def scores_of(
    module: nn.Module,
    inputs: NDArray[np.float32],
    mode: Callable[[], AbstractContextManager[object]] = nullcontext,
    *,
    batch: int = _BATCH,
    progress: Progress = silent,
    stage: str = "samples",
) -> NDArray[np.float32]:
    """Scores [N, classes] that a module gives, batch by batch, each in a context of its own.

    Args:
        module: in evaluation mode; of several results the first is taken.
        inputs: [N, ...], with one sample at least.
        mode: makes that context.
        batch: samples at once.
        progress: told before each batch.
        stage: what it is told.
    """
    parts = []
    with torch.inference_mode(), np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(inputs), batch):
            progress.update(stage, start / len(inputs))
            given = torch.from_numpy(np.ascontiguousarray(inputs[start : start + batch]))
            with mode():
                made = module(given)
            made = made[0] if isinstance(made, tuple) else made
            parts.append(np.asarray(made.reshape(len(given), -1).float().numpy()))
    return np.concatenate(parts)


def classes(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """The class with the largest score of each sample; -1 where scores are not numbers."""
    return np.where(np.isnan(scores).any(axis=1), -1, scores.argmax(axis=1))


def _convolved(  # noqa: PLR0917  as conv2d
    form: NumberFormat,
    layer: _Layer,
    data: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    constant: bool,
) -> Tensor:
    """Lay every window out as a row, and multiply; groups one after the other."""
    (stride, dilation), kernel = (map(_pair, (stride, dilation))), weight.shape[2:]
    if isinstance(padding, str):
        edges = [(size - 1) * step if padding == "same" else 0 for size, step in zip(kernel, dilation, strict=True)]
        data = functional.pad(data, [edges[1] // 2, edges[1] - edges[1] // 2, edges[0] // 2, edges[0] - edges[0] // 2])
        padding = 0
    padding = _pair(padding)
    sizes = [
        (size + 2 * edge - step * (taps - 1) - 1) // move + 1
        for size, edge, step, taps, move in zip(data.shape[2:], padding, dilation, kernel, stride, strict=True)
    ]
    weights = weight.reshape(groups, weight.shape[0] // groups, -1)
    made = []
    for group, part in enumerate(data.chunk(groups, dim=1)):
        inputs = None if form.block else _read(form, layer, part)  # each number once, before windows repeat it
        values = part.double() if inputs is None else torch.from_numpy(inputs.values)
        windows = functional.unfold(values, tuple(kernel), dilation, padding, stride)
        rows = windows.transpose(1, 2).reshape(-1, windows.shape[1])
        given = _read(form, layer, rows) if inputs is None else replace(inputs, values=rows.numpy())
        own = None if bias is None else bias.chunk(groups)[group]
        made.append(_product(form, layer, given, weights[group].t(), own, constant=constant, group=group))
    joined = torch.cat(made, dim=1).reshape(len(data), sizes[0], sizes[1], -1)
    return joined.permute(0, 3, 1, 2).contiguous()


def _batched(form: NumberFormat, layer: _Layer, left: Tensor, right: Tensor, *, constant: bool) -> Tensor:
    """Matrices in stacks, each pair by itself."""
    if right.dim() == 2:
        rows = _read(form, layer, left.reshape(-1, left.shape[-1]))
        made = _product(form, layer, rows, right, None, constant=constant)
        return made.reshape(*left.shape[:-1], -1)
    if left.dim() < 2 or right.dim() < 2:
        raise InputError("a product with a vector has no arithmetic in other number formats")
    shape = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    lefts = left.expand(*shape, *left.shape[-2:]).reshape(-1, *left.shape[-2:])
    rights = right.expand(*shape, *right.shape[-2:]).reshape(-1, *right.shape[-2:])
    pairs = [_pair_product(form, layer, one, other) for one, other in zip(lefts, rights, strict=True)]
    return torch.stack(pairs).reshape(*shape, left.shape[-2], right.shape[-1])


def _pair_product(form: NumberFormat, layer: _Layer, left: Tensor, right: Tensor) -> Tensor:
    """Multiply two activations; columns that are not finite have results that are not numbers, as rows have."""
    lost = ~right.isfinite().all(dim=0)
    if form.table.overflow == "infinity" or not lost.any():
        return _product(form, layer, _read(form, layer, left), right, None, constant=False)
    made = _product(form, layer, _read(form, layer, left), right.where(~lost, 0.0), None, constant=False)
    return made.where(~lost, torch.nan)


def _largest(data: Tensor) -> float:
    """The largest finite magnitude; 0 where there is none."""
    return float(data.abs().nan_to_num(0.0, 0.0, 0.0).max()) if data.numel() else 0.0


def _read(form: NumberFormat, layer: _Layer, data: Tensor) -> Encoded:
    """Round what a layer reads."""
    made = encode(data.double().numpy(), form, largest=layer.largest)
    layer.count("inputs", data.numel(), made)
    return made


def _product(
    form: NumberFormat,
    layer: _Layer,
    inputs: Encoded,
    right: Tensor,
    bias: Tensor | None,
    *,
    constant: bool,
    group: int = 0,
) -> Tensor:
    """Multiply what was read [M, K] by [K, N] in a format, and add the bias [N].

    Weights that do not change are rounded once, when the first batch meets them: those of each group of a convolution.
    """
    added = None if bias is None else bias.double().numpy()
    weights = layer.weights.get(group)
    if weights is None:
        columns = right.double().numpy()
        if form.unscaled and added is not None:
            columns = np.concatenate([columns, added[None]])
        weights = encode(columns, form, axis=0, block_axis=0)
        layer.count("weights", columns.size, weights)
        if constant:
            layer.weights[group] = weights
    if not form.unscaled:
        made = multiply(inputs, weights, form)
        return torch.from_numpy(made if added is None else made + added).float()
    if added is not None:  # one more product, of the bias with 1, which every such format has
        ones = np.ones((len(inputs.values), 1))
        inputs = replace(inputs, values=np.concatenate([inputs.values, ones], axis=1))
    sums = multiply(inputs, weights, form)
    result = encode(sums, form) if form.log is None else _back(sums, form)
    layer.count("outputs", sums.size, result)
    return torch.from_numpy(result.values).float()


def _back(sums: Doubles, form: NumberFormat) -> Encoded:
    """Sums of logarithmic products take the way back that the hardware has."""
    assert form.log is not None
    made, size = form.log.from_linear(sums), np.abs(sums)
    saturated = int(np.count_nonzero(size > form.table.largest))
    return Encoded(made, np.ones(()), saturated, int(np.count_nonzero((size > 0) & (made == 0))))


def _layer_rounding(layer: _Layer) -> LayerRounding:
    weights, inputs, outputs = (Rounded(*layer.counts[part]) for part in _PARTS)
    return LayerRounding(layer.name, weights, inputs, outputs)


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)
