"""What turning a network into fixed point did: tensor by tensor, what was lost, and whether integers agree.

>>> FixedTensor("w", "weights", -1.0, 1.0, 8, True, (6, 7), 0.0, 40.0).said
'6 to 7'
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from chipwise.core.measure import PairedDrop

Per = Literal["tensor", "channel"]


@dataclass(frozen=True, slots=True)
class FixedTensor:
    """One tensor as whole numbers times 2^-radix.

    Attributes:
        name: of the value; role: what it is.
        low, high: least and largest value seen.
        bits: of a whole number; signed: whether it may be negative.
        radix: bits behind the point: one, or one for each output channel.
        saturated: share of the values that were seen, 0..1, that lie outside of the range and are cut off.
        sqnr_db: power of the values over that of their rounding errors; infinite where nothing was lost.
    """

    name: str
    role: Literal["activations", "weights", "constants"]
    low: float
    high: float
    bits: int
    signed: bool
    radix: tuple[int, ...]
    saturated: float
    sqnr_db: float

    @property
    def said(self) -> str:
        """The radix point, or the least and the largest of its channels."""
        low, high = min(self.radix), max(self.radix)
        return str(low) if low == high else f"{low} to {high}"


@dataclass(frozen=True, slots=True)
class IntegerAgreement:
    """The integer reference against a runtime, number by number.

    Attributes:
        runtime: its name; samples: how many were answered by both.
        compared: numbers that both gave, the last that are integers; equal: that are the same.
        largest_steps: the largest difference, in steps of the last tensor's radix point.
        accumulator_bits: that no sum can leave, whatever the input is, with its sign.
        exact: whether every sum stays below 2^24, so that float32 holds each of them and no runtime has to round.
    """

    runtime: str
    samples: int
    compared: int
    equal: int
    largest_steps: float
    accumulator_bits: int
    exact: bool


@dataclass(frozen=True, slots=True)
class Quantization:
    """A network in fixed point.

    Attributes:
        network, data: names; path: of the QDQ ONNX file.
        bits: of weights and activations; per: what has a radix point of its own in weights.
        calibrated: samples of the training split that radix points were chosen on.
        tensors: in the order they are computed.
        floating: operators behind the last integers that stay float; empty when all is integers.
        epochs: of fine-tuning that were done; kept: the one whose weights are in the file, 0 for the weights as they
            were; untuned: the drop on the validation split before it, where it was done.
        validation, test: the float network against the file's answers in the runtime; None for no such split.
        agreement: of integers.
        seed: of everything random; seconds: wall time in all.
    """

    network: str
    data: str
    path: str
    bits: int
    per: Per
    calibrated: int
    tensors: tuple[FixedTensor, ...]
    floating: tuple[str, ...]
    epochs: int
    kept: int
    untuned: PairedDrop | None
    validation: PairedDrop
    test: PairedDrop | None
    agreement: IntegerAgreement
    seed: int = 0
    seconds: float = 0.0
    schema: str = "chipwise.quantize/1"
