"""Coefficients that turn work into time: what share of a device's stated peaks a kind of software reaches.

A `Profile` belongs to a way of running (which software, eager or compiled, number format, phase), not to one device:
its shares multiply the peaks of any device's data sheet, and `Scales` correct three of them (compute, bandwidth,
launch) where the device was measured.

>>> Curve(at=(0.0, 2.0), gain=(-1.0, 0.0))(1.0), Curve(at=(0.0, 2.0), gain=(-1.0, 0.0))(9.0)
(-0.5, 0.0)
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Curve:
    """A piecewise linear correction: logarithm of a factor against log2 of a feature; flat outside its knots.

    Attributes:
        at: knots, ascending, log2 of the feature.
        gain: natural logarithm of the factor at each knot.
    """

    at: tuple[float, ...]
    gain: tuple[float, ...]

    def __call__(self, x: float) -> float:
        """The logarithm of the factor at `x`."""
        at, gain = self.at, self.gain
        if x <= at[0]:
            return gain[0]
        if x >= at[-1]:
            return gain[-1]
        right = bisect_right(at, x)
        left = right - 1
        part = (x - at[left]) / (at[right] - at[left])
        return gain[left] + (gain[right] - gain[left]) * part


@dataclass(frozen=True, slots=True)
class WorkClass:
    """How well one class of operations uses a device.

    Attributes:
        compute: logarithm of the share of peak arithmetic; None where arithmetic is never the limit.
        memory: logarithm of the share of memory bandwidth; above 0 where caches serve part of the traffic.
        unit: which peak counts: of matrix units, or of vector units.
        compute_curves: corrections of `compute` by feature (see `cost.model.features`).
        memory_curves: corrections of `memory` by feature.
        sharpness: power of the soft maximum of compute and memory time: 1 is their sum, large a plain maximum.
        launch: times the profile's `launch_s` that one operation costs.
    """

    compute: float | None = None
    memory: float = 0.0
    unit: Literal["matrix", "vector"] = "matrix"
    compute_curves: dict[str, Curve] = field(default_factory=dict)
    memory_curves: dict[str, Curve] = field(default_factory=dict)
    sharpness: float = 2.0
    launch: float = 1.0


@dataclass(frozen=True, slots=True)
class Spread:
    """How far measurements lie from predictions, as found by cross-validation over families of networks.

    Attributes:
        low: logarithm of measured over predicted that half of the cases outside lie below, where difficulty is 1.
        high: that the other half lie above.
        coverage: share of cases between, 0..1.
        difficulty: added to 1 per unit of a network's feature (see `cost.estimate.difficulty`); widens both.
        elsewhere: times both on a device that the profile was not fitted on.
    """

    low: float
    high: float
    coverage: float = 0.8
    difficulty: dict[str, float] = field(default_factory=dict)
    elsewhere: float = 1.0


@dataclass(frozen=True, slots=True)
class Scales:
    """What a measured device's peaks are times those stated; 1 where nothing was measured."""

    compute: float = 1.0
    bandwidth: float = 1.0
    launch: float = 1.0


@dataclass(frozen=True, slots=True)
class Profile:
    """Coefficients of one way of running networks.

    Attributes:
        name: of the profile.
        kind: of devices it is for ("gpu", "cpu").
        runtime: software; phase, precision, compiled, techniques: as in `Workload`.
        classes: coefficients by class of operations (see `cost.ops.Op`).
        launch_s: of one kernel, on the device; dispatch_s: of one operation, on the host, beside the device's work.
        step_s: once per step.
        widths: bytes of a value as kept: of products, and of what automatic mixed precision keeps wide.
        fused: whether neighbours are merged before they are priced.
        attention: whether attention is one operation, or two products and a softmax.
        spread: of measurements around predictions; None when nothing was held out.
        devices: names of those it was fitted on.
        fitted_on: what was fitted, how many rows; source: where they come from.
    """

    name: str
    kind: Literal["gpu", "cpu"]
    runtime: str
    phase: Literal["inference", "training"]
    precision: str
    compiled: bool
    classes: dict[str, WorkClass]
    techniques: tuple[str, ...] = ()
    launch_s: float = 0.0
    dispatch_s: float = 0.0
    step_s: float = 0.0
    widths: tuple[float, float] = (4, 4)
    fused: bool = False
    attention: Literal["fused", "plain"] = "fused"
    spread: Spread | None = None
    devices: tuple[str, ...] = ()
    fitted_on: str = ""
    source: str = ""
