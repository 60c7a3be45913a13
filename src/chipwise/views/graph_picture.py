"""A network as a picture: boxes with shapes, parameters and shares of the work, from its inputs down to its outputs.

`graph_svg` is one drawing that follows the reader's light or dark; `graph_html` is a page without any request in which
groups open and close.

>>> from chipwise.core.layer import Layer, totals
>>> from chipwise.core.report import Inspection
>>> rows = (Layer("fc", "Gemm", ((1, 4),), ((1, 2),), parameters=10, flops=18),)
>>> "fc" in graph_svg(Inspection("tiny", "tiny", 1, (), (), rows, totals(rows)))
True
"""

from __future__ import annotations

import importlib.resources
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from chipwise.views.graph_blocks import Box, all_boxes, grouped, opened, unread
from chipwise.views.graph_layout import layered
from chipwise.views.graph_marks import HEIGHT, PILL, PILL_WIDTH, WIDTH, Ink, frame, text
from chipwise.views.units import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from chipwise.core.network import TensorSpec
    from chipwise.core.report import Inspection

GAP, STEP, PAD, HEAD = 20.0, 24.0, 14.0, 26.0
Point = tuple[float, float, float]  # x, and y from and to


@dataclass(slots=True)
class _Block:
    """One group, or the network: where its boxes and edges lie while the groups in `shown` are open."""

    boxes: list[Box]
    rows: list[int]
    centres: list[float]
    sizes: list[tuple[float, float]]
    edges: list[tuple[int, int, list[float]]]
    inside: dict[int, _Block]
    shown: frozenset[int]


@dataclass(slots=True)
class _Drawing:
    """A block with everything placed; the corner is 0, 0, and `left` is what was its leftmost x."""

    left: float
    width: float
    height: float
    places: list[tuple[Box, float, float]]
    frames: list[tuple[Box, float, float, float, float]]
    paths: list[list[Point]]


def graph_svg(record: Inspection) -> str:
    """Draw a network; where it has more than about 60 layers, groups of layers become one box each."""
    root = grouped(record.layers)
    shown = opened(root)
    block = _whole(record, root, shown, closed=False)
    drawing = _drawn(block)
    head = 62.0
    ink = Ink.of(record, root, shown)
    width, height = max(drawing.width, 430.0) + 2 * PAD, drawing.height + head + 2 * PAD
    shift = (width - drawing.width) / 2
    boxes = "".join(ink.mark(box, f'transform="translate({x:.1f} {y:.1f})"') for box, x, y in drawing.places)
    frames = "".join(frame(box, *place) for box, *place in drawing.frames)
    edges = "".join(f'<path class="edge" d="{_curve(path)}"/>' for path in drawing.paths)
    style = importlib.resources.files("chipwise.views").joinpath("graph.css").read_text(encoding="utf-8")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img" aria-label="{text(ink.headline)}">\n<style>{style}</style>\n'
        f'<rect class="paper" width="100%" height="100%"/>\n<g transform="translate({PAD} {PAD})">{ink.legend()}</g>'
        f'<g transform="translate({shift:.1f} {PAD + head})">{frames}{edges}{boxes}</g>\n</svg>\n'
    )


def graph_html(record: Inspection) -> str:
    """The same as a page: groups open and close, drag to pan, wheel to zoom, search, details of what is pointed at."""
    root = grouped(record.layers)
    shown = opened(root)
    block = _whole(record, root, shown, closed=True)
    ink = Ink.of(record, root, shown)
    boxes = [*block.boxes, *(inner for box in block.boxes for inner in all_boxes(box))]
    numbers = {box.name: index for index, box in enumerate(boxes)}
    document = {
        "root": _as_data(block, numbers),
        "open": sorted(numbers[name] for name in shown),
        "gap": GAP, "step": STEP, "pad": PAD, "head": HEAD,
    }  # fmt: skip
    page = Environment(
        loader=PackageLoader("chipwise", "views"), autoescape=True, trim_blocks=True, undefined=StrictUndefined
    ).get_template("graph.html.j2")
    return page.render(
        title=plain(record.name),
        headline=ink.totals,
        scale=ink.scale,
        marks=[Markup(ink.mark(box, f'id="b{index}"')) for index, box in enumerate(boxes)],  # noqa: S704  escaped there
        frames=[(numbers[box.name], plain(box.title)) for box in boxes if box.boxes],
        data=Markup(json.dumps(document, separators=(",", ":")).replace("<", "\\u003c")),  # noqa: S704
    )


def _whole(record: Inspection, root: Box, shown: frozenset[str], *, closed: bool) -> _Block:
    """The network's block, with inputs above and outputs below; `closed`: with what closed groups hold."""
    count = len(root.boxes)
    inputs = [Box(f"\0in {spec.name}", spec.name) for spec in record.inputs] or [Box("\0in", "input")]
    outputs = _outputs(record, root)
    boxes = [*root.boxes, *inputs, *(box for box, _ in outputs)]
    links = [(a, b) for a, b in root.links if a >= 0 and b < count]
    for start, reader in root.links:
        if start < 0:
            links += [(count + place, reader) for place in _read(record.inputs, record.batch, root.boxes[reader])]
    for number, (_, places) in enumerate(outputs):
        links += [(place, count + len(inputs) + number) for place in places]
    return _block(boxes, links, shown, closed=closed)


def _outputs(record: Inspection, root: Box) -> list[tuple[Box, list[int]]]:
    """Each output with the place of the box that makes it, told by its shape; one for all where they do not match."""
    home = {row.name: place for place, box in enumerate(root.boxes) for row in box.rows}
    left = unread(record.layers)
    if len(left) != len(record.outputs):
        name = ", ".join(spec.name for spec in record.outputs) or "output"
        return [(Box(f"\0out {name}", name), list(dict.fromkeys(home[row.name] for row in left)))] if left else []
    made = []
    for spec in record.outputs:
        row = next((row for row in left if spec.concrete(record.batch) in row.outputs), left[0])
        left.remove(row)
        made.append((Box(f"\0out {spec.name}", spec.name), [home[row.name]]))
    return made


def _read(inputs: Sequence[TensorSpec], batch: int, box: Box) -> list[int]:
    """Which inputs a box reads: those with a shape that one of its first rows takes; the first where none fits."""
    taken = {shape for row in box.rows if not row.after for shape in row.inputs}
    fitting = [place for place, spec in enumerate(inputs) if spec.concrete(batch) in taken]
    return fitting if fitting and len(inputs) > 1 else [0]


def _block(boxes: Sequence[Box], links: Iterable[tuple[int, int]], shown: frozenset[str], *, closed: bool) -> _Block:
    """Lay out one level and, first, what is shown inside."""
    inside = {}
    for place, box in enumerate(boxes):
        if box.boxes and (closed or box.name in shown):
            ports = [(len(box.boxes) if a < 0 else a, b + (b == len(box.boxes))) for a, b in box.links]
            inside[place] = _block([*box.boxes, Box("\0top", ""), Box("\0end", "")], ports, shown, closed=closed)
    sizes = []
    for place, box in enumerate(boxes):
        if box.boxes and box.name in shown:
            inner = _drawn(inside[place])
            sizes.append((inner.width + 2 * PAD, inner.height + HEAD + PAD))
        else:
            sizes.append(_size(box))
    flow = layered([width for width, _ in sizes], list(links), GAP)
    edges = [(a, b, list(bends)) for (a, b), bends in flow.bends.items()]
    seen = frozenset(place for place in inside if boxes[place].name in shown)
    return _Block(list(boxes), list(flow.rows), list(flow.centres), sizes, edges, inside, seen)


def _size(box: Box) -> tuple[float, float]:
    if box.row is not None or box.boxes:
        return WIDTH, HEIGHT
    return (0.0, 0.0) if not box.title else (PILL_WIDTH, PILL)


def _drawn(block: _Block) -> _Drawing:
    """Turn rows and centres into places and paths, inner blocks included; `graph.js` does the same in the page."""
    count = max(block.rows, default=-1) + 1
    heights = [
        max((h for row, (_, h) in zip(block.rows, block.sizes, strict=True) if row == r), default=0.0)
        for r in range(count)
    ]
    tops = [0.0] * count
    for row in range(1, count):  # what only stands for the border has no height, and needs less room
        tops[row] = tops[row - 1] + heights[row - 1] + (STEP if heights[row] and heights[row - 1] else STEP / 3)
    lefts = [centre - width / 2 for centre, (width, _) in zip(block.centres, block.sizes, strict=True)]
    rights = [centre + width / 2 for centre, (width, _) in zip(block.centres, block.sizes, strict=True)]
    bends = [x for _, _, xs in block.edges for x in xs]
    left, right = min([*lefts, *bends], default=0.0), max([*rights, *bends], default=0.0)
    made = _Drawing(left, right - left, tops[-1] + heights[-1] if count else 0.0, [], [], [])
    middles = []
    for place, (box, x, (width, height), row) in enumerate(
        zip(block.boxes, lefts, block.sizes, block.rows, strict=True)
    ):
        y = tops[row] + (heights[row] - height) / 2
        middles.append((y, y + height))
        if place not in block.shown:
            made.places += [(box, x - left, y)] if width else []
            continue
        inner = _drawn(block.inside[place])
        dx, dy = x - left + PAD, y + HEAD
        made.frames.append((box, x - left, y, width, height))
        made.frames += [(each, fx + dx, fy + dy, w, h) for each, fx, fy, w, h in inner.frames]
        made.places += [(each, px + dx, py + dy) for each, px, py in inner.places]
        top, end = (block.inside[place].centres[port] - inner.left for port in (-2, -1))
        middle, foot = block.centres[place] - left, y + height
        made.paths.append([(middle, y, y), (top + dx, dy, dy)])
        made.paths.append([(end + dx, foot - PAD, foot - PAD), (middle, foot, foot)])
        made.paths += [[(px + dx, top + dy, bottom + dy) for px, top, bottom in path] for path in inner.paths]
    for start, end, xs in block.edges:
        points = [
            (block.centres[start] - left, middles[start][1], tops[block.rows[start]] + heights[block.rows[start]])
        ]
        for step, x in enumerate(xs, block.rows[start] + 1):
            points.append((x - left, tops[step], tops[step] + heights[step]))
        points.append((block.centres[end] - left, tops[block.rows[end]], middles[end][0]))
        made.paths.append(points)
    return made


def _curve(points: Sequence[Point]) -> str:
    """A line that goes straight through rows and bends between them; each point is x, and y from and to."""
    parts = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    before = points[0]
    if before[2] > before[1]:
        parts.append(f"L{before[0]:.1f} {before[2]:.1f}")
    for x, top, bottom in points[1:]:
        middle = (before[2] + top) / 2
        parts.append(f"C{before[0]:.1f} {middle:.1f} {x:.1f} {middle:.1f} {x:.1f} {top:.1f}")
        if bottom > top:
            parts.append(f"L{x:.1f} {bottom:.1f}")
        before = (x, top, bottom)
    return "".join(parts)


def _as_data(block: _Block, numbers: dict[str, int]) -> dict[str, Any]:
    nodes = []
    for place, (box, row, centre, size) in enumerate(
        zip(block.boxes, block.rows, block.centres, block.sizes, strict=True)
    ):
        node: dict[str, Any] = {"n": numbers.get(box.name, -1), "r": row, "x": round(centre, 1), "s": size}
        if place in block.inside:
            node |= {"g": _as_data(block.inside[place], numbers), "c": _size(box)}
        nodes.append(node)
    return {"nodes": nodes, "edges": [[a, b, [round(x, 1) for x in xs]] for a, b, xs in block.edges]}
