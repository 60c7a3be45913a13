"""Small networks that are nobody's: what a machine takes for their layers tells what it takes for others'.

Each is a chain of layers as networks have them, so that caches, threads and fusion behave as in networks, at sizes
that are spread over what networks have and are not those of a network in the zoo.

>>> probe = PROBES["products"](1)
>>> probe.layers[0].op, len(probe.model) > 1000
('Gemm', True)
"""

from __future__ import annotations

import math
from collections.abc import Callable

from chipwise.runtimes.probe_graph import Probe, ProbeGraph, Value


def _classified(graph: ProbeGraph, x: Value, classes: int, name: str) -> Probe:
    pooled = graph.each("GlobalAveragePool", x, (*x.shape[:2], 1, 1))
    return graph.probe(name, graph.gemm(graph.view(pooled, x.shape[:2]), classes, ""))


def _residual(graph: ProbeGraph, x: Value, channels: int, step: int = 1) -> Value:
    inner = graph.conv(graph.conv(x, channels, step=step), channels, activation="")
    if step > 1 or x.shape[1] != channels:
        x = graph.conv(x, channels, 1, step=step, activation="")
    return graph.join("Add", [inner, x], "Relu")


def _stages(batch: int) -> Probe:
    graph = ProbeGraph((batch, 3, 208, 208))
    x = graph.pool(graph.conv(graph.input, 48, 7, step=2), 3, 2)
    for channels, step in ((48, 1), (96, 2), (96, 1), (144, 1), (288, 2), (288, 1), (576, 2), (576, 1)):
        x = _residual(graph, x, channels, step)
    return _classified(graph, x, 900, "stages")


def _small_pictures(batch: int) -> Probe:
    graph = ProbeGraph((batch, 3, 36, 36))
    x = graph.conv(graph.input, 16)
    for channels, step in ((16, 1), (16, 1), (24, 2), (32, 1), (48, 2), (48, 1), (80, 1)):
        x = _residual(graph, x, channels, step)
    return _classified(graph, x, 12, "small-pictures")


def _bottlenecks(batch: int) -> Probe:
    graph = ProbeGraph((batch, 3, 208, 208))
    x = graph.pool(graph.conv(graph.input, 48, step=2), 3, 2)
    for narrow, step, groups in (
        (48, 1, 1),
        (96, 2, 1),
        (96, 1, 8),
        (224, 2, 1),
        (224, 1, 1),
        (448, 2, 1),
        (448, 1, 1),
    ):
        inner = graph.conv(graph.conv(x, narrow, 1), narrow, step=step, groups=groups)
        inner = graph.conv(inner, 4 * narrow, 1, activation="")
        if x.shape != inner.shape:
            x = graph.conv(x, 4 * narrow, 1, step=step, activation="")
        x = graph.join("Add", [inner, x], "Relu")
    return _classified(graph, x, 600, "bottlenecks")


def _separable(batch: int) -> Probe:
    graph = ProbeGraph((batch, 3, 208, 208))
    x = graph.conv(graph.input, 24, step=2)
    for channels, step in (
        (48, 1),
        (96, 2),
        (96, 1),
        (176, 2),
        (176, 1),
        (352, 2),
        (352, 1),
        (352, 1),
        (800, 2),
        (800, 1),
    ):
        x = graph.conv(graph.conv(x, x.shape[1], step=step, groups=x.shape[1]), channels, 1)
    return _classified(graph, x, 900, "separable")


def _inverted(batch: int) -> Probe:
    graph = ProbeGraph((batch, 3, 176, 176))
    x = graph.conv(graph.input, 24, step=2, activation="Clip")
    for channels, window, step in (
        *((28, 3, 2), (28, 3, 1), (40, 5, 2), (40, 3, 1), (72, 3, 2), (72, 5, 1)),
        *((104, 3, 1), (104, 3, 1), (144, 3, 2), (144, 3, 1)),
    ):
        wide = graph.conv(x, 6 * x.shape[1], 1, activation="Clip")
        wide = graph.conv(wide, wide.shape[1], window, step=step, groups=wide.shape[1], activation="Clip")
        inner = graph.conv(wide, channels, 1, activation="")
        x = graph.join("Add", [inner, x]) if inner.shape == x.shape else inner
    return _classified(graph, graph.conv(x, 1152, 1, activation="Clip"), 900, "inverted")


def _branches(batch: int) -> Probe:
    graph = ProbeGraph((batch, 3, 280, 280))
    conv, join = graph.conv, graph.join
    x = graph.pool(conv(conv(graph.input, 32, step=2), 48), 3, 2)
    x = graph.pool(conv(conv(x, 80, 1), 160), 3, 2)
    for channels in (48, 80):
        deep = conv(conv(conv(x, channels, 1), channels + 32), channels + 32)
        pooled = conv(graph.pool(x, 3, 1, "AveragePool"), 32, 1)
        x = join("Concat", [conv(x, channels, 1), conv(conv(x, 24, 1), channels, 5), deep, pooled])
    x = join("Concat", [conv(x, 320, step=2), graph.pool(x, 3, 2)])
    for channels in (112, 144):
        long = conv(conv(conv(x, channels, 1), channels, (1, 7)), 176, (7, 1))
        pooled = conv(graph.pool(x, 3, 1, "AveragePool"), 176, 1)
        x = join("Concat", [conv(x, 176, 1), long, pooled])
    x = join("Concat", [conv(conv(x, 176, 1), 304, step=2), graph.pool(x, 3, 2)])
    wide = conv(x, 352, 1)
    x = join("Concat", [conv(x, 304, 1), conv(wide, 352, (1, 3)), conv(wide, 352, (3, 1)), conv(wide, 400)])
    return _classified(graph, x, 900, "branches")


def _dense(batch: int) -> Probe:
    graph = ProbeGraph((batch, 3, 208, 208))
    x = graph.pool(graph.conv(graph.input, 48, 7, step=2), 3, 2)
    for level, start in enumerate((48, 112, 288, 560)):
        x = graph.conv(graph.scale(x), start, 1) if level else x
        x = graph.pool(x, 2, 2, "AveragePool") if level else x
        for _ in range(3):
            inner = graph.conv(graph.conv(graph.scale(x), 112, 1), 32, activation="")
            x = graph.join("Concat", [x, inner])
    return _classified(graph, graph.scale(x), 900, "dense")


def _fires(batch: int) -> Probe:
    graph = ProbeGraph((batch, 3, 210, 210))
    x = graph.pool(graph.conv(graph.input, 48, step=2), 3, 2)
    for narrow, wide, step in ((16, 80, 1), (24, 80, 2), (32, 112, 1), (48, 144, 2), (48, 176, 1), (64, 224, 1)):
        squeezed = graph.conv(x, narrow, 1)
        x = graph.join("Concat", [graph.conv(squeezed, wide, 1), graph.conv(squeezed, wide)])
        x = graph.pool(x, 3, 2) if step > 1 else x
    return _classified(graph, graph.conv(x, 900, 1), 100, "fires")


def _wide(batch: int) -> Probe:
    graph = ProbeGraph((batch, 3, 120, 120))
    x = graph.conv(graph.conv(graph.input, 32), 48, activation="LeakyRelu")
    for channels in (112, 208, 400, 560):
        x = graph.conv(graph.pool(x, 2, 2), channels, activation="LeakyRelu")
        x = graph.conv(graph.conv(x, channels // 2, 1, activation="LeakyRelu"), channels, activation="LeakyRelu")
    return _classified(graph, graph.conv(x, 800), 100, "wide")


def _stem(batch: int) -> Probe:
    graph = ProbeGraph((batch, 3, 240, 240))
    x = graph.pool(graph.conv(graph.input, 80, 11, step=4), 3, 2)
    x = graph.pool(graph.conv(x, 176, 5), 3, 2)
    x = graph.conv(graph.conv(graph.conv(x, 336), 240), 240)
    return _classified(graph, x, 100, "stem")


def _upward(batch: int) -> Probe:
    graph = ProbeGraph((batch, 3, 352, 352))
    x = graph.conv(graph.conv(graph.input, 32, step=2, activation="LeakyRelu"), 48, step=2, activation="LeakyRelu")
    x = graph.conv(x, 48, activation="LeakyRelu")
    across = x = graph.conv(graph.pool(x, 2, 2), 112, activation="LeakyRelu")
    x = graph.conv(graph.pool(x, 2, 2), 208, activation="LeakyRelu")
    x = graph.conv(graph.pool(x, 2, 2), 416, activation="LeakyRelu")
    x = graph.conv(x, 208, 1, activation="LeakyRelu")
    x = graph.pool(graph.conv(x, 416, activation="LeakyRelu"), 5, 1)
    x = graph.upscaled(graph.conv(x, 96, 1, activation="LeakyRelu"), 4)
    x = graph.conv(graph.join("Concat", [x, across]), 144, activation="LeakyRelu")
    return graph.probe("upward", graph.conv(x, 80, 1, activation=""))


def _decoder(batch: int) -> Probe:
    graph = ProbeGraph((batch, 400, 6, 6))
    x = graph.input
    for channels, window in ((304, 4), (160, 4), (80, 2), (32, 4)):
        x = graph.upward(graph.conv(x, 2 * channels, 1), channels, window)
        x = graph.conv(graph.scale(x), channels)
    return graph.probe("decoder", graph.conv(x, 8, 1, activation=""))


def _digits(batch: int) -> Probe:
    graph = ProbeGraph((batch, 1, 30, 30))
    x = graph.pool(graph.conv(graph.input, 8, 5, activation="Tanh"), 2, 2, "AveragePool")
    x = graph.pool(graph.conv(x, 20, 5, activation="Tanh"), 2, 2)
    x = graph.conv(x, 40)
    x = graph.gemm(graph.view(x, (batch, math.prod(x.shape[1:]))), 96)
    return graph.probe("digits", graph.gemm(x, 12, ""))


def _thumbnails(batch: int) -> Probe:
    graph = ProbeGraph((batch, 3, 24, 24))
    x = graph.pool(graph.conv(graph.input, 32, 5), 2, 2)
    x = graph.conv(graph.conv(graph.conv(x, 48), 24, 1), 64, step=2)
    x = graph.gemm(graph.view(x, (batch, math.prod(x.shape[1:]))), 160)
    return graph.probe("thumbnails", graph.gemm(x, 20, ""))


def _chained(batch: int, name: str, features: tuple[int, ...]) -> Probe:
    graph = ProbeGraph((batch, features[0]))
    x = graph.input
    for width in features[1:]:
        x = graph.gemm(x, width)
    return graph.probe(name, x)


def _products(batch: int) -> Probe:
    return _chained(batch, "products", (720, 6144, 3584, 3584, 1200, 256, 96, 12))


def _heads(batch: int) -> Probe:
    return _chained(batch, "heads", (5120, 2560, 2560, 900, 448, 1792, 128, 64, 12))


def _text(batch: int) -> Probe:
    places, width, heads = 112, 640, 10
    graph = ProbeGraph((batch, places, width))
    x = graph.input
    for _ in range(2):
        parts = [graph.view(graph.gemm(x, width, ""), (batch, places, heads, width // heads)) for _ in range(3)]
        query, key, value = (
            graph.each("Transpose", part, tuple(part.shape[axis] for axis in order), perm=order)
            for part, order in zip(parts, ((0, 2, 1, 3), (0, 2, 3, 1), (0, 2, 1, 3)), strict=True)
        )
        seen = graph.matmul(graph.each("Softmax", graph.matmul(query, key), axis=-1), value)
        seen = graph.each("Transpose", seen, (batch, places, heads, width // heads), perm=(0, 2, 1, 3))
        inner = graph.gemm(graph.view(seen, (batch, places, width)), width, "")
        x = graph.norm(graph.join("Add", [x, inner]))
        x = graph.norm(graph.join("Add", [x, graph.gemm(graph.gemm(x, 4 * width), width, "")]))
    return graph.probe("text", x)


# By name; each is built for a batch.
PROBES: dict[str, Callable[[int], Probe]] = {
    "stages": _stages,
    "bottlenecks": _bottlenecks,
    "separable": _separable,
    "inverted": _inverted,
    "branches": _branches,
    "dense": _dense,
    "fires": _fires,
    "wide": _wide,
    "stem": _stem,
    "upward": _upward,
    "decoder": _decoder,
    "small-pictures": _small_pictures,
    "digits": _digits,
    "thumbnails": _thumbnails,
    "products": _products,
    "heads": _heads,
    "text": _text,
}
