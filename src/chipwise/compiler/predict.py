"""What each way of running a network should take, before anything is measured: it ranks what is tried first.

By the kernels of `doctor --measure` where this machine was measured, else by the roofline of a quick look, which ranks
number formats and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chipwise.clock.peaks import measure_peaks
from chipwise.codec.machine_file import cached_machine
from chipwise.core.estimate import Interval, Workload
from chipwise.cost.measured_estimate import estimate_measured
from chipwise.cost.roofline import floor
from chipwise.devices.ceiling import ceiling

if TYPE_CHECKING:
    from chipwise.core.device import Machine
    from chipwise.core.layer import Layer
    from chipwise.core.plan import Choice


@dataclass(frozen=True, slots=True)
class Predictions:
    """Seconds per item by runtime and number format; `floors` by number format alone, where nothing better is known."""

    measured: dict[tuple[str, str], Interval]
    floors: dict[str, Interval]

    def of(self, choice: Choice) -> Interval | None:
        """What a choice should take; None where nothing is known of its number format.

        What kernels take was measured of one call alone: with several at once only the floor of the machine holds.
        """
        most = "int8" if choice.format == "int8+bf16" else choice.precision
        if choice.streams > 1:
            return self.floors.get(most)
        return self.measured.get((choice.runtime, most), self.floors.get(most))

    def rank(self, choice: Choice) -> float:
        """What to sort by, the fastest first; what is not known comes last."""
        known = self.of(choice)
        return float("inf") if known is None else known.mid or known.low or float("inf")


def predictions(layers: tuple[Layer, ...], machine: Machine) -> Predictions:
    """Predict for every runtime and number format that this machine was measured with.

    Args:
        layers: rows of the source network for one item.
        machine: this one.
    """
    found = cached_machine(machine)
    device = found.device if found is not None else ceiling(measure_peaks(machine), machine)[0]
    floors = {name: floor(layers, device, Workload(precision=name))[1] for name in device.peak_flops}
    measured = {}
    for times in found.layers if found is not None else ():
        workload = Workload(precision=times.precision, runtime=times.runtime, compiled=True)
        expected = estimate_measured(layers, found, workload) if found is not None else None
        if expected is not None:
            measured[times.runtime, times.precision] = expected.time_s
    return Predictions(measured, floors)
