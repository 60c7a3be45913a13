"""Fit what kernels take from what some took: see `chipwise.cost.measured_model`, which is the other half of this.

>>> from chipwise.core.measured import KernelTime
>>> seen = [KernelTime("pool", 0.0, 2.0**power, (2.0**power, 64.0, 9.0), 1e-9 * 2.0**power) for power in range(14, 22)]
>>> fit = fitted(seen, "onnxruntime", "fp32", 0)
>>> len(fit.kernels), sorted(fit.usual)
(8, ['pool'])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from chipwise.core.measured import KernelTime, LayerTimes
from chipwise.cost.measured_model import place

Floats = NDArray[np.float64]

# Standard deviations of logarithms: of factors within a class, and of one measurement.
_SPREAD, _NOISE = 0.5, 0.08
# Profilers count whole microseconds.
_LEAST_S = 5e-7
# Arithmetic is little where there are fewer operations than this for each value.
_LIGHT = 4.0


def fitted(seen: Sequence[KernelTime], runtime: str, precision: str, threads: int) -> LayerTimes:
    """Give every kernel its weight, every class its usual factor."""
    seconds = np.array([max(each.time_s, _LEAST_S) for each in seen])
    flops, values = np.array([each.flops for each in seen]), np.array([each.values for each in seen])
    light = flops < _LIGHT * values
    light = light if light.any() else ~light
    best_flops = max(float(np.quantile(flops / seconds, 0.95)), 1.0)
    best_values = max(float(np.quantile((values / seconds)[light], 0.9)), 1.0)
    least = float(seconds.min())
    logs = np.log(seconds / (flops / best_flops + values / best_values + least))
    weights, usual = np.zeros(len(seen)), {}
    kinds = np.array([each.kind for each in seen])
    for kind in sorted(set(kinds)):
        chosen = np.flatnonzero(kinds == kind)
        points = np.array([place(kind, seen[int(index)].sizes) for index in chosen])
        mean, found = _process(points, logs[chosen])
        usual[str(kind)], weights[chosen] = mean, found
    kernels = tuple(replace(each, weight=float(weight)) for each, weight in zip(seen, weights, strict=True))
    return LayerTimes(runtime, precision, threads, kernels, best_flops, best_values, least, usual)


def _process(points: Floats, values: Floats) -> tuple[float, Floats]:
    """The unknown mean, and the weight of each point."""
    far = np.sqrt(3) * np.linalg.norm(points[:, None] - points[None], axis=-1)
    matrix = _SPREAD**2 * (1 + far) * np.exp(-far)
    noisy = matrix + _NOISE**2 * np.eye(len(points))
    ones = np.linalg.solve(noisy, np.ones(len(points)))
    mean = float(ones @ values / ones.sum())
    return mean, _SPREAD**2 * np.linalg.solve(noisy, values - mean)
