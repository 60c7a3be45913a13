"""What a network takes on a machine whose kernels were measured: by kernels of the same class and similar sizes.

A kernel's time is what its arithmetic, its traffic and its start take at the best rates seen, times a factor that a
Gaussian process finds from the kernels measured: near one of them the factor seen there, far from all the usual one of
its class. Intervals come from predicting each measured network from the others.

>>> from chipwise.core.measured import LayerTimes
>>> times = LayerTimes("onnxruntime", "fp32", 0, (), flops_s=1e11, values_s=1e9, least_s=1e-6, usual={"pool": 0.0})
>>> f"{KernelModel(times).time_s('pool', 0.0, 1e6, (1e6, 64.0, 9.0)):.4f}"
'0.0010'
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from chipwise.core.estimate import Bound, EstimateRow, Interval
from chipwise.core.formats import value_bytes
from chipwise.core.layer import Layer
from chipwise.core.measured import LayerTimes
from chipwise.cost.fused import Kernel, kernels
from chipwise.cost.regression import Point, expected

COVERAGE = 0.8
# How many doublings of a size away a measurement still tells much; found on measured networks, each left out in turn,
# not on networks that are predicted.
_PRODUCT_LENGTHS = (4.0, 4.0, 4.0, 3.0, 1.5, 0.6)
_OTHER_LENGTHS = (4.0, 4.0, 3.0)
_PRODUCTS = frozenset({"conv", "pointwise", "depthwise", "grouped", "transposed", "linear", "matmul"})
# With fewer networks to leave out than this, an error of that size is expected.
_FEW, _USUAL_ERROR = 5, 0.3


class KernelModel:
    """Predicts kernels on one runtime in one number format."""

    def __init__(self, times: LayerTimes) -> None:
        self._times = times
        self._seen: dict[str, tuple[list[Point], list[float]]] = {}
        for each in times.kernels:
            points, weights = self._seen.setdefault(each.kind, ([], []))
            points.append(place(each.kind, each.sizes))
            weights.append(each.weight)

    def knows(self, kind: str) -> bool:
        """Whether kernels of this class were measured."""
        return kind in self._times.usual

    def time_s(self, kind: str, flops: float, values: float, sizes: Point) -> float:
        """Expected seconds of a kernel; of a class that was not measured, as much as all others usually take."""
        usual = self._times.usual
        log = usual[kind] if kind in usual else sum(usual.values()) / max(1, len(usual))
        if kind in self._seen:
            log += expected(place(kind, sizes), *self._seen[kind])
        return sum(self._parts(flops, values)) * math.exp(log)

    def bound(self, kernel: Kernel) -> Bound:
        """The largest of arithmetic, traffic and start at the best rates."""
        names: tuple[Bound, ...] = ("compute", "memory", "launch")
        parts = self._parts(kernel.flops, kernel.values)
        return names[parts.index(max(parts))]

    def _parts(self, flops: float, values: float) -> tuple[float, float, float]:
        return flops / self._times.flops_s, values / self._times.values_s, self._times.least_s


def place(kind: str, sizes: Point) -> Point:
    """Where a kernel lies among others of its class: logarithms of its sizes, 1 for as far as one still tells much."""
    lengths = _PRODUCT_LENGTHS if kind in _PRODUCTS else _OTHER_LENGTHS
    logs = [math.log2(max(1.0, size)) for size in sizes[: len(lengths)]]
    logs += [0.0] * (len(lengths) - len(logs))
    return tuple(log / length for log, length in zip(logs, lengths, strict=True))


def whole_s(times: LayerTimes, kernel_s: Iterable[float]) -> float:
    """Seconds of a call from those of its kernels."""
    return times.start_s + sum(_shown_s(times, time) for time in kernel_s)


def _shown_s(times: LayerTimes, kernel_s: float) -> float:
    return max(0.0, kernel_s * times.factor + times.each_s)


def predicted(layers: Sequence[Layer], times: LayerTimes) -> tuple[tuple[EstimateRow, ...], Interval]:
    """Rows of an estimate, and seconds of one batch, for rows made for that batch.

    Args:
        layers: of the network, in the order they run.
        times: what was measured.

    Returns:
        one row for each kernel, named after its first layer, without what a call takes beside its kernels; and the
        interval of the whole. Kernels whose class was not measured widen it by all of their time.
    """
    model = KernelModel(times)
    rows, seconds, unsure = [], [], 0.0
    by_name, width = {layer.name: layer for layer in layers}, value_bytes(times.precision)
    for kernel in kernels(layers):
        time = model.time_s(kernel.kind, kernel.flops, kernel.values, kernel.sizes)
        seconds.append(time)
        unsure += 0.0 if model.knows(kernel.kind) else _shown_s(times, time)
        op = by_name[kernel.names[0]].op
        shown, moved = _shown_s(times, time), width * kernel.values
        rows.append(EstimateRow(kernel.names[0], shown, model.bound(kernel), op, kernel.kind, kernel.flops, moved))
    mid = whole_s(times, seconds)
    off = math.exp(error_bound(times.errors))
    return tuple(rows), Interval(max(0.0, mid - unsure) / off, mid, (mid + unsure) * off, COVERAGE)


def error_bound(errors: Sequence[float], coverage: float = COVERAGE) -> float:
    """The size that a share `coverage` of errors stay below, with the correction for a small number of them.

    Split conformal prediction: Lei and others, "Distribution-free predictive inference for regression", JASA 2018.
    """
    if len(errors) < _FEW:
        return _USUAL_ERROR
    ordered = sorted(map(abs, errors))
    return ordered[min(len(ordered), math.ceil(coverage * (len(ordered) + 1))) - 1]
