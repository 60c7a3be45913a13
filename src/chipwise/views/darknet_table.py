"""A network in the columns of Darknet's own table (its `fprintf` formats, github.com/pjreddie/darknet, src/*_layer.c).

Batch-norm, activation and bias belong to the line of their convolution, whose BFLOPs count neither, as there. Lines
that Darknet has and a graph has not are put where they would stand: a `route` where a layer reads another one than the
line before it, the `softmax` of a classifier and the `yolo` of a detector, which are the task's business here. A
network from a .cfg keeps that file's numbers, also where a layer (dropout, cost) does nothing and has no line.

>>> from chipwise.core.layer import Layer, totals
>>> from chipwise.core.report import Inspection
>>> conv = Layer("0", "Conv", ((1, 3, 256, 256),), ((1, 32, 256, 256),), kernel=(3, 3), stride=(1, 1))
>>> print(darknet_table(Inspection("net", "", 1, (), (), (conv,), totals([conv]))).splitlines()[1])
    0 conv     32  3 x 3 / 1   256 x 256 x   3   ->   256 x 256 x  32  0.113 BFLOPs
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

from chipwise.core.layer import Layer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chipwise.core.layer import Shape
    from chipwise.core.report import Inspection

_HEAD = "layer     filters    size              input                output"
_POOLS = frozenset({"GlobalAveragePool", "ReduceMean"})
_DENSE = frozenset({"Gemm", "MatMul"})
_MOVES = frozenset({"DepthToSpace", "Reshape", "SpaceToDepth", "Transpose"})
_CUTS = frozenset({"Gather", "Slice", "Split"})
_OWN = frozenset({"AveragePool", "Concat", "Conv", "ConvTranspose", "MaxPool", "Resize", "Softmax"}) | _POOLS | _DENSE
_JOINS = frozenset({"Add", "Mul"})
_DETECTORS = {"detection:yolo": "yolo", "detection:region": "detection", "detection:yolo-v1": "Detection Layer"}
_BY_WORD = frozenset({"crop", "local"})  # several rows in a graph, known by the name that the reader gives
_NUMBERED = re.compile(r"(\d{3,})_\w+")  # as the reader of .cfg files names its rows


@dataclass(slots=True)
class _Line:
    """A line to be printed: its rows, the places of the lines that it reads, and its number once it has one."""

    rows: list[Layer]
    reads: list[int]
    number: int = -1

    @property
    def row(self) -> Layer:
        """The row that the line tells of."""
        return next((row for row in self.rows if row.op in _OWN or row.op in _JOINS), self.rows[-1])

    @property
    def after(self) -> Layer:
        """The row whose result leaves the line."""
        return self.rows[-1]


def darknet_table(record: Inspection) -> str:
    """The lines that Darknet prints when it loads a network."""
    numbers = [_NUMBERED.fullmatch(row.name) for row in record.layers]
    named = {found[0]: int(found[1]) for found in numbers if found} if all(numbers) else {}
    lines = _lines(record.layers, named)
    read = {place for line in lines for place in line.reads}
    detector = _DETECTORS.get(record.task, "")
    printed: list[tuple[int, str]] = []
    for place, line in enumerate(lines):
        before, last = [lines[each] for each in line.reads], printed[-1][0] if printed else -1
        line.number = named.get(line.row.name, last + 1)
        joined = line.row.op == "Concat" or _is_cut(line)
        if before and not joined and last not in [each.number for each in before]:
            printed.append((last + 1, f"route  {before[0].number}"))
            line.number = named.get(line.row.name, last + 2)
        printed.append((line.number, _text(line, before)))
        if place not in read and detector:
            printed.append((line.number + 1, detector))
    printed += _last(record, lines, printed)
    return "\n".join([_HEAD, *(f"{number:5d} {text}" for number, text in printed)])


def _last(record: Inspection, lines: Sequence[_Line], printed: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
    """The softmax of a classifier whose graph ends with scores."""
    if not lines or record.task != "classification" or lines[-1].row.op == "Softmax":
        return []
    made = lines[-1].after.outputs
    return [(printed[-1][0] + 1, _softmax(made[0]))] if made and prod(_planes(made[0])[1:]) == 1 else []


def _lines(rows: Sequence[Layer], named: dict[str, int]) -> list[_Line]:
    """Rows that Darknet has a layer for; the others are part of the line that they read."""
    lines: list[_Line] = []
    home: dict[str, int] = {}
    numbers: dict[int, int] = {}
    for row in map(_softmax_apart, rows):
        reads = list(dict.fromkeys(home[name] for name in row.after if name in home))
        own = numbers.get(named[row.name]) if named else None
        if own is None and not named and len(reads) == 1 and _belongs(row, lines[reads[0]].after):
            own = reads[0]
        if own is not None:
            home[row.name] = own
            lines[own].rows.append(row)
            lines[own].reads += [place for place in reads if place not in (own, *lines[own].reads)]
            continue
        home[row.name] = len(lines)
        if named:
            numbers[named[row.name]] = len(lines)
        lines.append(_Line([row], reads))
        if row.activation == "Softmax" and row.op != "Softmax":
            lines.append(_Line([Layer(f"{row.name} softmax", "Softmax", row.outputs, row.outputs)], [len(lines) - 1]))
            home[row.name] = len(lines) - 1
    return lines


def _softmax_apart(row: Layer) -> Layer:
    """A softmax that was folded into what only flattens: Darknet has a line for the one, not for the other."""
    return replace(row, op="Softmax", activation="") if row.activation == "Softmax" and row.op not in _OWN else row


def _belongs(row: Layer, before: Layer) -> bool:
    """Whether a row is no layer of its own in Darknet: what works on each value, or only says how values lie."""
    if row.op in _MOVES:
        return not _reordered(row, before)
    same = bool(row.outputs and before.outputs) and prod(row.outputs[0]) == prod(before.outputs[0])
    return row.op == "Pad" or (row.op not in _OWN and same and not row.op.startswith(("LSTM", "GRU", "RNN")))


def _reordered(row: Layer, before: Layer) -> bool:
    """Pixels that became channels: Darknet's [reorg]."""
    if not row.outputs or not before.outputs or len(row.outputs[0]) != 4 or len(before.outputs[0]) != 4:
        return False
    made, given = _planes(row.outputs[0]), _planes(before.outputs[0])
    return made[2] != given[2] and made[:2] != given[:2]


def _is_cut(line: _Line) -> bool:
    """Some of the channels of one layer: Darknet's [route] with groups."""
    return line.row.op in _CUTS and len(line.reads) == 1


def _text(line: _Line, before: Sequence[_Line]) -> str:
    """One line without its number."""
    row, numbers = line.row, [each.number for each in before]
    words = [row.name.partition("_")[2] for row in line.rows if _NUMBERED.fullmatch(row.name)]
    word = next((word for word in words if word in _BY_WORD), "")
    if word:
        given = before[0].after.outputs[0] if before else line.rows[0].inputs[0]
        return f"{word:<22}  {_size(given)}   ->  {_size(line.after.outputs[0])}"
    if row.op == "Concat":
        return f"route  {' '.join(map(str, numbers))}"
    if row.op in _JOINS and len(before) > 1:
        other = min(before, key=lambda each: each.number)
        shape = _size(other.after.outputs[0] if other.after.outputs else ())
        made = _size(line.after.outputs[0] if line.after.outputs else ())
        scaled = f"scale Layer: {other.number}"
        return f"res  {other.number:3d}                {shape}   ->  {made}" if row.op == "Add" else scaled
    if _is_cut(line):
        groups = max(_given(row)[0] // max(_made(row)[0], 1), 1)
        return f"route  {numbers[0]:<30} 1/{groups} ->  {_size(row.outputs[0])}"
    if row.op in _DENSE:
        return _dense(line)
    return _softmax(row.outputs[0]) if row.op == "Softmax" else _window(row)


def _dense(line: _Line) -> str:
    many = [row for row in line.rows if row.op in _DENSE]
    given, made = prod(many[0].inputs[0][1:]), prod(line.after.outputs[0][1:])
    if len(many) > 1:
        return f"RNN Layer: {given} inputs, {made} outputs"
    return f"connected                            {given:4d}  ->  {made:4d}"


def _window(row: Layer) -> str:
    """Layers that take a map and give one."""
    (c, h, w), (made_c, made_h, made_w) = _given(row), _made(row)
    given, made = _size((1, c, h, w)), _size((1, made_c, made_h, made_w))
    size, stride = (*row.kernel, 1)[0], max(row.stride, default=1)
    if row.op == "Conv":
        work = 2.0 * made_c * prod(row.kernel) * c / row.groups * made_h * made_w / 1e9
        across = row.kernel[-1] if row.kernel else 1
        return f"conv  {made_c:5d} {size:2d} x{across:2d} /{stride:2d}  {given}   ->  {made}  {work:5.3f} BFLOPs"
    if row.op == "MaxPool":
        return f"max          {size} x {size} / {stride}  {given}   ->  {made}"
    if row.op in _POOLS or (row.op == "AveragePool" and (made_h, made_w) == (1, 1)):
        return f"avg                     {given}   ->  {made_c:4d}"
    if row.op == "Resize":
        return f"upsample           {max(made_w // max(w, 1), 1):2d}x  {given}   ->  {made}"
    if row.op in _MOVES:
        return f"reorg              /{max(w // max(made_w, 1), 1):2d}  {given}   ->  {made}"
    return f"{row.op:<22} {given}   ->  {made}"


def _softmax(shape: Shape) -> str:
    return f"softmax                                        {prod(shape[1:]):4d}"


def _given(row: Layer) -> tuple[int, int, int]:
    return _planes(row.inputs[0] if row.inputs else ())


def _made(row: Layer) -> tuple[int, int, int]:
    return _planes(row.outputs[0] if row.outputs else ())


def _planes(shape: Shape) -> tuple[int, int, int]:
    """Channels, height and width of a shape with its batch; 1 where there is none."""
    c, h, w = (*shape[1:4], 1, 1, 1)[:3]
    return c, h, w


def _size(shape: Shape) -> str:
    c, h, w = _planes(shape)
    return f"{w:4d} x{h:4d} x{c:4d}"
