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

>>> from chipwise.compression.number_formats import number_formats
>>> layer = torch.nn.Linear(2, 2)
>>> answers = evaluate(layer, np.eye(2, dtype=np.float32), number_formats()["posit-8-1"], layer_names(layer))
>>> answers.predicted.shape, [each.layer for each in answers.layers]
((2,), ['linear 1'])
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from chipwise.compression.arithmetic import Encoded, encode, multiply
from chipwise.core.errors import InputError
from chipwise.core.format_report import LayerRounding, Rounded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from chipwise.compression.number_formats import NumberFormat

    Doubles = NDArray[np.float64]

_PRODUCTS = (torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__, torch.mm, torch.Tensor.mm, torch.bmm)
# These multiply too. None of them may run unnoticed in float32.
_REFUSED = (
    torch.conv1d, torch.conv3d, torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d, torch.lstm,
    torch.gru, torch.einsum, torch.addmm, torch.baddbmm, functional.scaled_dot_product_attention, functional.bilinear,
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
    """A product of the module: its name, the largest input seen, its weights once they are encoded, and counts."""

    name: str
    largest: float = 0.0
    weights: Encoded | None = None
    counts: dict[str, list[int]] = field(default_factory=lambda: {key: [0, 0, 0] for key in _PARTS})

    def count(self, part: str, size: int, encoded: Encoded) -> None:
        """Add what was rounded."""
        for place, number in enumerate((size, encoded.saturated, encoded.tiny)):
            self.counts[part][place] += number


class _Rounding(TorchFunctionMode):
    """Computes products in a format; without one it looks at the largest inputs only."""

    def __init__(self, form: NumberFormat | None, layers: dict[int, _Layer], names: Mapping[int, str]) -> None:
        super().__init__()
        self._form, self._layers, self._names = form, layers, names
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
            layer.largest = max(layer.largest, float(args[0].abs().max()))
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
        return self._layers.setdefault(self.calls, _Layer(name))


def layer_names(module: nn.Module) -> dict[int, str]:
    """The layer that each weight belongs to, by the address of the weight; empty where its name says nothing."""
    found = {}
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        layer = name.rpartition(".")[0]
        found[tensor.data_ptr()] = "" if name.startswith("constant") else layer
    return found


def evaluate(
    module: nn.Module,
    inputs: NDArray[np.float32],
    form: NumberFormat,
    names: Mapping[int, str],
    *,
    calibration: NDArray[np.float32] | None = None,
    batch: int = _BATCH,
) -> Answers:
    """Classify samples with a module whose products are computed in a format.

    Args:
        module: gives scores [N, classes]; in evaluation mode.
        inputs: [N, ...].
        form: the format.
        names: of `layer_names`.
        calibration: inputs that scales are taken from; the first batch of `inputs` where none are given.
        batch: samples at once.

    Raises:
        InputError: the module multiplies by an operator that is not known here, or not at all.
    """
    layers: dict[int, _Layer] = {}
    seen = inputs[:batch] if calibration is None else calibration
    with torch.inference_mode(), np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(seen), batch):
            _scores(module, seen[start : start + batch], _Rounding(None, layers, names))
        if not layers:
            raise InputError("the network has no convolution and no product of matrices")
        parts = [
            _scores(module, inputs[start : start + batch], _Rounding(form, layers, names))
            for start in range(0, len(inputs), batch)
        ]
    scores = np.concatenate(parts)
    predicted = np.where(np.isnan(scores).any(axis=1), -1, scores.argmax(axis=1))
    return Answers(predicted, tuple(map(_told, layers.values())))


def _scores(module: nn.Module, inputs: NDArray[np.float32], mode: _Rounding) -> NDArray[np.float32]:
    with mode:
        made = module(torch.from_numpy(np.ascontiguousarray(inputs)))
    made = made[0] if isinstance(made, tuple) else made
    return np.asarray(made.reshape(len(inputs), -1).float().numpy())


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
        made.append(_product(form, layer, given, weights[group].t(), own, constant=constant and groups == 1))
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
    pairs = [
        _product(form, layer, _read(form, layer, one), other, None, constant=False)
        for one, other in zip(lefts, rights, strict=True)
    ]
    return torch.stack(pairs).reshape(*shape, left.shape[-2], right.shape[-1])


def _read(form: NumberFormat, layer: _Layer, data: Tensor) -> Encoded:
    """Round what a layer reads."""
    made = encode(data.double().numpy(), form, largest=layer.largest)
    layer.count("inputs", data.numel(), made)
    return made


def _product(
    form: NumberFormat, layer: _Layer, inputs: Encoded, right: Tensor, bias: Tensor | None, *, constant: bool
) -> Tensor:
    """Multiply what was read [M, K] by [K, N] in a format, and add the bias [N].

    Weights that do not change are rounded once, when the first batch meets them.
    """
    drop_in = form.scaling == "none" and not form.block
    added = None if bias is None else bias.double().numpy()
    weights = layer.weights
    if weights is None:
        columns = right.double().numpy()
        if drop_in and added is not None:
            columns = np.concatenate([columns, added[None]])
        weights = encode(columns, form, axis=0, block_axis=0)
        layer.count("weights", columns.size, weights)
        layer.weights = weights if constant else None
    if not drop_in:
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


def _told(layer: _Layer) -> LayerRounding:
    weights, inputs, outputs = (Rounded(*layer.counts[part]) for part in _PARTS)
    return LayerRounding(layer.name, weights, inputs, outputs)


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)
