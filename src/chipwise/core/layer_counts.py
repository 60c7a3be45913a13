"""How many layers a network has by the rule of published counts, before and after fusion.

>>> LayerCounts("net", {"convolution": 1, "batch-norm": 1}, {"convolution": 1}, fused=1).as_caffe
3
"""

from __future__ import annotations

from dataclasses import dataclass

RULE = (
    "Counted: every convolution, product, normalization, activation, pooling, sum, join and softmax is a layer; what "
    "only changes shapes, or does nothing in inference, is none. A classifier's softmax counts, written or not. Caffe "
    "writes a batch-norm as two layers.",
    "Fused: a convolution or product is one layer with the batch-norm and activation behind it, and with a sum that it "
    "alone feeds, and that sum's activation; a join is none, since its parts are written where they belong.",
    "Layer counts are not latency: a fused layer does the same multiplications. What a runtime really fuses, and what "
    "each takes, says chipwise show.",
)


@dataclass(frozen=True, slots=True)
class LayerCounts:
    """Answer of `count_layers`.

    Attributes:
        network: its name.
        source: layers of the graph as it was given, by kind; passed: of the graph after the passes.
        fused: layers that are left of that when runtimes fuse by the rule.
        rule: what is counted, and what the numbers do not say; each a paragraph.
    """

    network: str
    source: dict[str, int]
    passed: dict[str, int]
    fused: int
    rule: tuple[str, ...] = RULE
    schema: str = "chipwise.layer-counts/1"

    @property
    def as_caffe(self) -> int:
        """Layers of the source where each batch-norm is two: one normalizes, the other scales."""
        return sum(self.source.values()) + self.source.get("batch-norm", 0)
