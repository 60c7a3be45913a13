"""The single marks of a network's picture: a box for a layer or a group, an input or output, a frame, the legend.

>>> text("<a>")
'&lt;a&gt;'
"""

from __future__ import annotations

import html
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chipwise.views.graph_blocks import facts, visible
from chipwise.views.units import format_bytes, format_count, format_flops, format_share, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chipwise.core.report import Inspection
    from chipwise.views.graph_blocks import Box, Facts

WIDTH, HEIGHT = 216.0, 56.0
PILL_WIDTH, PILL = 150.0, 34.0
_BAR = 62.0
_KINDS = {
    "conv": "Conv ConvTranspose ConvInteger QLinearConv",
    "dense": "Gemm MatMul MatMulInteger QLinearMatMul LSTM GRU RNN Attention Einsum Gather",
    "pool": "MaxPool AveragePool GlobalAveragePool GlobalMaxPool ReduceMean Resize",
    "norm": "BatchNormalization LayerNormalization GroupNormalization InstanceNormalization LRN RMSNormalization",
    "join": "Add Concat Mul Sub Div Sum",
    "group": "group",
}
_KIND = {op: kind for kind, ops in _KINDS.items() for op in ops.split()}


@dataclass(frozen=True, slots=True)
class Ink:
    """What every mark of one network is drawn with: its totals, and what a full bar stands for."""

    record: Inspection
    largest: float

    @classmethod
    def of(cls, record: Inspection, root: Box, shown: frozenset[str]) -> Ink:
        """Bars compare with the largest share that one box has, with these groups open."""
        total = record.totals
        shares = [facts(box, total.flops, total.moved_bytes) for box in visible(root, shown)]
        return cls(record, max((max(each.flops_share, each.bytes_share) for each in shares), default=0.0) or math.inf)

    @property
    def scale(self) -> str:
        """The share that a full bar stands for; empty when there is none."""
        return format_share(self.largest, 1) if math.isfinite(self.largest) else ""

    @property
    def totals(self) -> str:
        """Sums of the whole network."""
        return totals_of(self.record)

    @property
    def headline(self) -> str:
        """Name and sums."""
        return f"{plain(self.record.name)}: {self.totals}"

    def mark(self, box: Box, attributes: str) -> str:
        """One closed box, input or output as an SVG group with these attributes."""
        return self._layer(box, attributes) if box.row is not None or box.boxes else self._end(box, attributes)

    def _end(self, box: Box, attributes: str) -> str:
        specs = (*self.record.inputs, *self.record.outputs)
        spec = next((each for each in specs if each.name == box.title), None)
        shape = _cut(_shape(spec.shape), 26) if spec else ""
        return (
            f'<g class="end" {attributes}><title>{text(box.title)}</title>'
            f'<rect width="{PILL_WIDTH}" height="{PILL}" rx="{PILL / 2}"/>'
            f'<text x="75" y="{15 if shape else 21}" text-anchor="middle">{text(_cut(box.title, 22))}</text>'
            f'<text class="q" x="75" y="27" text-anchor="middle">{text(shape)}</text></g>'
        )

    def _layer(self, box: Box, attributes: str) -> str:
        fact = facts(box, self.record.totals.flops, self.record.totals.moved_bytes)
        under = f'<rect class="under" x="4" y="4" width="{WIDTH}" height="{HEIGHT}" rx="6"/>' if box.boxes else ""
        known = bool(box.rows[-1].outputs)
        shape = _cut(_shape(fact.shape[1:] if len(fact.shape) > 1 else fact.shape), 16) if known else ""
        room = int((180 - 6.6 * len(shape)) / 7.7)  # both stand in one line
        parameters = format_count(fact.parameters) if fact.parameters else ""
        focus = f' tabindex="0"{_BUTTON if box.boxes else ""}' if attributes.startswith("id") else ""
        return (
            f'<g class="box {_KIND.get(fact.kind, "other")}" {attributes}{focus}>'
            f"<title>{text(_details(box, fact))}</title>{under}"
            f'<rect class="body" width="{WIDTH}" height="{HEIGHT}" rx="6"/>'
            f'<path class="kind" d="M6 0a6 6 0 0 0-6 6V{HEIGHT - 6}a6 6 0 0 0 6 6z"/>'
            f'<text class="t" x="13" y="17">{text(_cut(plain(box.title), room))}</text>'
            f'<text class="q" x="{WIDTH - 9}" y="17" text-anchor="end">{text(shape)}</text>'
            f'<text class="q" x="13" y="32">{text(_cut(fact.detail, 30 - len(parameters)))}</text>'
            f'<text class="q" x="{WIDTH - 9}" y="32" text-anchor="end">{parameters}</text>'
            f"{self._bar(13, fact.flops_share if fact.known else None, 'flops')}"
            f"{self._bar(116, fact.bytes_share, 'bytes')}</g>"
        )

    def _bar(self, x: float, share: float | None, kind: str) -> str:
        filled = min((share or 0.0) / self.largest, 1.0) * _BAR
        return (
            f'<rect class="track" x="{x}" y="43" width="{_BAR}" height="4" rx="2"/>'
            f'<rect class="{kind}" x="{x}" y="43" width="{filled:.1f}" height="4" rx="2"/>'
            f'<text class="s" x="{x + _BAR + 5}" y="48">{"?" if share is None else format_share(share, 1)}</text>'
        )

    def legend(self) -> str:
        """Name, sums, and what the bars mean; 62 high."""
        return (
            f'<text class="h" x="0" y="16">{text(_cut(plain(self.record.name), 48))}</text>'
            f'<text class="q" x="0" y="33">{text(self.totals)}</text>'
            '<rect class="flops" x="0" y="42" width="22" height="4" rx="2"/><text class="q" x="28" y="48">FLOPs</text>'
            '<rect class="bytes" x="70" y="42" width="22" height="4" rx="2"/>'
            f'<text class="q" x="98" y="48">bytes moved: share of the whole; full bar {self.scale}</text>'
        )


def totals_of(record: Inspection) -> str:
    """Sums of a whole network, in one line."""
    total = record.totals
    least = "≥ " if total.unknown_ops else ""
    return (
        f"{total.layers} layers, {format_count(total.parameters)} parameters, {least}{format_flops(total.flops)}, "
        f"{format_bytes(total.moved_bytes)} moved; batch {record.batch}"
    )


_BUTTON = ' role="button" aria-expanded="false"'


def frame(box: Box, x: float, y: float, width: float, height: float) -> str:
    """The border of a group that is shown open."""
    title = _cut(plain(box.title), int((width - 24) / 7.2))
    return (
        f'<g class="frame"><title>{text(box.title)}</title>'
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="9"/>'
        f'<text class="t" x="{x + 12:.1f}" y="{y + 17:.1f}">{text(title)}</text></g>'
    )


def text(value: str) -> str:
    """Any text as the content of an SVG element or attribute."""
    return html.escape(plain(value))


def _details(box: Box, fact: Facts) -> str:
    work = f"{format_flops(fact.flops)} ({format_share(fact.flops_share)})" if fact.known else "work not known"
    rows = box.rows
    taken = " and ".join(_shape(shape) for shape in rows[0].inputs)
    given = " and ".join(_shape(shape) for shape in rows[-1].outputs)
    moved = f"{format_bytes(fact.moved_bytes)} moved ({format_share(fact.bytes_share)})"
    return f"{box.name}: {fact.detail}; {taken} → {given}; {format_count(fact.parameters)} parameters; {work}; {moved}"


def _shape(shape: Sequence[int | str]) -> str:
    return "×".join(str(dim) for dim in shape) or "scalar"


def _cut(words: str, most: int) -> str:
    return words if len(words) <= most else f"{words[: most - 1]}…"
