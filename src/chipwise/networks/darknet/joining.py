r"""Darknet's layers that read the results of earlier ones: route, shortcut, scale_channels, sam.

Source: src/route_layer.c, src/shortcut_layer.c, src/blas.c shortcut_cpu of pjreddie/darknet; route's groups,
src/scale_channels_layer.c and src/sam_layer.c of AlexeyAB/darknet.

>>> from chipwise.networks.darknet.cfg import parse
>>> from chipwise.networks.darknet.drawing import Drawing
>>> drawing, join = Drawing(8, 8), parse("[net]\n[route]\nlayers=-1,0").layers[0]
>>> drawing.flows.append(drawing.open("x", (3, 8, 8)))
>>> route(drawing, join, drawing.flows[0]).shape
(6, 8, 8)
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from chipwise.networks.darknet.activations import activate, activation_of
from chipwise.networks.darknet.cfg import Section
from chipwise.networks.darknet.drawing import Drawing, Flow


def route(drawing: Drawing, section: Section, before: Flow) -> Flow:  # noqa: ARG001 (every layer has this form)
    """Join the channels of earlier layers, or of each the same one of `groups` equal parts.

    Raises:
        NetworkError: when a layer does not exist or their sizes differ.
    """
    sources = _named(drawing, section, "layers")
    groups = section.integer("groups", 1, least=1)
    part = section.integer("group_id", 0, most=groups - 1)
    sizes = {source.shape[1:] for source in sources}
    if len(sizes) > 1:
        listed = ", ".join(" x ".join(map(str, source.shape)) for source in sources)
        raise section.error(f"joins layers of different sizes: {listed}", "only channels may differ")
    if any(source.shape[0] % groups for source in sources):
        raise section.error(f"has {groups} groups, which do not divide the channels evenly", "give groups that do")
    rows, columns = sources[0].shape[1:]
    channels = [source.shape[0] // groups for source in sources]
    values = [drawing.maps(source) for source in sources]
    if groups > 1:
        values = [
            _sliced(drawing, value, [(1, part * count, (part + 1) * count, 1)], (count, rows, columns), "group")
            for value, count in zip(values, channels, strict=True)
        ]
    shape = (sum(channels), rows, columns)
    return Flow(drawing.node("Concat", "route", values, shape, axis=1) if len(values) > 1 else values[0], shape)


def shortcut(drawing: Drawing, section: Section, before: Flow) -> Flow:
    """Add earlier layers to the one before; of larger ones only every n-th pixel, and only the channels that both have.

    Raises:
        NetworkError: when a layer does not exist, is smaller, or an option cannot be built.
    """
    for key in ("weights_type", "weights_normalization"):
        if section.text(key, "none") != "none":
            section.refuse((key,))
    section.refuse(("assisted_excitation",))
    if section.number("alpha", 1.0) != 1 or section.number("beta", 1.0) != 1:
        raise section.error("weighs what it adds (alpha, beta)", "only 1 and 1 are built")
    activation = activation_of(section, "linear")
    shape = before.shape
    value = drawing.maps(before)
    for source in _named(drawing, section, "from"):
        value = drawing.node("Add", "shortcut", [value, _fitted(drawing, section, source, shape)], shape)
    return Flow(activate(drawing, value, shape, activation), shape)


def scale_channels(drawing: Drawing, section: Section, before: Flow) -> Flow:
    """Multiply an earlier layer with the one before: one factor a channel, or one a pixel with `scale_wh`.

    Raises:
        NetworkError: when the shapes do not suit.
    """
    (source,) = _named(drawing, section, "from", most=1)
    channels, rows, columns = source.shape
    wanted = (1, rows, columns) if section.flag("scale_wh") else (channels, 1, 1)
    return _product(drawing, section, (source, before), wanted, "scale_channels")


def sam(drawing: Drawing, section: Section, before: Flow) -> Flow:
    """Multiply an earlier layer with the one before, value by value.

    Raises:
        NetworkError: when the shapes do not suit.
    """
    (source,) = _named(drawing, section, "from", most=1)
    return _product(drawing, section, (source, before), source.shape, "sam")


def _product(
    drawing: Drawing, section: Section, pair: tuple[Flow, Flow], wanted: tuple[int, int, int], name: str
) -> Flow:
    source, before = pair
    if before.shape != wanted:
        given, needed = (" x ".join(map(str, shape)) for shape in (before.shape, wanted))
        raise section.error(f"needs factors of {needed}, the layer before gives {given}", "check `from`")
    value = drawing.node("Mul", name, [drawing.maps(source), drawing.maps(before)], source.shape)
    return Flow(activate(drawing, value, source.shape, activation_of(section, "linear")), source.shape)


def _named(drawing: Drawing, section: Section, key: str, most: int = 0) -> tuple[Flow, ...]:
    """The layers that an option names: from 0, or backwards from this one with a minus."""
    given = section.integers(key)
    here = len(drawing.flows)
    if not given or (most and len(given) > most):
        raise section.error(f"names {len(given)} layers in {key}=", f"give {key}=-1, say")
    places = [index + here if index < 0 else index for index in given]
    for index, place in zip(given, places, strict=True):
        if not 0 <= place < here:
            raise section.error(f"names layer {index} in {key}=", f"this is layer {here}: name one before it")
    return tuple(drawing.flows[place] for place in places)


def _fitted(drawing: Drawing, section: Section, source: Flow, shape: tuple[int, int, int]) -> ir.Value:
    """What of `source` is added to a result of this shape (shortcut_cpu)."""
    (channels, rows, columns), (wide, high, long) = source.shape, shape
    step = rows // high if rows >= high else 0
    if step < 1 or columns < long or columns // long != step:
        raise section.error(
            f"adds {channels} x {rows} x {columns} to {wide} x {high} x {long}",
            "what is added must be as large, or larger by the same factor along both axes",
        )
    common = min(channels, wide)
    value = drawing.maps(source)
    cuts = [(1, 0, common, 1)] if channels > common else []
    if (rows, columns) != (high, long):
        cuts += [(2, 0, (high - 1) * step + 1, step), (3, 0, (long - 1) * step + 1, step)]
    if cuts:
        value = _sliced(drawing, value, cuts, (common, high, long), "common")
    if common < wide:
        pads = drawing.constant("pads", [0] * 5 + [wide - common, 0, 0], np.int64)
        value = drawing.node("Pad", "widened", [value, pads], shape)
    return value


def _sliced(
    drawing: Drawing, value: ir.Value, cuts: list[tuple[int, int, int, int]], shape: tuple[int, int, int], name: str
) -> ir.Value:
    """Cut along axes, each as (axis, start, end, step)."""
    axes, starts, ends, steps = zip(*cuts, strict=True)
    bounds = [
        drawing.constant(what, numbers, np.int64)
        for what, numbers in (("starts", starts), ("ends", ends), ("axes", axes), ("steps", steps))
    ]
    return drawing.node("Slice", name, [value, *bounds], shape)
