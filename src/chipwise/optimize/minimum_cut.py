"""The cheapest way to cut a directed graph in two: Dinic's algorithm (Soviet Math. Doklady 11, 1970).

For passes that choose one of two ways for every node, where two neighbours that differ cost something.

>>> sorted(minimum_cut(4, [(0, 2, 5), (2, 3, 1), (3, 1, 5)]))  # 0 is the source, 1 the sink
[1, 3]
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SOURCE, SINK = 0, 1


class _Flow:
    """Edges in pairs: 2k forwards, 2k + 1 backwards; `left` is what each can still carry."""

    __slots__ = ("heads", "left", "out")

    def __init__(self, size: int, edges: Iterable[tuple[int, int, int]]) -> None:
        self.heads: list[int] = []
        self.left: list[int] = []
        self.out: list[list[int]] = [[] for _ in range(size)]
        for tail, head, capacity in edges:
            for at, to, room in ((tail, head, capacity), (head, tail, 0)):
                self.out[at].append(len(self.heads))
                self.heads.append(to)
                self.left.append(room)


def minimum_cut(size: int, edges: Iterable[tuple[int, int, int]]) -> set[int]:
    """The side of the sink of a cheapest cut, the smallest such side.

    Args:
        size: number of nodes; node 0 is the source, node 1 the sink.
        edges: tail, head and whole cost of cutting it, which is paid when its tail is on the source's side and its
            head on the sink's.
    """
    flow = _Flow(size, edges)
    levels = _levels(flow)
    while levels[SINK] >= 0:
        _saturate(flow, levels)
        levels = _levels(flow)
    side, left = {SINK}, [SINK]
    while left:
        for edge in flow.out[left.pop()]:
            other = flow.heads[edge]
            if flow.left[edge ^ 1] and other not in side:
                side.add(other)
                left.append(other)
    return side


def _levels(flow: _Flow) -> list[int]:
    """Steps from the source along edges with room; -1 where none leads."""
    levels = [-1] * len(flow.out)
    levels[SOURCE], queue = 0, deque([SOURCE])
    while queue:
        at = queue.popleft()
        for edge in flow.out[at]:
            to = flow.heads[edge]
            if flow.left[edge] and levels[to] < 0:
                levels[to] = levels[at] + 1
                queue.append(to)
    return levels


def _saturate(flow: _Flow, levels: list[int]) -> None:
    """Send along shortest paths until each has a full edge."""
    tried = [0] * len(flow.out)
    path: list[int] = []
    at = SOURCE
    while True:
        if at == SINK:
            room = min(flow.left[edge] for edge in path)
            for edge in path:
                flow.left[edge] -= room
                flow.left[edge ^ 1] += room
            path, at = [], SOURCE
        elif tried[at] < len(flow.out[at]):
            edge = flow.out[at][tried[at]]
            to = flow.heads[edge]
            if flow.left[edge] and levels[to] == levels[at] + 1:
                path.append(edge)
                at = to
            else:
                tried[at] += 1
        elif path:
            at = flow.heads[path.pop() ^ 1]
            tried[at] += 1
        else:
            return
