"""Which channels of a network can only go together: the dependency graph that pruning and removal share.

A walk from inputs to outputs gives each channel a number and learns which are constant; a walk back from the outputs
tells which of them anything depends on.

>>> import onnx_ir as ir
>>> groups(ir.Model(ir.Graph([], [], nodes=[], opset_imports={"": 18}), ir_version=8))
[]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir.passes.common as ir_passes

from chipwise.optimize.channel_layers import LAYERS, Layer, trace_layer
from chipwise.optimize.channel_rules import RULES
from chipwise.optimize.channel_slices import Slices, Tracing, Weight
from chipwise.optimize.rewrite import is_op

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Channels:
    """What is known of a graph's channels. Numbers are final: channels that go together have the same one.

    Attributes:
        count: how many numbers there are; 0 is what must stay.
        slices: of each value that is followed.
        layers: nodes that make channels, in the graph's order.
        weights: constants with a place for each channel, of layers and of what stands between them.
    """

    count: int
    slices: dict[ir.Value, Slices]
    layers: tuple[Layer, ...]
    weights: tuple[Weight, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where channels of a group are in one initializer.

    Attributes:
        weight: the initializer's name; axis: of it.
        channels: for each place along the axis, which channel of the group it belongs to; -1 for none.
        written: True where it makes the channels (zero there makes them zero), False where it reads them.
    """

    weight: str
    axis: int
    channels: NDArray[np.int64]
    written: bool


@dataclass(frozen=True, slots=True)
class ChannelGroup:
    """Channels that the same layers make: any of them may go, from all places at once.

    Attributes:
        width: how many channels; those that must stay are not counted.
        places: all constants that hold them.
    """

    width: int
    places: tuple[Place, ...]


def trace(model: ir.Model) -> Channels:
    """Follow channels through the main graph of a model, whose shapes are inferred."""
    tracing = _walked(model)
    return _settled(*tracing)


def groups(model: ir.Model) -> list[ChannelGroup]:
    """All groups of channels in order of the graph, for structured pruning.

    Groups of a grouped convolution go as a whole. Channels that reach an output of the graph, or an operator that is
    not followed, must stay, and are in no group.
    """
    ir_passes.ShapeInferencePass(check_type=False, strict_mode=False)(model)
    tracing, layers = _walked(model)
    _couple(tracing, layers)
    channels = _settled(tracing, layers)
    families = _families(channels)
    found: dict[int, list[Weight]] = {}
    for weight in channels.weights:
        for family in np.unique(families[weight.ids[weight.ids > 0]]).tolist():
            found.setdefault(family, []).append(weight)
    return [_group(np.flatnonzero(families == family), found[family]) for family in sorted(found)]


def dependent(channels: Channels) -> NDArray[np.bool_]:
    """By number: True where an output of the graph depends on the channel, through weights that are not zero."""
    live = np.zeros(channels.count, bool)
    live[0] = True
    before = 0
    while before != (before := int(live.sum())):
        for layer in reversed(channels.layers):
            parts, outputs, inputs = layer.reads.shape
            wanted = live[layer.targets].reshape(parts, outputs, 1)
            needed = np.broadcast_to((layer.reads & wanted).any(axis=1), (parts, inputs)).reshape(-1)
            live[layer.sources[needed]] = True
    return live


def _walked(model: ir.Model) -> tuple[Tracing, list[Layer]]:
    tracing = Tracing(model.graph.opset_imports.get("", 1))
    layers: list[Layer] = []
    for node in model.graph:
        made = None
        if is_op(node, *LAYERS) and (layer := trace_layer(node, tracing)) is not None:
            layers.append(layer)
            continue
        if is_op(node, *RULES):
            made = RULES[node.op_type](node, tracing)
        if made is None:
            for value in node.inputs:
                tracing.pin(value)
            continue
        for value, slices in zip(node.outputs, made, strict=False):
            if slices is not None:
                tracing.slices[value] = slices
                if not slices.axes:  # a single slice is read by broadcasting too
                    tracing.pin(value)
    for value in tracing.slices:
        if value.is_graph_output() or any(node.graph is not model.graph for node, _ in value.uses()):
            tracing.pin(value)
    return tracing, layers


def _couple(tracing: Tracing, layers: list[Layer]) -> None:
    """Join what a removal can treat one by one, but zeros in a weight cannot."""
    for layer in layers:
        parts = layer.weights.shape[0]
        if parts > 1:
            sources, targets = (each.reshape(parts, -1) for each in (layer.sources, layer.targets))
            tracing.numbers.join(sources, sources[:, :1])
            tracing.numbers.join(targets, sources[:, :1])
    for slices in tracing.slices.values():
        for axis in slices.axes if len(slices.axes) > 1 else ():
            others = np.moveaxis(slices.ids, axis, 0)
            tracing.numbers.join(others, others[(slice(None), *[slice(1)] * (others.ndim - 1))])
    shared: dict[tuple[ir.Value | None, int], NDArray[np.int64]] = {}
    for weight in tracing.weights:
        if weight.written:  # zeros in it are zeros in every layer that has it
            first = shared.setdefault((weight.node.inputs[weight.index], weight.axis), weight.ids)
            if first.shape == weight.ids.shape:
                tracing.numbers.join(first, weight.ids)
            else:
                tracing.numbers.join(first, 0)
                tracing.numbers.join(weight.ids, 0)


def _settled(tracing: Tracing, layers: list[Layer]) -> Channels:
    """With the numbers that stand for all that were joined."""
    roots = tracing.numbers.roots()
    return Channels(
        len(roots),
        {value: Slices(roots[each.ids], each.constant) for value, each in tracing.slices.items()},
        tuple(
            Layer(e.node, e.weights, e.bias, roots[e.sources], e.constant, roots[e.targets], e.reads, e.carriers)
            for e in layers
        ),
        tuple(Weight(e.node, e.index, e.axis, roots[e.ids], e.written) for e in tracing.weights),
    )


def _families(channels: Channels) -> NDArray[np.int64]:
    """By number: the smallest number that a layer makes beside it, or beside one made beside it."""
    family = np.arange(channels.count)
    changed = True
    while changed:
        changed = False
        for layer in channels.layers:
            made = np.unique(layer.targets[layer.targets > 0])
            if made.size and (family[made] != family[made].min()).any():
                family[made] = family[made].min()
                changed = True
    return family


def _group(numbers: NDArray[np.int64], weights: list[Weight]) -> ChannelGroup:
    used = np.unique(np.concatenate([weight.ids.ravel() for weight in weights]))
    members = np.intersect1d(numbers, used)
    places = []
    for weight in weights:
        value = weight.node.inputs[weight.index]
        ids = weight.ids.reshape(len(weight.ids), -1)[:, 0]
        where = np.searchsorted(members, ids).clip(max=len(members) - 1)
        name = "" if value is None else value.name or ""
        places.append(Place(name, weight.axis, np.where(members[where] == ids, where, -1), weight.written))
    return ChannelGroup(len(members), tuple(places))
