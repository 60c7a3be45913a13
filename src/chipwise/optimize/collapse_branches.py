"""Collapse linear branches that read the same value and are added up into one layer.

    x -> Conv 3x3 -+                                            x -> MatMul W ------------+
    x -> Conv 1x1 -+-> Add  =>  Conv 3x3                        x -> MatMul A -> MatMul B +-> Add  =>  MatMul W + AB
    x -> BatchNorm +

A convolution is linear in its kernel, so kernels padded to one size add up (Ding et al. 2021, "RepVGG", section 3.3;
"ACNet" 2019; "Diverse Branch Block" 2021). A branch is a row of layers and scales, an average pooling, or nothing at
all (a residual connection). Branches are joined only where that takes no more multiply-adds than they take apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from chipwise.optimize.linear_joins import comparable, compose, join, regroup, shrinks
from chipwise.optimize.linear_layers import Form, Layer, identity, read_layer, read_pool, read_scale, write
from chipwise.optimize.rewrite import is_op, only_reader, shape_of, swap

LABEL = "close"
_OLDEST = 8  # opset: before it, sums did not broadcast
_DEEPEST = 32  # layers of a branch
_MOST = 64  # branches of a sum


@dataclass(frozen=True, slots=True)
class Branch:
    """A row of layers that ends in a summand.

    Attributes:
        root: what it reads.
        nodes: in order; none for a branch that is the root itself.
        layers: what they compute.
        form: of all of them as one.
        multiply_adds: of all of them apart, for one item or one position.
    """

    root: ir.Value
    nodes: tuple[ir.Node, ...]
    layers: tuple[Layer, ...]
    form: Form
    multiply_adds: int


def apply(model: ir.Model) -> str:
    """Collapse sums of branches in place, inner ones first."""
    graph = model.graph
    if graph.opset_imports.get("", _OLDEST) < _OLDEST:
        return ""
    gone = made = 0
    for node in list(graph):
        if not is_op(node, "Add", "Sum") or node.graph is not graph or _inside(node):
            continue
        sums, terms = _terms(node)
        if not 2 <= len(terms) <= _MOST:
            continue
        kept, groups = _groups(terms)
        written = [_merge(graph, group) for group in groups]
        if not groups or not all(written):
            continue
        old = [*sums, *(each for group in groups for branch in group for each in branch.nodes)]
        swap(graph, node, old, _summed(written, kept))
        gone, made = gone + sum(map(len, groups)), made + len(groups)
    return f"collapsed {gone} parallel branches into {made} layer{'s' if made != 1 else ''}" if made else ""


def _inside(node: ir.Node) -> bool:
    """True when a sum is a term of another one."""
    value = node.outputs[0]
    if not only_reader(value):
        return False
    reader = next(iter(value.uses())).node
    return is_op(reader, "Add", "Sum") and reader.graph is node.graph


def _terms(root: ir.Node) -> tuple[list[ir.Node], list[ir.Value]]:
    """All the sums of a tree, and what they add up, in order."""
    sums, terms, left = [root], list[ir.Value](), list(reversed(root.inputs))
    while left:
        value = left.pop()
        assert value is not None, "a sum has no optional inputs"
        source = value.producer()
        if is_op(source, "Add", "Sum") and only_reader(value) and source is not None and source.graph is root.graph:
            sums.append(source)
            left += reversed(source.inputs)
        else:
            terms.append(value)
    return sums, terms


def _groups(terms: list[ir.Value]) -> tuple[list[ir.Value], list[list[Branch]]]:
    """Terms that stay, and branches that become one layer."""
    beside = next((form for value in terms if (form := _nearest(value)) is not None), None)
    if beside is None:
        return terms, []
    found = [(value, _branch(value, beside)) for value in terms]
    roots = dict.fromkeys(branch.root for _, branch in found if branch is not None)
    found = [(value, branch or (_nothing(value, beside) if value in roots else None)) for value, branch in found]
    groups = [group for root in roots for group in _shared([b for _, b in found if b is not None and b.root is root])]
    joined = [branch for group in groups for branch in group]
    return [value for value, branch in found if branch is None or all(branch is not each for each in joined)], groups


def _shared(branches: list[Branch]) -> list[list[Branch]]:
    """Branches of one root in groups worth joining: all of them, or one after the other where that leaves less."""
    groups: list[list[Branch]] = []
    for branch in sorted(branches, key=lambda branch: -branch.multiply_adds):
        fits = next((group for group in groups if _worth([*group, branch])), None)
        groups.append([branch]) if fits is None else fits.append(branch)
    whole = _union(branches) if _worth(branches) else None
    if whole is not None and whole.multiply_adds < sum(_least(group) for group in groups):
        groups = [branches]
    return [group for group in groups if len(group) > 1]


def _least(group: list[Branch]) -> int:
    """Multiply-adds of a group that is joined."""
    one = _union(group) if len(group) > 1 else None
    return group[0].multiply_adds if one is None else one.multiply_adds


def _nearest(value: ir.Value) -> Form | None:
    """The layer that ends a branch, perhaps before scales."""
    for _ in range(_DEEPEST):
        source = value.producer()
        if source is None or not only_reader(value):
            return None
        layer = read_layer(source)
        if layer is not None:
            return layer.form
        if not is_op(source, "Mul", "Div", "Sub", "BatchNormalization"):
            return None
        made = next((each for each in source.inputs if each is not None and each.producer() is not None), None)
        if made is None:
            return None
        value = made
    return None


def _branch(value: ir.Value, beside: Form) -> Branch | None:
    """The longest row of layers that ends in a term; None where there is none, or where it is not one layer."""
    nodes, layers, outputs, end = list[ir.Node](), list[Layer](), beside.outputs, value
    while len(nodes) < _DEEPEST and only_reader(value):
        source = value.producer()
        if source is None or source.graph is not next(iter(end.uses())).node.graph or source.outputs[0] is not value:
            break
        layer, x = read_layer(source) or read_pool(source, outputs, len(beside.kernel)), source.inputs[0]
        if layer is None:
            scale = read_scale(source, outputs, beside)
            if scale is None:
                break
            layer, x = scale
        if x is None or layer.form.op == "ConvTranspose" or layer.form.outputs != outputs:
            break
        nodes, layers = [source, *nodes], [layer, *layers]
        value, outputs = x, layer.form.inputs
    return _whole(value, nodes, layers) if nodes else None


def _nothing(value: ir.Value, beside: Form) -> Branch | None:
    """The root itself as a branch."""
    return _whole(value, [], [identity(beside.outputs, beside)]) if beside.inputs == beside.outputs else None


def _whole(root: ir.Value, nodes: list[ir.Node], layers: list[Layer]) -> Branch | None:
    forms = comparable([layer.form for layer in layers])
    one: Form | None = forms[0]
    for form in forms[1:]:
        one = join(one, form) if one is not None and (form.positions is not None or shrinks(form)) else None
    if one is None:
        return None
    work = sum(form.multiply_adds for form in forms) if nodes else 0
    return Branch(root, tuple(nodes), tuple(layers), one, work)


def _worth(group: list[Branch]) -> bool:
    """True when the branches can be one layer of no more multiply-adds than they and their sum have."""
    forms = [branch.form for branch in group]
    one = _union(group)
    if one is None or all(not branch.nodes or branch.form.op == "Scale" for branch in group):
        return False
    positions = forms[0].positions or 1
    adds = (len(group) - 1) * one.outputs * positions
    return one.multiply_adds <= sum(branch.multiply_adds for branch in group) + adds


def _union(group: list[Branch]) -> Form | None:
    """The layer that adds up what branches compute; None where there is none."""
    forms, first = [branch.form for branch in group], group[0]
    same = {(f.outputs, f.inputs, f.strides, len(f.kernel), f.positions) for f in forms}
    if len(same) > 1 or any(branch.root is not first.root for branch in group):
        return None
    ops = {f.op for f in forms} - {"Scale"}
    if not ops or "ConvTranspose" in ops:
        return None
    dims, spans = len(first.form.kernel), list[tuple[int, int, int, int]]()
    for axis in range(dims):
        offsets = [f.dilations[axis] * tap - f.pads[axis] for f in forms for tap in range(f.kernel[axis])]
        low, high = min(0, *offsets), max(offsets)
        step = math.gcd(*(offset - low for offset in offsets)) or 1
        slack = {f.pads[axis] + f.pads[axis + dims] - f.extent[axis] for f in forms}
        if len(slack) > 1 and not _same_size(first.root, axis, forms):
            return None
        behind = max(slack) + high + 1
        if behind < 0:
            return None
        spans.append((-low, behind, (high - low) // step + 1, step))
    return replace(
        first.form,
        op=min(ops),  # a Gemm says that there are no more axes than two
        groups=math.gcd(*(f.groups for f in forms)),
        kernel=tuple(span[2] for span in spans),
        dilations=tuple(span[3] for span in spans),
        pads=tuple(span[0] for span in spans) + tuple(span[1] for span in spans),
        biased=any(f.biased for f in forms),
    )


def _same_size(root: ir.Value, axis: int, forms: list[Form]) -> bool:
    """True when all forms surely make the same number of positions along an axis."""
    shape = shape_of(root)
    size = shape[axis + 2] if shape is not None and len(shape) > axis + 2 else None
    if size is None:
        return False
    dims = len(forms[0].kernel)
    made = {(size + f.pads[axis] + f.pads[axis + dims] - f.extent[axis]) // f.strides[axis] for f in forms}
    return len(made) == 1


def _merge(graph: ir.Graph, group: list[Branch]) -> list[ir.Node]:
    """The nodes of the layer that adds up what branches compute, not yet in the graph."""
    form = _union(group)
    assert form is not None, "asked for branches worth joining"
    weights = np.zeros((form.outputs, form.inputs // form.groups, *form.kernel))
    bias = np.zeros(form.outputs)
    for branch in group:
        whole = branch.layers[0]
        for layer in branch.layers[1:]:
            whole = compose(whole, layer)
        own, dims = whole.form, len(form.kernel)
        added = regroup(whole.weights.astype(np.float64), own.groups, form.groups)
        for tap in np.ndindex(own.kernel):
            offsets = (tap[a] * own.dilations[a] - own.pads[a] + form.pads[a] for a in range(dims))
            place = tuple(offset // d for offset, d in zip(offsets, form.dilations, strict=True))
            weights[..., *place] += added[..., *tap]
        if whole.bias is not None:
            bias += whole.bias
    like = next(node for branch in group for node in branch.nodes if read_layer(node) is not None)
    return write(graph, Layer(form, weights, bias if form.biased else None), group[0].root, like)


def _summed(written: list[list[ir.Node]], kept: list[ir.Value]) -> list[ir.Node]:
    """The layers, and the sums of what they and the terms that stay make."""
    made = [node for nodes in written for node in nodes]
    total, *further = [*(nodes[-1].outputs[0] for nodes in written), *kept]
    for value in further:
        made.append(ir.node("Add", [total, value]))
        total = made[-1].outputs[0]
    return made
