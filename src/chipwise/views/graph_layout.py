"""A layered drawing of a graph without cycles: which row each node stands in, and where in that row.

The usual four steps (Sugiyama 1981): rows by longest path, a bend in every row that a long edge crosses, an order
with few crossings (barycentres), and places that pull chains straight. Written here because what there is does not
fit: grandalf is under GPL and EPL, fast-sugiyama has no wheels for glibc before 2.34, and networkx draws no layers.

>>> flow = layered([10, 10, 10], [(0, 1), (1, 2), (0, 2)], gap=5)
>>> flow.rows, len(flow.bends[0, 2])
((0, 1, 2), 1)
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Edge = tuple[int, int]
    Links = dict[int, list[int]]

_SWEEPS, _PULLS, _LAST = 12, 33, 8
# How hard an edge pulls: the inside of long edges is straightened before short edges (Gansner 1993), plain chains come
# before both, and where a skip ends it gives way, so that the main line stays one.
_CHAIN, _BOTH_BENDS, _NO_BEND, _ONE_BEND = 256.0, 8.0, 4.0, 1.0


@dataclass(frozen=True, slots=True)
class Flow:
    """Where nodes and bends stand.

    Attributes:
        rows: of each node, from 0 at the top.
        centres: x of each node.
        bends: for each edge, its x in every row between its ends.
    """

    rows: tuple[int, ...]
    centres: tuple[float, ...]
    bends: dict[tuple[int, int], tuple[float, ...]]


def layered(widths: Sequence[float], edges: Sequence[Edge], gap: float) -> Flow:
    """Place nodes in rows so that every edge points down.

    Args:
        widths: of the nodes 0, 1, ...
        edges: (from, to), without cycles; those given twice count once.
        gap: left free between neighbours.
    """
    edges = list(dict.fromkeys(edges))
    rows = _rows(len(widths), edges)
    places, chains, links = _with_bends(rows, edges)
    sizes = [*widths, *[0.0] * (len(places) - len(widths))]
    order = _ordered(places, links)
    centres = _placed(order, links, sizes, gap, len(widths))
    bends = {edge: tuple(centres[bend] for bend in chain) for edge, chain in chains.items()}
    return Flow(tuple(rows), tuple(centres[: len(widths)]), bends)


def _rows(count: int, edges: Sequence[Edge]) -> list[int]:
    """Longest path from the top; what nothing leads to stands right above its first reader."""
    below, missing = defaultdict(list), [0] * count
    for start, end in edges:
        below[start].append(end)
        missing[end] += 1
    sources = [node for node in range(count) if not missing[node]]
    rows, ready = [0] * count, list(sources)
    for node in ready:
        for reader in below[node]:
            rows[reader] = max(rows[reader], rows[node] + 1)
            missing[reader] -= 1
            if not missing[reader]:
                ready.append(reader)
    assert len(ready) == count, "a cycle cannot be drawn in layers"
    for node in sources:
        rows[node] = min((rows[reader] for reader in below[node]), default=1) - 1
    return rows


def _with_bends(rows: Sequence[int], edges: Sequence[Edge]) -> tuple[list[int], dict[Edge, list[int]], list[Edge]]:
    """Rows of nodes and bends, the bends of each edge, and the links between neighbouring rows.

    The long edges of one node share a lane: a dense block would be as wide as it has edges, and take as long.
    """
    places = list(rows)
    lanes: dict[int, list[int]] = defaultdict(list)
    chains: dict[Edge, list[int]] = {}
    links: dict[Edge, None] = {}
    for start, end in edges:
        lane, crossed = lanes[start], rows[end] - rows[start] - 1
        for row in range(rows[start] + 1 + len(lane), rows[end]):
            lane.append(len(places))
            places.append(row)
        chains[start, end] = lane[:crossed]
        links |= dict.fromkeys(zip([start, *lane[:crossed]], [*lane[:crossed], end], strict=True))
    return places, chains, list(links)


def _neighbours(links: Sequence[Edge]) -> tuple[Links, Links]:
    above: Links = defaultdict(list)
    below: Links = defaultdict(list)
    for start, end in links:
        above[end].append(start)
        below[start].append(end)
    return above, below


def _ordered(places: Sequence[int], links: Sequence[Edge]) -> list[list[int]]:
    """Nodes of each row from left to right: the order with the fewest crossings that the sweeps came across."""
    above, below = _neighbours(links)
    order: list[list[int]] = [[] for _ in range(max(places, default=-1) + 1)]
    for node in _depth_first(places, above, below):
        order[places[node]].append(node)
    best, fewest = [list(row) for row in order], _crossings(order, below)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        beside = above if sweep % 2 == 0 else below
        rows = range(1, len(order)) if sweep % 2 == 0 else range(len(order) - 2, -1, -1)
        for row in rows:
            fixed = {node: index for index, node in enumerate(order[row + (-1 if sweep % 2 == 0 else 1)])}
            own = {node: index for index, node in enumerate(order[row])}
            order[row].sort(key=lambda node: _mean([fixed[each] for each in beside[node]], own[node]))
        count = _crossings(order, below)
        if count < fewest:
            best, fewest = [list(row) for row in order], count
    return best


def _depth_first(places: Sequence[int], above: Links, below: Links) -> Iterator[int]:
    """Every node once, along the edges: branches start out side by side."""
    seen: set[int] = set()
    tops = [node for node in range(len(places)) if not above[node]]
    stack = tops[::-1]
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            yield node
            stack += [each for each in reversed(below[node]) if each not in seen]


def _crossings(order: Sequence[Sequence[int]], below: Links) -> int:
    total = 0
    for upper, lower in pairwise(order):
        index = {node: place for place, node in enumerate(lower)}
        ends = [end for node in upper for end in sorted(index[each] for each in below[node])]
        tree = [0] * (len(lower) + 1)  # counts of ends so far, as a Fenwick tree
        for seen, end in enumerate(ends):
            place, before = end + 1, 0
            while place:
                before += tree[place]
                place &= place - 1
            total += seen - before
            place = end + 1
            while place < len(tree):
                tree[place] += 1
                place += place & -place
    return total


def _placed(
    order: Sequence[Sequence[int]], links: Sequence[Edge], sizes: Sequence[float], gap: float, real: int
) -> list[float]:
    """Pull every node towards its neighbours above, below and then both, as far as its row has room."""
    above, below = _neighbours(links)
    strengths = {(min(link), max(link)): _strength(link, above, below, real) for link in links}
    centres = [0.0] * len(sizes)
    for row in order:
        for node, place in zip(row, _spread([0.0] * len(row), [1.0] * len(row), row, sizes, gap), strict=True):
            centres[node] = place
    for pull in range(_PULLS + _LAST):  # before the last ones comes one from above, so that chains hang straight
        down = pull % 2 == 0
        late = pull >= _PULLS
        for row in order if down else reversed(order):
            wanted, weights = [], []
            for node in row:
                near = above[node] + below[node] if late else (above if down else below)[node]
                pulls = [(strengths[min(node, each), max(node, each)], centres[each]) for each in near]
                weight = sum(strength for strength, _ in pulls)
                wanted.append(sum(strength * x for strength, x in pulls) / weight if weight else centres[node])
                weights.append(weight or 0.01)
            for node, place in zip(row, _spread(wanted, weights, row, sizes, gap), strict=True):
                centres[node] = place
    return centres


def _strength(link: Edge, above: Links, below: Links, real: int) -> float:
    bends = (link[0] >= real) + (link[1] >= real)
    alone = len(below[link[0]]) == 1 and len(above[link[1]]) == 1
    return _CHAIN if alone else (_NO_BEND, _ONE_BEND, _BOTH_BENDS)[bends]


def _spread(
    wanted: Sequence[float], weights: Sequence[float], row: Sequence[int], sizes: Sequence[float], gap: float
) -> list[float]:
    """The places nearest to those wanted (least squares) that keep order and distance: isotonic regression."""
    offsets = [0.0]
    for left, right in pairwise(row):
        offsets.append(offsets[-1] + (sizes[left] + sizes[right]) / 2 + gap)
    pools: list[list[float]] = []  # sum of weights, weighted mean, members
    for place, weight, offset in zip(wanted, weights, offsets, strict=False):
        pools.append([weight, place - offset, 1])
        while len(pools) > 1 and pools[-2][1] >= pools[-1][1]:
            last = pools.pop()
            total = pools[-1][0] + last[0]
            mean = (pools[-1][0] * pools[-1][1] + last[0] * last[1]) / total
            pools[-1] = [total, mean, pools[-1][2] + last[2]]
    level = [mean for _, mean, members in pools for _ in range(int(members))]
    return [place + offset for place, offset in zip(level, offsets, strict=False)]


def _mean(values: Sequence[int], default: int) -> float:
    return sum(values) / len(values) if values else float(default)
