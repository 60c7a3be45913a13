"""Collapse linear layers in a row, with nothing between them, into the fewest multiply-adds.

    Conv 1x1 (64 -> 256) -> Conv 3x3 (256 -> 64)  =>  Conv 3x3 (64 -> 64)
    MatMul -> Add -> MatMul                       =>  MatMul -> Add

Networks trained with more layers than they need (linear expansion: Guo et al. 2020, "ExpandNets"; Bhardwaj et al.
2022, "Collapsible linear blocks", section 3), exported adapters and projections have such rows. A row may also hold
factors, summands and batch norms with constants. Each row is cut where that leaves the least work, as in the
matrix-chain problem, so a bottleneck stays two layers, and three become one although no two would be cheaper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chipwise.optimize.linear_joins import comparable, compose, join, shrinks
from chipwise.optimize.linear_layers import Form, Layer, read_layer, read_scale, write
from chipwise.optimize.rewrite import only_reader, swap

if TYPE_CHECKING:
    import onnx_ir as ir

LABEL = "close"
_LONGEST = 32  # layers that become one; bounds the work on a long row
_OLDEST = 7  # opset: before it, broadcasting and inference were said by attributes


@dataclass(frozen=True, slots=True)
class Link:
    """A layer in a row: its node, the value it reads, and what it computes."""

    node: ir.Node
    x: ir.Value
    layer: Layer


def apply(model: ir.Model) -> str:
    """Collapse rows in place."""
    graph = model.graph
    if graph.opset_imports.get("", _OLDEST) < _OLDEST:
        return ""
    seen: set[ir.Node] = set()
    gone = made = before = after = 0
    for node in list(graph):
        if node in seen:
            continue
        links = _row(node)
        seen.update(link.node for link in links)
        for part in reversed(_cut(links)):  # what a part reads is replaced when the one before it is
            if len(part) == 1:
                continue
            forms = comparable([link.layer.form for link in part])
            one = _joined(forms)
            assert one is not None, "the cut is through what joins"
            if _collapse(graph, part):
                gone, made = gone + len(part), made + 1
                before, after = before + sum(form.multiply_adds for form in forms), after + one.multiply_adds
    if not made:
        return ""
    share = 100 * (before - after) / before
    return f"collapsed {gone} linear layers in a row into {made}: {share:.0f}% fewer multiply-adds there"


def _row(node: ir.Node) -> list[Link]:
    """The linear layers and scales around a layer, each the only reader of the one before it; empty for no layer."""
    layer = read_layer(node)
    if layer is None or node.inputs[0] is None:
        return []
    links = [Link(node, node.inputs[0], layer)]
    while (source := links[0].x.producer()) is not None and only_reader(links[0].x) and source.graph is node.graph:
        scale = read_scale(source, links[0].layer.form.inputs, layer.form)
        if scale is None or source.outputs[0] is not links[0].x:
            break
        links.insert(0, Link(source, scale[1], scale[0]))
    while (reader := _reader(links[-1].node)) is not None:
        value, form = links[-1].node.outputs[0], links[-1].layer.form
        further = read_layer(reader)
        if further is None:
            scale = read_scale(reader, form.outputs, layer.form)
            further = scale[0] if scale is not None and scale[1] is value else None
        elif reader.inputs[0] is not value:
            break
        if further is None or len(further.form.kernel) != len(form.kernel):
            break
        links.append(Link(reader, value, further))
    return links


def _reader(node: ir.Node) -> ir.Node | None:
    """The one reader of a node's output in the same graph."""
    value = node.outputs[0]
    if not only_reader(value):
        return None
    reader = next(iter(value.uses())).node
    return reader if reader.graph is node.graph else None


def _joined(forms: list[Form]) -> Form | None:
    """All layers of a row as one."""
    one: Form | None = forms[0]
    for form in forms[1:]:
        one = None if one is None else join(one, form)
    return one


def _cut(links: list[Link]) -> list[list[Link]]:
    """The row in parts that each become one layer, with the least multiply-adds; of equals, the most parts."""
    least = [0] + [-1] * len(links)  # multiply-adds of the first so many layers
    start = [0] * (len(links) + 1)
    forms = comparable([link.layer.form for link in links])
    for begin in range(len(links)):
        one: Form | None = forms[begin]
        for end in range(begin + 1, min(begin + _LONGEST, len(links)) + 1):
            if end > begin + 1:
                further = forms[end - 1]
                fits = one is not None and (further.positions is not None or shrinks(further) or _still(one, further))
                one = join(one, further) if one is not None and fits else None
            if one is None:
                break
            if end > begin + 1 and one.op == "Scale":
                continue
            total = least[begin] + one.multiply_adds
            if least[end] < 0 or total < least[end] or (total == least[end] and end == begin + 1):
                least[end], start[end] = total, begin
    parts: list[list[Link]] = []
    end = len(links)
    while end:
        parts.insert(0, links[start[end] : end])
        end = start[end]
    return parts


def _still(one: Form, further: Form) -> bool:
    """True when a transposed convolution follows what does not change the size of the image."""
    return further.op == "ConvTranspose" and one.pointwise


def _collapse(graph: ir.Graph, part: list[Link]) -> bool:
    """Put one layer in the place of several; False where its weights leave the range of their type."""
    whole = part[0].layer
    for link in part[1:]:
        whole = compose(whole, link.layer)
    nodes = [link.node for link in part]
    at = next(node for node in nodes if read_layer(node) is not None)
    made = write(graph, whole, part[0].x, at)
    if made:
        swap(graph, nodes[-1], nodes, made)
    return bool(made)
