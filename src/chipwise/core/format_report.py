"""What `formats` answers with: number formats, the gates that arithmetic takes, and what a network loses under each.

>>> Rounded(count=200, saturated=1, tiny=20).tiny_share
0.1
"""

from __future__ import annotations

from dataclasses import dataclass

from chipwise.core.measure import Accuracy, PairedDrop

# Names alone, so that completing one builds no table; `number_formats` has the formats in this order.
FORMAT_NAMES = (
    "fp32", "tf32", "bf16", "fp16", "fp16-sums", "fp8-e4m3", "fp8-e5m2", "fp6-e3m2", "fp6-e2m3", "fp4-e2m1",
    "mxfp8-e4m3", "mxfp8-e5m2", "mxfp6-e3m2", "mxfp6-e2m3", "mxfp4-e2m1", "mxint8", "int8", "int8-shift", "int4",
    "fixed-16-8", "fixed-8-4", "log-8-1-5-5-7", "posit-7-1", "posit-8-0", "posit-8-1", "posit-8-2", "posit-9-1",
    "posit-16-1",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class OperationCost:
    """Energy and area of one adder and one multiplier in a 45 nm process; None where nothing is published.

    Attributes:
        add_j, multiply_j: joules an operation.
        add_um2, multiply_um2: square micrometres.
    """

    add_j: float | None = None
    multiply_j: float | None = None
    add_um2: float | None = None
    multiply_um2: float | None = None


@dataclass(frozen=True, slots=True)
class FormatLine:
    """One number format.

    Attributes:
        name: as it is typed; title: as it is printed; family: kind of format.
        bits: that one value takes, with its share of a block's scale.
        largest, smallest: the largest and the smallest positive value; of formats with a scale, of tensors or of
            blocks, before the scale.
        accuracy: largest relative error of rounding next to 1; of integers and fixed point, half the distance of
            neighbours.
        decades: powers of ten from the smallest to the largest.
        accumulator, scaling: how products are added up, and what numbers are divided by.
        cost: of an addition and a multiplication.
    """

    name: str
    title: str
    family: str
    bits: float
    largest: float
    smallest: float
    accuracy: float
    decades: float
    accumulator: str
    scaling: str
    cost: OperationCost


@dataclass(frozen=True, slots=True)
class Circuit:
    """An adder or a multiplier made of NAND gates.

    Attributes:
        name: what it is; bits: of each operand.
        gates: NAND gates; depth: the most of them one after the other.
        used_by: formats whose arithmetic has it.
        area_um2: of Horowitz's adder or multiplier of that format; None where nothing is published.
    """

    name: str
    bits: int
    gates: int
    depth: int
    used_by: str = ""
    area_um2: float | None = None


@dataclass(frozen=True, slots=True)
class Rounded:
    """How many numbers were rounded, and of those that were not: beyond the largest, and nearer to zero than any."""

    count: int
    saturated: int
    tiny: int

    @property
    def saturated_share(self) -> float:
        """Share of the numbers that were beyond the largest value."""
        return self.saturated / max(self.count, 1)

    @property
    def tiny_share(self) -> float:
        """Share of the numbers that were not zero, and below the smallest value or rounded to zero."""
        return self.tiny / max(self.count, 1)


@dataclass(frozen=True, slots=True)
class LayerRounding:
    """What rounding met in one layer: its weights, its inputs, and its outputs (none where these are not rounded)."""

    layer: str
    weights: Rounded
    inputs: Rounded
    outputs: Rounded


@dataclass(frozen=True, slots=True)
class FormatScore:
    """A network under one format.

    Attributes:
        name, title: of the format.
        accuracy: with its interval.
        drop: against the network as it is, sample by sample.
        layers: what was rounded.
        seconds: of evaluation.
    """

    name: str
    title: str
    accuracy: Accuracy
    drop: PairedDrop
    layers: tuple[LayerRounding, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class FormatReport:
    """Answer of `formats`.

    Attributes:
        formats: every format asked for.
        circuits: adders and multipliers; empty unless asked for.
        network, data: what was evaluated; empty where nothing was.
        source: accuracy of the network as it is; None where nothing was evaluated.
        scores: one a format.
        picture: file of the value lines; empty where none was drawn.
    """

    formats: tuple[FormatLine, ...]
    circuits: tuple[Circuit, ...] = ()
    network: str = ""
    data: str = ""
    source: Accuracy | None = None
    scores: tuple[FormatScore, ...] = ()
    picture: str = ""
    schema: str = "chipwise.formats/1"
