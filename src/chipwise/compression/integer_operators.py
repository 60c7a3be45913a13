"""Operators on whole numbers: NumPy, integers only, and never a sum that could overflow.

A number is `whole * 2^-radix / divisor`; the divisor is 1 but behind an average, which is divided when it is rounded.
Products and sums are exact, so that rounding is in one place, `rounded_at`: a shift, or a division, to the nearest and
from halves to even, as ONNX's QuantizeLinear does.

>>> number = Number(np.array([5, 6, 7]), radix=np.array(2), largest=127)
>>> rounded_at(number, 1).tolist()
[2, 3, 4]
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from chipwise.core.errors import NetworkError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Whole = NDArray[np.int64]
    Attributes = dict[str, Any]

_ACCUMULATOR, _WIDE = 2**31 - 1, 2**62  # largest sum of 8-bit products, and of 16-bit ones
_MOST_SHIFT = 62
_FAR = 2.0**62  # stands for infinity
_TABLE = 2**16  # entries at most
NO_LIMITS = (-math.inf, math.inf)


def _one() -> Whole:
    return np.array(1)


@dataclass(frozen=True, slots=True)
class Number:
    """An array of fixed-point numbers.

    Attributes:
        whole: int64.
        radix: bits behind the point, of a shape that goes with `whole`.
        largest: magnitude that no whole number can exceed, whatever the network is given.
        wide: whether 16-bit numbers are behind it, whose sums take 64 bits.
        divisor: what is yet to divide by, likewise.
        limits: what is yet to be cut off below and above, of values; rounding keeps order, so it may come first.
    """

    whole: Whole
    radix: Whole
    largest: int
    wide: bool = False
    divisor: Whole = field(default_factory=_one)
    limits: tuple[float, float] = NO_LIMITS


@dataclass(frozen=True, slots=True)
class Mapped:
    """A function of a number of few bits, which becomes a table once it is rounded."""

    number: Number
    function: Callable[[NDArray[np.float64]], NDArray[np.float64]]


def rounded_at(number: Number, radix: int) -> Whole:
    """Whole numbers at another radix: to the nearest, halves to even.

    Raises:
        NetworkError: they do not fit into 64 bits.
    """
    shift = np.asarray(radix - number.radix)
    if int(shift.max(initial=0)) + number.largest.bit_length() > _MOST_SHIFT:
        raise NetworkError(f"a shift by {int(shift.max())} bits to the left does not fit into 64 bits")
    top = number.whole << np.maximum(shift, 0)
    most = _MOST_SHIFT - 1 - int(number.divisor.max()).bit_length()  # what is shifted further is nothing
    bottom = number.divisor << np.minimum(np.maximum(-shift, 0), most)
    whole, rest = np.divmod(top, bottom)
    up = (2 * rest > bottom) | ((2 * rest == bottom) & (whole % 2 == 1))
    low, high = (np.clip(np.rint(np.ldexp(limit, radix)), -_FAR, _FAR).astype(np.int64) for limit in number.limits)
    return np.asarray(np.clip(whole + up, low, high), np.int64)


def table(mapped: Mapped, radix: int) -> Whole:
    """A function's results, rounded: looked up where its argument can take few values, as hardware does."""
    low, high = int(mapped.number.whole.min(initial=0)), int(mapped.number.whole.max(initial=0))
    if high - low > _TABLE:
        raise NetworkError(f"a table of {high - low} entries", hint="quantize what the function reads")
    arguments = np.ldexp(np.arange(low, high + 1).astype(np.float64), -int(mapped.number.radix))
    results = np.rint(np.ldexp(mapped.function(arguments), radix)).astype(np.int64)
    return results[mapped.number.whole - low]


def convolve(inputs: Sequence[Any], attributes: Attributes) -> Number:
    """Conv: groups, strides, dilations and padding along any number of axes."""
    data, weight, bias = (*inputs, None)[:3]
    kernel, groups = weight.whole.shape[2:], attributes.get("group", 1)
    windows = _windows(data.whole, kernel, attributes, 0)
    per_channel = np.abs(weight.whole).reshape(len(weight.whole), -1).sum(axis=1)
    radix = _channels(data.radix + weight.radix.reshape(-1), data.whole.ndim)
    sums = _Sums(int(per_channel.max(initial=0)) * data.largest, wide=data.wide or weight.wide)
    batch, sizes = data.whole.shape[0], windows.shape[2 : data.whole.ndim]
    rows: Any = weight.whole.astype(sums.kind).reshape(groups, len(weight.whole) // groups, -1, *kernel)
    total: Any = np.zeros((batch, groups, rows.shape[1], int(np.prod(sizes))), sums.kind)
    for place in np.ndindex(*kernel):
        seen: Any = windows[(..., *place)].astype(sums.kind).reshape(batch, groups, rows.shape[2], -1)
        total += np.einsum("gkc,ngcp->ngkp", rows[(..., *place)], seen)  # three times as fast as @ on integers
    whole = total.reshape(batch, -1, *sizes).astype(np.int64)
    return _with_bias(Number(whole, radix, sums.largest, sums.wide), bias, axis=1)


def multiply_matrices(inputs: Sequence[Any], attributes: Attributes) -> Number:
    """Gemm and MatMul, with constant weights [K, N] or, with transB, [N, K]."""
    data, weight, bias = (*inputs, None)[:3]
    columns = weight.whole.T if attributes.get("transB") else weight.whole
    largest = int(np.abs(columns).sum(axis=-2).max(initial=0)) * data.largest
    sums = _Sums(largest, wide=data.wide or weight.wide)
    whole = (data.whole.astype(sums.kind) @ columns.astype(sums.kind)).astype(np.int64)
    radix = data.radix + (weight.radix.reshape(-1) if weight.radix.size > 1 else weight.radix.reshape(()))
    return _with_bias(Number(whole, np.asarray(radix), sums.largest, sums.wide), bias, axis=whole.ndim - 1)


def add(inputs: Sequence[Any], _attributes: Attributes) -> Number:
    """The sum of two, at the finer of their radix points."""
    first, second = _aligned(inputs)
    sums = _Sums(first.largest + second.largest, wide=first.wide or second.wide)
    return Number(first.whole + second.whole, first.radix, sums.largest, sums.wide)


def subtract(inputs: Sequence[Any], attributes: Attributes) -> Number:
    """The difference of two."""
    first, second = inputs
    return add((first, replace(second, whole=-second.whole)), attributes)


def multiply(inputs: Sequence[Any], _attributes: Attributes) -> Number:
    """The product of two, number by number: its radix is the sum of theirs."""
    first, second = map(_undivided, inputs)
    sums = _Sums(first.largest * second.largest, wide=first.wide or second.wide)
    return Number(first.whole * second.whole, np.asarray(first.radix + second.radix), sums.largest, sums.wide)


def relu(inputs: Sequence[Any], _attributes: Attributes) -> Number:
    """Negative numbers become zero."""
    number = inputs[0]
    made = replace(number, whole=np.maximum(number.whole, 0))
    return made if number.limits == NO_LIMITS else _limited(made, 0.0, math.inf)


def clip(inputs: Sequence[Any], _attributes: Attributes) -> Number:
    """Limits that are floats: they are rounded as the numbers are, and cut off then."""
    number, *limits = inputs
    low, high = (*(None if each is None else float(each) for each in limits), None, None)[:2]
    return _limited(number, -math.inf if low is None else low, math.inf if high is None else high)


def _limited(number: Number, low: float, high: float) -> Number:
    """Cut off once more what may be cut off already."""
    first, second = (min(max(each, low), high) for each in number.limits)
    return replace(number, limits=(first, second))


def max_pool(inputs: Sequence[Any], attributes: Attributes) -> Number:
    """The largest of each window; padding is never it."""
    number = level(inputs[0])
    kernel = attributes["kernel_shape"]
    windows = _windows(number.whole, kernel, attributes, -number.largest - 1)
    return replace(number, whole=windows.max(axis=tuple(range(-len(kernel), 0))))


def average_pool(inputs: Sequence[Any], attributes: Attributes) -> Number:
    """The sum of each window, to be divided by how many numbers are in it."""
    number = level(inputs[0])
    kernel = attributes["kernel_shape"]
    if attributes.get("ceil_mode"):
        raise NetworkError("AveragePool with ceil_mode has no integer arithmetic here")
    axes = tuple(range(-len(kernel), 0))
    count = int(np.prod(kernel))
    sums = _Sums(number.largest * count, wide=number.wide)
    whole = _windows(number.whole, kernel, attributes, 0).sum(axis=axes)
    divisor: Any = np.array(count)
    if not attributes.get("count_include_pad"):
        ones = np.ones((1, 1, *number.whole.shape[2:]), np.int64)
        divisor = _windows(ones, kernel, attributes, 0).sum(axis=axes)
    return Number(whole, number.radix, sums.largest, sums.wide, divisor)


def global_average(inputs: Sequence[Any], _attributes: Attributes) -> Number:
    """The sum over all of a channel's pixels, to be divided by how many there are."""
    return _mean(inputs[0], tuple(range(2, inputs[0].whole.ndim)), keep=True)


def mean(inputs: Sequence[Any], attributes: Attributes) -> Number:
    """ReduceMean: the sum over axes, to be divided."""
    axes = inputs[1] if len(inputs) > 1 and inputs[1] is not None else range(inputs[0].whole.ndim)
    return _mean(inputs[0], tuple(int(axis) for axis in axes), keep=bool(attributes.get("keepdims", 1)))


def concat(inputs: Sequence[Any], attributes: Attributes) -> Number:
    """Side by side, at the finest of their radix points."""
    levelled = [level(each) for each in inputs]
    finest = max(int(each.radix) for each in levelled)
    same = [_finer(each, finest - int(each.radix)) for each in levelled]
    whole = np.concatenate([each.whole for each in same], axis=attributes["axis"])
    return Number(whole, np.array(finest), max(each.largest for each in same), any(each.wide for each in same))


def _mean(given: Number, axes: tuple[int, ...], *, keep: bool) -> Number:
    number = level(given)
    count = int(np.prod([number.whole.shape[axis] for axis in axes]))
    sums = _Sums(number.largest * count, wide=number.wide)
    return Number(number.whole.sum(axis=axes, keepdims=keep), number.radix, sums.largest, sums.wide, np.array(count))


class _Sums:
    """What sums are added up in, once it is sure that none can overflow.

    Raises:
        NetworkError: one could.
    """

    def __init__(self, largest: int, *, wide: bool) -> None:
        limit = _WIDE if wide else _ACCUMULATOR
        if largest > limit:
            raise NetworkError(
                f"a sum could reach {largest:.3g}, which an accumulator of {64 if wide else 32} bits does not hold",
                hint="split the layer, or use a coarser radix",
            )
        self.largest, self.wide = largest, wide
        self.kind = np.int32 if largest <= _ACCUMULATOR else np.int64


def _with_bias(number: Number, bias: Number | None, *, axis: int) -> Number:
    if bias is None:
        return number
    shape = [1] * number.whole.ndim
    shape[axis] = -1
    radix = bias.radix.reshape(shape) if bias.radix.size > 1 else bias.radix.reshape(())
    largest = int(np.abs(bias.whole).max(initial=0))
    return add((number, Number(bias.whole.reshape(shape), radix, largest, number.wide)), {})


def _channels(radix: Whole, dims: int) -> Whole:
    return radix.reshape(()) if radix.size == 1 else radix.reshape(1, -1, *[1] * (dims - 2))


def _aligned(inputs: Sequence[Number]) -> tuple[Number, Number]:
    first, second = map(_undivided, inputs)
    radix = np.maximum(first.radix, second.radix)
    return _finer(first, radix - first.radix), _finer(second, radix - second.radix)


def _undivided(number: Number) -> Number:
    if np.any(number.divisor != 1) or number.limits != NO_LIMITS:
        raise NetworkError("an average, or what Clip gives, is read by an operator before it is rounded")
    return number


def level(number: Number) -> Number:
    """One radix for all channels: the finest."""
    number = _undivided(number)
    finest = number.radix.max()
    return replace(_finer(number, finest - number.radix), radix=np.asarray(finest))


def _finer(number: Number, shift: Any) -> Number:
    """The same numbers with a finer radix."""
    shift = np.asarray(shift)
    largest = number.largest << int(shift.max())
    checked = _Sums(largest, wide=number.wide)
    return replace(number, whole=number.whole << shift, radix=np.asarray(number.radix + shift), largest=checked.largest)


def _windows(whole: Whole, kernel: Sequence[int], attributes: Attributes, fill: int) -> Whole:
    """Every window of an array [N, C, ...], as a view [N, C, positions..., taps...] of a padded copy."""
    dims = len(kernel)
    strides, dilations = (attributes.get(name) or [1] * dims for name in ("strides", "dilations"))
    spans = [step * (taps - 1) + 1 for step, taps in zip(dilations, kernel, strict=True)]
    pads = _pads(whole.shape[2:], spans, strides, attributes)
    padded = np.pad(whole, [(0, 0), (0, 0), *pads], constant_values=fill)
    views = np.lib.stride_tricks.sliding_window_view(padded, spans, axis=tuple(range(2, 2 + dims)))
    cut = [slice(None, None, step) for step in (1, 1, *strides, *dilations)]
    return views[tuple(cut)]


def _pads(
    sizes: Sequence[int], spans: Sequence[int], strides: Sequence[int], attributes: Attributes
) -> list[tuple[int, int]]:
    dims, auto = len(spans), attributes.get("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        needed = [
            max((-(-size // step) - 1) * step + span - size, 0)
            for size, span, step in zip(sizes, spans, strides, strict=True)
        ]
        less = [total // 2 for total in needed]
        pairs = [(low, total - low) for low, total in zip(less, needed, strict=True)]
        return pairs if auto == "SAME_UPPER" else [(high, low) for low, high in pairs]
    pads = [0] * 2 * dims if auto == "VALID" else attributes.get("pads") or [0] * 2 * dims
    made = list(zip(pads[:dims], pads[dims:], strict=True))
    if attributes.get("ceil_mode"):
        made = [
            (low, high + (-(size + low + high - span)) % step)
            for (low, high), size, span, step in zip(made, sizes, spans, strides, strict=True)
        ]
    return made
