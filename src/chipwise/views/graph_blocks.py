"""A network's rows as boxes within boxes: what a picture of it is drawn from.

Rows are grouped by their module path ("layer1.0.conv1" lies in "layer1.0", which lies in "layer1"); a long run of rows
without paths is grouped by the size of its results. A group that would both read and feed another one is dissolved.

>>> from chipwise.core.layer import Layer
>>> rows = (Layer("a.x", "Conv", (), ((1, 2),)), Layer("a.y", "Relu", (), ((1, 2),), after=("a.x",)))
>>> [box.title for box in grouped(rows).boxes[0].boxes]
['x', 'y']
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from chipwise.core.layer import Layer, Shape

MOST = 60  # boxes that one picture shows at once before it closes groups
_RUN = 24


@dataclass(frozen=True, slots=True)
class Box:
    """A row, or a group of boxes.

    Attributes:
        name: unique; title: what is written on it.
        row: of a single layer; None for a group.
        boxes: what a group holds, in the order of the rows; links: (from, to) places among them, where -1 is what
            comes from outside and `len(boxes)` is what goes out.
    """

    name: str
    title: str
    row: Layer | None = None
    boxes: tuple[Box, ...] = ()
    links: tuple[tuple[int, int], ...] = ()

    @property
    def rows(self) -> tuple[Layer, ...]:
        """All layers in it."""
        return (self.row,) if self.row is not None else tuple(row for box in self.boxes for row in box.rows)


def grouped(rows: Sequence[Layer]) -> Box:
    """The whole network as one box.

    Args:
        rows: with unique names; `after` says which rows feed which.
    """
    known = {row.name for row in rows}
    feeds = [(name, row.name) for row in rows for name in row.after if name in known]
    tree = _tree([(_path(row.name), row) for row in rows], "")
    root = Box("", "", boxes=tuple(_runs(_settled(tree, feeds))))
    first = [row.name for row in rows if not row.after]
    return _linked(root, feeds, first, [row.name for row in unread(rows)])


def unread(rows: Sequence[Layer]) -> list[Layer]:
    """Rows whose results no other row reads: the network's outputs."""
    read = {name for row in rows for name in row.after}
    return [row for row in rows if row.name not in read]


def opened(root: Box, most: int = MOST) -> frozenset[str]:
    """Names of the groups to show open: outer ones first, neighbours together, at most `most` boxes in all."""
    shown: set[str] = set()
    count, level = len(root.boxes), [root]
    while level:
        parent = level.pop(0)
        groups = [box for box in parent.boxes if box.boxes]
        more = sum(len(box.boxes) - 1 for box in groups)
        if count + more <= most:
            count += more
            shown.update(box.name for box in groups)
            level += groups
    return frozenset(shown)


def _path(name: str) -> tuple[str, ...]:
    """Module path of a row; ONNX names repeat the path so far ("/layer1/layer1.0/conv1/Conv")."""
    parts = [part for part in re.split(r"[/.]", name) if part]
    once: list[str] = []
    for piece in name.split("/"):
        words = [word for word in piece.split(".") if word]
        shared = next((size for size in range(len(words) - 1, 0, -1) if once[-size:] == words[:size]), 0)
        once += words[shared:]
    return tuple(once or parts or [name])


def _tree(rows: Sequence[tuple[tuple[str, ...], Layer]], prefix: str) -> list[Box]:
    """Rows with the first word of their path in common lie in one group; a group of one is no group."""
    order: dict[str, list[tuple[tuple[str, ...], Layer]]] = defaultdict(list)
    for path, row in rows:
        order[path[0] if len(path) > 1 else f"\0{row.name}"].append((path, row))
    made = []
    for word, members in order.items():
        name = f"{prefix}{word}"
        if word.startswith("\0"):
            path, row = members[0]
            made.append(Box(row.name, _title(path[-1], prefix), row))
            continue
        inner = _tree([(path[1:], row) for path, row in members], f"{name}.")
        alone = replace(inner[0], title=f"{word}.{inner[0].title}")
        made.append(alone if len(inner) == 1 else Box(name, _title(word, prefix), None, tuple(inner)))
    return made


def _title(word: str, prefix: str) -> str:
    """A number alone says nothing: "layer1.0"."""
    title = word
    for parent in reversed(prefix.split(".")[:-1]):
        if not title.partition(".")[0].isdigit():
            break
        title = f"{parent}.{title}"
    return title


def _settled(boxes: list[Box], feeds: Sequence[tuple[str, str]]) -> list[Box]:
    """Dissolve groups until no two boxes feed each other, here and inside."""
    while True:
        home = {row.name: place for place, box in enumerate(boxes) for row in box.rows}
        edges = {(home[a], home[b]) for a, b in feeds if a in home and b in home and home[a] != home[b]}
        knot = _knot(len(boxes), edges)
        tied = [place for place in knot if boxes[place].boxes]
        if not tied:
            boxes = _sorted(boxes, edges)
            break
        worst = max(tied, key=lambda place: len(boxes[place].rows))
        inner = [replace(box, title=f"{boxes[worst].title}.{box.title}") for box in boxes[worst].boxes]
        boxes = [*boxes[:worst], *inner, *boxes[worst + 1 :]]
    return [replace(box, boxes=tuple(_runs(_settled(list(box.boxes), feeds)))) if box.boxes else box for box in boxes]


def _sorted(boxes: list[Box], edges: set[tuple[int, int]]) -> list[Box]:
    """As they stand where that suits the edges; a group may stand before what feeds it."""
    if all(start < end for start, end in edges):
        return boxes
    sorter = TopologicalSorter({place: [start for start, end in edges if end == place] for place in range(len(boxes))})
    return [boxes[place] for place in sorter.static_order()]


def _knot(count: int, edges: Iterable[tuple[int, int]]) -> set[int]:
    """What is left when everything is taken away that nothing left leads to, or that leads to nothing left."""
    left, links = set(range(count)), set(edges)
    while True:
        entered, leaves = {end for _, end in links}, {start for start, _ in links}
        free = {place for place in left if place not in entered or place not in leaves}
        if not free:
            return left
        left -= free
        links = {(start, end) for start, end in links if start in left and end in left}


def _runs(boxes: list[Box]) -> list[Box]:
    """More boxes side by side than a picture can show: neighbours with results of one size become groups."""
    if len(boxes) <= MOST:
        return boxes
    runs: list[list[Box]] = []
    for box in boxes:
        alike = bool(runs) and _side(runs[-1][-1]) == _side(box) and len(runs[-1]) < _RUN
        if alike or (runs and len(runs[-1]) < 3):
            runs[-1].append(box)
        else:
            runs.append([box])
    made = []
    for run in runs:
        title = f"{run[0].title} … {run[-1].title}"
        made += run if len(run) == 1 else [Box(f"{run[0].name} …", title, None, tuple(run))]
    return _runs(made) if len(made) < len(boxes) else made


def _side(box: Box) -> Shape:
    outputs = box.rows[-1].outputs
    return outputs[0][2:] if outputs and len(outputs[0]) > 2 else ()


def _linked(box: Box, feeds: Sequence[tuple[str, str]], first: Sequence[str], last: Sequence[str]) -> Box:
    """Fill in the links of a group and of those inside, each with what crosses its border.

    Feeds are pairs of names with both ends anywhere; `first` reads the network's inputs, `last` makes its outputs.
    """
    home = {row.name: place for place, inner in enumerate(box.boxes) for row in inner.rows}
    end = len(box.boxes)
    links = [(home.get(a, -1), home.get(b, end)) for a, b in feeds if a in home or b in home]
    links += [(-1, home[name]) for name in first if name in home]
    links += [(home[name], end) for name in last if name in home]
    inside = []
    for inner in box.boxes:
        names = {row.name for row in inner.rows}
        own = [(a, b) for a, b in feeds if a in names or b in names] if inner.boxes else []
        inside.append(_linked(inner, own, first, last) if inner.boxes else inner)
    kept = dict.fromkeys((a, b) for a, b in links if a != b and (a, b) != (-1, end))
    return replace(box, boxes=tuple(inside), links=tuple(kept))


@dataclass(frozen=True, slots=True)
class Facts:
    """What is written on a box, and its share of the whole network's work and traffic, 0..1."""

    kind: str
    detail: str
    shape: Shape
    parameters: int
    flops: int
    moved_bytes: int
    flops_share: float
    bytes_share: float
    known: bool


def facts(box: Box, flops: int, moved_bytes: int) -> Facts:
    """Sum up a layer or a group; FLOPs and bytes are those of the whole network."""
    rows = box.rows
    work, moved = sum(row.flops for row in rows), sum(row.moved_bytes for row in rows)
    shape = rows[-1].outputs[0] if rows[-1].outputs else ()
    return Facts(
        rows[0].op if box.row else "group",
        _operator(rows[0]) if box.row else _summary(rows),
        shape,
        sum(row.parameters for row in rows),
        work,
        moved,
        work / flops if flops else 0.0,
        moved / moved_bytes if moved_bytes else 0.0,
        all(row.known for row in rows),
    )


def _operator(row: Layer) -> str:
    """Operator, window, step and activation of one layer: "Conv 3×3 /2 + Relu"."""
    window = f" {'×'.join(map(str, row.kernel))}" if row.kernel else ""
    step = max(row.stride, default=1)
    groups = f" g{row.groups}" if row.groups > 1 else ""
    activation = f" + {_short(row.activation)}" if row.activation else ""
    return f"{_short(row.op)}{window}{f' /{step}' if step > 1 else ''}{groups}{activation}"


def _short(op: str) -> str:
    return op.replace("Normalization", "Norm")


def _summary(rows: Sequence[Layer]) -> str:
    counts = Counter(row.op for row in rows)
    said = ", ".join(f"{count} {_short(op)}" for op, count in counts.most_common(2))
    return f"{len(rows)} layers: {said}" if len(counts) <= 2 else f"{len(rows)} layers: {said}, …"


def all_boxes(root: Box) -> Iterator[Box]:
    """Every box inside, outer ones first."""
    for box in root.boxes:
        yield box
        yield from all_boxes(box)


def visible(root: Box, shown: frozenset[str]) -> Iterator[Box]:
    """The boxes that are seen when these groups are open."""
    for box in root.boxes:
        if box.name in shown and box.boxes:
            yield from visible(box, shown)
        else:
            yield box
