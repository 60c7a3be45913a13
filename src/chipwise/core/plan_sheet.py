"""What `show` answers: a plan opened up, with where its work and its time go and what would make it faster.

>>> MissedPath("2 transposes are left", "give channels first").share is None
True
"""

from __future__ import annotations

from dataclasses import dataclass, field

from chipwise.core.estimate import Bound
from chipwise.core.plan import Manifest


@dataclass(frozen=True, slots=True)
class SheetLayer:
    """Layers of the shipped graph that run as one, for one call of the plan.

    Attributes:
        name: of the one that does the work; op: its operator; others: names of those that run with it.
        format: number format that it multiplies in.
        flops: work, 1 multiply-add = 2 FLOPs; moved_bytes: read and written, in its format.
        floor_s: the least it can take by the roofline; None where peak or bandwidth is not known.
        bound: what sets that.
        time_s: by the runtime's own profiler; None where it was not timed, or ran as part of another.
    """

    name: str
    op: str
    format: str
    flops: float
    moved_bytes: float
    bound: Bound = "unknown"
    floor_s: float | None = None
    time_s: float | None = None
    others: tuple[str, ...] = ()

    @property
    def flops_s(self) -> float | None:
        """Operations a second that it reaches; None where it was not timed or does none."""
        return self.flops / self.time_s if self.time_s and self.flops else None


@dataclass(frozen=True, slots=True)
class MissedPath:
    """Something fast that the plan does not do.

    Attributes:
        what: was found, a sentence without its full stop; todo: what to do about it.
        share: of the time that it concerns, or of the work where nothing was timed, 0..1; None where it is not known.
        layers: names of those concerned, the heaviest first.
    """

    what: str
    todo: str
    share: float | None = None
    layers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanSheet:
    """Answer of `show`.

    Attributes:
        plan: path; manifest: what the plan says about itself.
        layers: in the order they run, at the plan's batch.
        beside_s: what the profiler saw beside the layers (changes of layout and number format); None where not timed.
        work: FLOPs of one item by number format.
        peaks: operations a second by number format that the plan's machine was measured to reach, with all its cores;
            bandwidth_bytes_s: likewise; peaks_from: how that was measured, empty where it was not.
        item_s: median time of one item, from the plan's own measurement; None where it has none.
        denormal_weights: weights too small to be multiplied at full speed, in layers that sum products.
        denormal_values: the same of what layers give on the sample, by layer; None where it was not looked for.
        missed: fast paths that are not taken, the largest share first.
        notes: what a reader must know, each a sentence.
    """

    plan: str
    manifest: Manifest
    layers: tuple[SheetLayer, ...]
    work: dict[str, float]
    beside_s: float | None = None
    peaks: dict[str, float] = field(default_factory=dict)
    bandwidth_bytes_s: float | None = None
    peaks_from: str = ""
    item_s: float | None = None
    denormal_weights: int = 0
    denormal_values: dict[str, int] | None = None
    missed: tuple[MissedPath, ...] = ()
    notes: tuple[str, ...] = ()
    schema: str = "chipwise.show/1"

    @property
    def layers_s(self) -> float | None:
        """Seconds of one call by the profiler; None where nothing was timed."""
        return None if self.beside_s is None else self.beside_s + sum(each.time_s or 0.0 for each in self.layers)

    @property
    def peak_share(self) -> float | None:
        """Share of the machine's peak that the whole network reaches, each format's work by its own peak; 0..1."""
        if not self.item_s or any(flops and name not in self.peaks for name, flops in self.work.items()):
            return None
        least = sum(flops / self.peaks[name] for name, flops in self.work.items() if flops)
        return least / self.item_s if least else None

    def peak_share_of(self, layer: SheetLayer) -> float | None:
        """Share of its format's peak that a layer reaches; None where either is not known."""
        peak = self.peaks.get(layer.format)
        return layer.flops_s / peak if layer.flops_s and peak else None


@dataclass(frozen=True, slots=True)
class Exported:
    """Answer of `export`: the files that were written, each with its bytes."""

    files: tuple[tuple[str, int], ...]
    schema: str = "chipwise.export/1"
