"""A formula as lecture notes draw it: operations from left to right, values above the lines, gradients below.

>>> from chipwise.core.computation import Computation, Step
>>> picture = computation_svg(Computation("twice", (Step("x", (), (3.0,), (2.0,)), Step("× 2", (0,), (6.0,), (1.0,)))))
>>> "6.00" in picture
True
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chipwise.views.graph_layout import layered
from chipwise.views.graph_marks import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chipwise.core.computation import Computation, Step

_ROOM, _GAP, _HIGH, _PAD = 54.0, 26.0, 36.0, 20.0
_STYLE = """
svg { --paper: #ffffff; --ink: #16191f; --muted: #5a6472; --line: #98a2af; --value: #1d7446; --gradient: #b3243b; }
@media (prefers-color-scheme: dark) {
  svg { --paper: #181b20; --ink: #e9ebee; --muted: #9aa4b2; --line: #66707d; --value: #6fd39c; --gradient: #ff8093; }
}
text { font: 14px system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; fill: var(--ink); }
.h { font-size: 16px; font-weight: 680; }
.q { fill: var(--muted); font-size: 12px; }
.v { fill: var(--value); font-size: 12px; font-variant-numeric: tabular-nums; }
.g { fill: var(--gradient); font-size: 12px; font-variant-numeric: tabular-nums; }
.paper { fill: var(--paper); }
.op { fill: var(--paper); stroke: var(--ink); stroke-width: 1.2; }
.edge { fill: none; stroke: var(--line); stroke-width: 1.3; }
"""


@dataclass(frozen=True, slots=True)
class _Column:
    """Steps that stand above each other: left edge, width of the widest, room for the numbers that leave them."""

    left: float
    body: float
    tail: float

    @property
    def right(self) -> float:
        return self.left + self.body + self.tail


def computation_svg(record: Computation) -> str:
    """Draw a computation; it follows the reader's light or dark."""
    steps = record.steps
    flow = layered([_HIGH] * len(steps), [(a, b) for b, step in enumerate(steps) for a in step.reads], _GAP)
    columns = _columns(steps, flow.rows)
    levels = [*flow.centres, *(y for ys in flow.bends.values() for y in ys)]
    top = _PAD + 50.0 - min(levels, default=0.0) + _HIGH / 2
    parts = []
    for (start, end), bends in flow.bends.items():
        first, last = columns[flow.rows[start]], columns[flow.rows[end]]
        between = columns[flow.rows[start] + 1 : flow.rows[end]]
        stops = [(column.left, column.right, y + top) for column, y in zip(between, bends, strict=True)]
        side = last.left + (last.body - _wide(steps[end])) / 2
        stops.append((side, side, flow.centres[end] + top))
        parts.append(_line(first.right, flow.centres[start] + top, stops))
    places = zip(steps, flow.rows, flow.centres, strict=True)
    parts += [_mark(step, columns[row], centre + top) for step, row, centre in places]
    width = max(320.0, *(column.right + _PAD for column in columns))
    height = max(levels, default=0.0) + top + _HIGH / 2 + _PAD
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img" aria-label="{text(_spoken(record))}">\n'
        f'<style>{_STYLE}</style>\n<rect class="paper" width="100%" height="100%"/>\n'
        f'<text class="h" x="{_PAD}" y="32">{text(record.name)}</text>'
        f'<text class="q" x="{_PAD}" y="52">above a line <tspan class="v">its value</tspan>, below it '
        f'<tspan class="g">the gradient of the result</tspan></text>\n{"".join(parts)}\n</svg>\n'
    )


def computation_html(record: Computation) -> str:
    """The drawing as a page of its own."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
        f"<title>{text(record.name)}</title>\n"
        "<style>body { margin: 0 } main { overflow-x: auto; min-height: 100vh }</style>\n</head>\n"
        f'<body><main tabindex="0">{computation_svg(record)}</main></body>\n</html>\n'
    )


def _columns(steps: Sequence[Step], rows: Sequence[int]) -> list[_Column]:
    made: list[_Column] = []
    for number in range(max(rows, default=0) + 1):
        members = [step for step, row in zip(steps, rows, strict=True) if row == number]
        left = made[-1].right + _ROOM if made else _PAD
        made.append(_Column(left, max(map(_wide, members), default=0.0), max(map(_tail, members), default=0.0)))
    return made


def _line(x: float, y: float, stops: Sequence[tuple[float, float, float]]) -> str:
    """A line to the right, level through each stop (from x, to x, y)."""
    path = f"M{x:.1f} {y:.1f}"
    for into, out, level in stops:
        middle = (x + into) / 2
        path += f"C{middle:.1f} {y:.1f} {middle:.1f} {level:.1f} {into:.1f} {level:.1f}H{out:.1f}"
        x, y = out, level
    return f'<path class="edge" d="{path}"/>'


def _mark(step: Step, column: _Column, y: float) -> str:
    """A name, or an operation in its ring, and the line that leaves it with its numbers."""
    middle, wide, beside = column.left + column.body / 2, _wide(step), column.left + column.body + 6
    shape = f'<rect class="op" x="{middle - wide / 2:.1f}" y="{y - 15:.1f}" width="{wide:.1f}" height="30" rx="15"/>'
    numbers = f'<text class="v" x="{beside:.1f}" y="{y - 5:.1f}">{_numbers(step.value, step.shape)}</text>'
    if step.gradient:
        gradient = _numbers(step.gradient, step.shape)
        numbers += f'<text class="g" x="{beside:.1f}" y="{y + 15:.1f}">{gradient}</text>'
    return (
        f'<path class="edge" d="M{middle + wide / 2:.1f} {y:.1f}H{column.right:.1f}"/>{shape if step.reads else ""}'
        f'<text x="{middle:.1f}" y="{y + 5:.1f}" text-anchor="middle">{text(step.label)}</text>{numbers}'
    )


def _wide(step: Step) -> float:
    return max(30.0, 16.0 + 8.0 * len(step.label)) if step.reads else 10.0 + 8.0 * len(step.label)


def _tail(step: Step) -> float:
    longest = max(len(_numbers(values, step.shape)) for values in (step.value, step.gradient))
    return 14.0 + 7.0 * longest


def _numbers(values: Sequence[float], shape: tuple[int, ...]) -> str:
    """Two decimals; a few values in brackets, more by their shape."""
    if not shape or len(values) == 1:
        return ", ".join(_number(value) for value in values)
    few = ", ".join(_number(value) for value in values[:4])
    return f"[{few}]" if len(values) <= 4 else f"[{few}, …] {'×'.join(map(str, shape))}"


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) >= 0.005 or value == 0 else f"{value:.1e}"


def _spoken(record: Computation) -> str:
    """The drawing in words."""
    told = [
        f"{step.label} is {_numbers(step.value, step.shape)}, gradient {_numbers(step.gradient, step.shape) or 'none'}"
        for step in record.steps
    ]
    return f"{record.name}: {'; '.join(told)}"
