"""What compressing a network did: stage by stage, layer by layer, in bytes of a file that runs.

>>> Stage("prune", "25% of the weights", weights=100, accuracy=0.99, seconds=1.0).name
'prune'
"""

from __future__ import annotations

from dataclasses import dataclass, field

from chipwise.core.ledger import Ledger
from chipwise.core.measure import PairedDrop, Ratio, Timing


@dataclass(frozen=True, slots=True)
class StageEpoch:
    """After an epoch: share of the layers' weights that are not pruned, and accuracy on the validation split; 0..1."""

    density: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage.

    Attributes:
        name: "narrow", "train", "prune" or "round"; detail: how far it went.
        weights: of layers, that are left and not zero.
        accuracy: on the validation split, 0..1; seconds: wall time.
        history: epoch by epoch; kept: the one whose weights were kept, from 1; 0 where nothing was trained.
        bits: of a weight, by layer, where they were chosen layer by layer.
    """

    name: str
    detail: str
    weights: int
    accuracy: float
    seconds: float
    history: tuple[StageEpoch, ...] = ()
    kept: int = 0
    bits: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many weights have about which value.

    Attributes:
        counts: of equally wide bins between the layer's bounds; zeros are not among them.
        zeros: how many are exactly zero.
    """

    counts: tuple[int, ...]
    zeros: int


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """Where the weights of a layer lie, stage by stage.

    Attributes:
        name: of the layer.
        bound: bins reach from minus this value to this value.
        before: pruning; masked: those of them that pruning left, as they were; trained: what they became until they
            were rounded. `masked` is None where nothing was pruned.
        values, counts: the values after rounding that are not zero, rising, and how many weights have each.
        zeros: how many weights are zero then.
    """

    name: str
    bound: float
    before: Histogram
    masked: Histogram | None
    trained: Histogram
    values: tuple[float, ...]
    counts: tuple[int, ...]
    zeros: int


@dataclass(frozen=True, slots=True)
class CompressedLayer:
    """One layer's weights, in the columns of Han, Mao and Dally (ICLR 2016), table 3.

    Attributes:
        name: of the layer; shape: of its weights as they are stored.
        before: weights that it had in the source, 0 where the source has no such layer; kept: that are not zero now.
        bits: of a weight's value; index_bits: of a position, before coding.
        pruned_bytes: as sparse float32 (P); quantized_bytes: as symbols with positions (P+Q); huffman_bytes: these in
            Huffman codes; file_bytes: what it takes in the file.
    """

    name: str
    shape: tuple[int, ...]
    before: int
    kept: int
    bits: float
    index_bits: float
    pruned_bytes: int
    quantized_bytes: int
    huffman_bytes: int
    file_bytes: int


@dataclass(frozen=True, slots=True)
class Speed:
    """How much faster a compressed network is, where that was asked for.

    Attributes:
        asked: how many times as fast; on: runtime, number format and threads.
        step: channels left are multiples of it, in layers that are wider.
        predicted_s: of one item by the table of layers' latencies, scaled so that the source's is what was measured.
        before, after: of the source and of the compressed network as they run, one item a call, in turns.
        ratio: how many times as fast it is, round by round.
    """

    asked: float
    on: str
    step: int
    predicted_s: float
    before: Timing
    after: Timing
    ratio: Ratio


@dataclass(frozen=True, slots=True)
class Compression:
    """A compressed network.

    Attributes:
        network, data: names; path: of the file.
        target: what was asked for, as it was said.
        met: whether that was reached.
        dense_bytes: of all float32 parameters of the source; file_bytes: of the file.
        stages: in their order; layers: in the graph's.
        validation, test: source against compressed network, sample by sample; None where there is no such split.
        ledger: where the file's bytes went.
        speed: None where a size was asked for.
        seed: of everything random; seconds: wall time in all.
        weights: where each layer's weights lie, before and after.
    """

    network: str
    data: str
    path: str
    target: str
    met: bool
    dense_bytes: int
    file_bytes: int
    stages: tuple[Stage, ...]
    layers: tuple[CompressedLayer, ...]
    validation: PairedDrop
    test: PairedDrop | None
    ledger: Ledger
    seed: int = 0
    seconds: float = 0.0
    speed: Speed | None = None
    weights: tuple[LayerWeights, ...] = ()
    schema: str = "chipwise.compress/1"

    @property
    def ratio(self) -> float:
        """How many times smaller than the source's parameters the file is."""
        return self.dense_bytes / self.file_bytes
