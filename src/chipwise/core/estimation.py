"""Answer of `estimate`: what a network should take on devices, and how that compares with what was measured here.

>>> from chipwise.core.estimate import Interval
>>> Cost(Interval(1.0, 2.0, 4.0)).times(10).time_s.high
40.0
"""

from __future__ import annotations

from dataclasses import dataclass

from chipwise.core.estimate import Estimate, Interval
from chipwise.core.measure import Timing


@dataclass(frozen=True, slots=True)
class Cost:
    """Time, energy and money of some amount of work; None where nothing is known to tell it from."""

    time_s: Interval
    energy_j: Interval | None = None
    price_usd: Interval | None = None

    def times(self, factor: float) -> Cost:
        """The cost of so many times the work."""
        energy = None if self.energy_j is None else self.energy_j.times(factor)
        price = None if self.price_usd is None else self.price_usd.times(factor)
        return Cost(self.time_s.times(factor), energy, price)


@dataclass(frozen=True, slots=True)
class Score:
    """A prediction beside what was measured on this machine.

    Attributes:
        runtime: what ran it; precision: the number format that really ran; threads: that a call used.
        timing: seconds per batch; None where it could not be run, and `reason` says why.
        error: predicted middle over measured median, less 1 (+0.1 is 10% too slow); None without a middle.
        inside: whether the median lies in the predicted interval; None without a measurement.
    """

    runtime: str
    precision: str
    threads: int
    timing: Timing | None
    error: float | None
    inside: bool | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Together:
    """All devices of a system at once.

    Attributes:
        system: its name; count: of devices; link: between them, "" where they share nothing.
        batch: items of a step of all.
        step_s: of that step.
        efficiency: items a second over `count` times those of one device.
        epoch_s, training_s: of one pass over the data, and of all; None where the data's size was not given.
        communication: share of a step that is exchanging and that nothing hides; None where they share nothing.
    """

    system: str
    count: int
    link: str
    batch: int
    step_s: Interval
    efficiency: Interval
    epoch_s: Interval | None = None
    training_s: Interval | None = None
    communication: Interval | None = None

    @property
    def items_s(self) -> Interval:
        """Items per second."""
        return self.step_s.rate(self.batch)


@dataclass(frozen=True, slots=True)
class MeshForecast:
    """A training step of all devices of a system on one mesh.

    Attributes:
        mesh: as `--mesh` takes it: "dp8", "fsdp8", "dp2,tp4".
        devices: of the system; batch: items of a step of all.
        micro_batches: that a copy's share is cut into; micro: items of one.
        step_s: of the step; communication: the share of it that is exchanging and that nothing hides.
        memory_bytes: of the fullest device; fits: whether it has as much; None where that is not known.
    """

    mesh: str
    devices: int
    batch: int
    micro_batches: int
    micro: int
    step_s: Interval
    communication: float | None
    memory_bytes: int
    fits: bool | None

    @property
    def items_s(self) -> Interval:
        """Items per second."""
        return self.step_s.rate(self.batch)


@dataclass(frozen=True, slots=True)
class Forecast:
    """One device and one batch.

    Attributes:
        estimate: what is expected of it.
        capacity_bytes: memory of the device; None where that is not known.
        thousand: what a thousand items cost; epoch: what one pass over the data costs; training: all epochs.
        score: how the prediction did; None where nothing was measured.
        together: with the others of a system; None for a device by itself.
        meshes: ways to train on all of the system, best first; empty where none were looked at.
    """

    estimate: Estimate
    capacity_bytes: int | None
    thousand: Cost
    epoch: Cost | None = None
    training: Cost | None = None
    score: Score | None = None
    together: Together | None = None
    meshes: tuple[MeshForecast, ...] = ()


@dataclass(frozen=True, slots=True)
class Knee:
    """Where a larger batch stops paying on one device.

    Attributes:
        device: its name; batch: the smallest that reaches `share` of the best throughput.
        items_s: there; best_items_s, best_batch: the best of the batches looked at.
        floor: True where throughputs are bounds from a roofline.
    """

    device: str
    batch: int
    items_s: float
    best_batch: int
    best_items_s: float
    share: float = 0.9
    floor: bool = False


@dataclass(frozen=True, slots=True)
class Estimation:
    """Answer of `estimate`.

    Attributes:
        network: its name; origin: where it came from; parameters: trainable values; flops: of one item, forward,
            1 multiply-add = 2 FLOPs.
        forecasts: by device in the order asked for, batches ascending.
        knees: one a device, where several batches were looked at.
        layered: rows of layers were asked for; they are in each estimate in any case.
        data_size, epochs: of the training data, where they were given.
        picture: file that the roofline was drawn into; "" for none.
        notes: what else to know, each a sentence.
    """

    network: str
    origin: str
    parameters: int
    flops: int
    forecasts: tuple[Forecast, ...]
    knees: tuple[Knee, ...] = ()
    layered: bool = False
    data_size: int | None = None
    epochs: int = 1
    picture: str = ""
    notes: tuple[str, ...] = ()
    schema: str = "chipwise.estimate/1"

    @property
    def devices(self) -> tuple[str, ...]:
        """Names of the devices, each once."""
        return tuple(dict.fromkeys(each.estimate.device for each in self.forecasts))
