"""A network in the columns of Darknet's own table (its `fprintf` formats, github.com/pjreddie/darknet, src/*_layer.c).

Batch-norm, activation and bias belong to the line of their convolution, whose BFLOPs count neither, as there. Lines
that Darknet has and a graph has not are put where they would stand: a `route` where a layer reads another one than the
line before it, the `softmax` of a classifier and the `yolo` of a detector, which are the task's business here.

>>> from chipwise.core.layer import Layer, totals
>>> from chipwise.core.report import Inspection
>>> conv = Layer("0", "Conv", ((1, 3, 256, 256),), ((1, 32, 256, 256),), kernel=(3, 3), stride=(1, 1))
>>> print(darknet_table(Inspection("net", "", 1, (), (), (conv,), totals([conv]))).splitlines()[1])
    0 conv     32  3 x 3 / 1   256 x 256 x   3   ->   256 x 256 x  32  0.113 BFLOPs
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chipwise.core.layer import Layer, Shape
    from chipwise.core.report import Inspection

_HEAD = "layer     filters    size              input                output"
_POOLS = frozenset({"GlobalAveragePool", "ReduceMean"})
_DENSE = frozenset({"Gemm", "MatMul"})
_MOVES = frozenset({"DepthToSpace", "Reshape", "SpaceToDepth", "Transpose"})
_DETECTORS = {"detection:yolo": "yolo", "detection:region": "detection", "detection:yolo-v1": "Detection Layer"}


@dataclass(slots=True)
class _Line:
    """A line to be printed: its row, the lines that it reads, and the line's number once it has one."""

    row: Layer
    reads: list[int]
    number: int = -1


def darknet_table(record: Inspection) -> str:
    """The lines that Darknet prints when it loads a network."""
    lines = _lines(record.layers)
    read = {place for line in lines for place in line.reads}
    detector = _DETECTORS.get(record.task, "")
    printed: list[str] = []
    for place, line in enumerate(lines):
        before = [lines[each].number for each in line.reads]
        if before and len(printed) - 1 not in before and line.row.op != "Concat":
            printed.append(f"route  {before[0]}")
            before[0] = len(printed) - 1
        line.number = len(printed)
        printed.append(_text(line.row, before))
        if place not in read and detector:
            printed.append(detector)
    last = lines[-1].row if lines else None
    scores = last is not None and last.op != "Softmax" and bool(last.outputs) and prod(_shape(last)[1:]) == 1
    if last is not None and scores and record.task == "classification":
        printed.append(_softmax(last))
    return "\n".join([_HEAD, *(f"{number:5d} {text}" for number, text in enumerate(printed))])


def _lines(rows: Sequence[Layer]) -> list[_Line]:
    """Rows that Darknet has a layer for; the others are part of the line that they read."""
    lines: list[_Line] = []
    home: dict[str, int] = {}
    for row in rows:
        reads = list(dict.fromkeys(home[name] for name in row.after if name in home))
        if len(reads) == 1 and _belongs(row, lines[reads[0]].row):
            home[row.name] = reads[0]
            continue
        home[row.name] = len(lines)
        lines.append(_Line(row, reads))
        if row.activation == "Softmax" and row.op != "Softmax":
            lines.append(_Line(_only_softmax(row), [len(lines) - 1]))
            home[row.name] = len(lines) - 1
    return lines


def _belongs(row: Layer, before: Layer) -> bool:
    """Whether a row is no layer of its own in Darknet: what works on each value, or only says how values lie."""
    if row.op in _MOVES:
        return not _reordered(row, before)
    own = {"Conv", "ConvTranspose", "Concat", "MaxPool", "AveragePool", "Resize", "Softmax", *_POOLS, *_DENSE}
    return row.op not in own and _same_size(row, before) and not row.op.startswith(("LSTM", "GRU", "RNN"))


def _reordered(row: Layer, before: Layer) -> bool:
    """Pixels that became channels: Darknet's [reorg]."""
    made, given = _shape(row), _shape(before)
    whole = bool(row.outputs) and len(row.outputs[0]) == 4 and len(before.outputs[0]) == 4
    return whole and made[2] != given[2] and made[:2] != given[:2]


def _same_size(row: Layer, before: Layer) -> bool:
    return bool(row.outputs and before.outputs) and prod(row.outputs[0]) == prod(before.outputs[0])


def _text(row: Layer, reads: Sequence[int]) -> str:
    """One line without its number."""
    c, h, w = _given(row)
    made_c, made_h, made_w = _shape(row)
    given, made = f"{w:4d} x{h:4d} x{c:4d}", f"{made_w:4d} x{made_h:4d} x{made_c:4d}"
    size, stride = (*row.kernel, 1)[0], max(row.stride, default=1)
    if row.op == "Conv":
        work = 2.0 * made_c * prod(row.kernel) * c / row.groups * made_h * made_w / 1e9
        across = row.kernel[-1] if row.kernel else 1
        return f"conv  {made_c:5d} {size:2d} x{across:2d} /{stride:2d}  {given}   ->  {made}  {work:5.3f} BFLOPs"
    if row.op == "MaxPool":
        return f"max          {size} x {size} / {stride}  {given}   ->  {made}"
    if row.op in _POOLS or (row.op == "AveragePool" and (made_h, made_w) == (1, 1)):
        return f"avg                     {given}   ->  {made_c:4d}"
    if row.op in _DENSE:
        return f"connected                            {prod(row.inputs[0][1:]):4d}  ->  {prod(row.outputs[0][1:]):4d}"
    if row.op == "Concat":
        return f"route  {' '.join(map(str, reads))}"
    if row.op == "Add" and len(reads) > 1:
        return f"res  {min(reads):3d}                {given}   ->  {made}"
    if row.op == "Resize":
        return f"upsample           {max(made_w // max(w, 1), 1):2d}x  {given}   ->  {made}"
    if row.op in _MOVES:
        return f"reorg              /{max(w // max(made_w, 1), 1):2d}  {given}   ->  {made}"
    if row.op == "Softmax":
        return _softmax(row)
    return f"{row.op:<22} {given}   ->  {made}"


def _softmax(row: Layer) -> str:
    return f"softmax                                        {prod(row.outputs[0][1:]):4d}"


def _only_softmax(row: Layer) -> Layer:
    return type(row)(f"{row.name} softmax", "Softmax", row.outputs, row.outputs)


def _given(row: Layer) -> tuple[int, int, int]:
    return _planes(row.inputs[0] if row.inputs else ())


def _shape(row: Layer) -> tuple[int, int, int]:
    return _planes(row.outputs[0] if row.outputs else ())


def _planes(shape: Shape) -> tuple[int, int, int]:
    """Channels, height and width of a shape with its batch; 1 where there is none."""
    c, h, w = (*shape[1:4], 1, 1, 1)[:3]
    return c, h, w
