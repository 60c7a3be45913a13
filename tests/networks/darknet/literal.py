"""Darknet's inference as its C loops do it, on arrays: what the importer's graphs are held against.

Written from pjreddie/darknet's src/*.c (and AlexeyAB's for its own layers), not from the importer: one function a layer
type, one picture, float64, Darknet's index arithmetic kept. Slow on purpose.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]
Options = dict[str, str]
Three = tuple[int, int, int]


def read_cfg(text: str) -> list[tuple[str, Options]]:
    sections: list[tuple[str, Options]] = []
    for raw in text.splitlines():
        line = raw.replace(" ", "").replace("\t", "").strip()
        if line.startswith("["):
            sections.append((line[1:-1], {}))
        elif line and line[0] not in "#;":
            key, _, value = line.partition("=")
            sections[-1][1].setdefault(key, value.split("#")[0])
    return sections


def shapes(text: str) -> list[Three]:
    """Channels, height and width of every layer, by Darknet's own formulas."""
    (_, net), *layers = read_cfg(text)
    if "height" in net:
        here = (int(net["channels"]), int(net["height"]), int(net["width"]))
    else:
        here = (int(net["inputs"]), 1, 1)
    done: list[Three] = []
    for kind, options in layers:
        here = _shape(kind, options, here, done)
        done.append(here)
    return done


def _shape(  # noqa: PLR0911 (a formula for each type)
    kind: str, options: Options, here: Three, done: list[Three]
) -> Three:
    c, h, w = here
    number = {key: int(value) for key, value in options.items() if value.lstrip("-").isdigit()}
    size, stride = number.get("size", 1), number.get("stride", 1)
    if kind == "convolutional":
        pad = size // 2 if number.get("pad") else number.get("padding", 0)
        return number["filters"], (h + 2 * pad - size) // stride + 1, (w + 2 * pad - size) // stride + 1
    if kind == "maxpool":
        size = number.get("size", stride)
        pad = number.get("padding", size - 1)
        return c, (h + pad - size) // stride + 1, (w + pad - size) // stride + 1
    if kind == "local":
        less = 1 if number.get("pad") else size
        return number["filters"], (h - less) // stride + 1, (w - less) // stride + 1
    if kind == "route":
        places = [int(place) for place in options["layers"].split(",")]
        joined = [done[place if place >= 0 else len(done) + place] for place in places]
        return sum(each[0] for each in joined) // number.get("groups", 1), joined[0][1], joined[0][2]
    if kind == "scale_channels":
        place = number["from"]
        return done[place if place >= 0 else len(done) + place]
    if kind == "reorg":
        return c * stride * stride, h // stride, w // stride
    sizes: dict[str, Three] = {
        "avgpool": (c, 1, 1),
        "upsample": (c, h * stride, w * stride),
        "crop": (c, number.get("crop_height", 1), number.get("crop_width", 1)),
        "softmax": (c * h * w, 1, 1),
        **dict.fromkeys(("connected", "rnn", "gru", "lstm"), (number.get("output", 1), 1, 1)),
    }
    return sizes.get(kind, here)


@dataclass
class Net:
    """A network with its numbers, as load_weights_upto reads them; `step` runs it and keeps the states."""

    text: str
    numbers: Iterable[float]
    forked: bool = False
    layers: list[Array] = field(default_factory=list)
    states: dict[tuple[int, str], Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (_, self.net), *self.sections = read_cfg(self.text)
        self.parts: list[dict[str, dict[str, Array]]] = []
        source = iter(self.numbers)
        for (kind, options), before, after in zip(self.sections, self._before(), shapes(self.text), strict=True):
            self.parts.append(self._read(source, kind, options, before, after))
        assert next(source, None) is None, "numbers left over"

    def _before(self) -> list[Three]:
        net = self.net
        first = (int(net["channels"]), int(net["height"]), int(net["width"])) if "height" in net else None
        return [first or (int(net["inputs"]), 1, 1), *shapes(self.text)[:-1]]

    def _read(
        self, source: Iterator[float], kind: str, options: Options, before: Three, after: Three
    ) -> dict[str, dict[str, Array]]:
        inputs, outputs, normal = math.prod(before), after[0], options.get("batch_normalize") == "1"

        def take(*shape: int) -> Array:
            return np.array([next(source) for _ in range(math.prod(shape))], np.float64).reshape(shape)

        def norm(count: int) -> dict[str, Array]:
            return {key: take(count) for key in ("scale", "mean", "var")} if normal else {}

        def dense(rows: int, columns: int) -> dict[str, Array]:
            return {"bias": take(rows), "weight": take(rows, columns), **norm(rows)}

        if kind == "convolutional":
            size, groups = int(options.get("size", 1)), int(options.get("groups", 1))
            bias, extra = take(outputs), norm(outputs)
            return {"it": {"bias": bias, **extra, "weight": take(outputs, before[0] // groups, size, size)}}
        if kind == "connected":
            return {"it": dense(outputs, inputs)}
        if kind == "local":
            taps = before[0] * int(options["size"]) ** 2
            return {"it": {"bias": take(*after), "weight": take(after[1] * after[2], outputs, taps)}}
        if kind == "rnn":
            hidden = int(options.get("hidden", outputs))
            sides = (("input", hidden, inputs), ("self", hidden, hidden), ("output", outputs, hidden))
            return {name: dense(rows, columns) for name, rows, columns in sides}
        if kind == "gru":  # pjreddie: wz wr wh uz ur uh; w reads the state, u the input
            order = ["uz", "ur", "uh", "wz", "wr", "wh"] if self.forked else ["wz", "wr", "wh", "uz", "ur", "uh"]
        elif kind == "lstm":
            gates = "figo" if self.forked else "ifog"
            order = [side + gate for side in "wu" for gate in gates]
        else:
            return {}
        return {name: dense(outputs, inputs if name[0] == "u" else outputs) for name in order}

    def step(self, x: Array) -> list[Array]:
        """Results of all layers for one picture [c, h, w] or row [n]."""
        self.layers = []
        here = x.astype(np.float64).reshape(-1, *((1, 1) if x.ndim == 1 else x.shape[1:]))
        for index, (kind, options) in enumerate(self.sections):
            here = getattr(self, f"_{kind}", lambda _, __, same: same)(index, options, here)
            self.layers.append(here)
        return self.layers

    def _at(self, text: str) -> Array:
        place = int(text)
        return self.layers[place if place >= 0 else len(self.layers) + place]

    def _convolutional(self, index: int, options: Options, x: Array) -> Array:
        part = self.parts[index]["it"]
        n, taps, size, _ = part["weight"].shape
        stride, dilation = int(options.get("stride", 1)), int(options.get("dilation", 1))
        stride_y, stride_x = int(options.get("stride_y", stride)), int(options.get("stride_x", stride))
        pad = (size // 2 if options.get("pad") == "1" else int(options.get("padding", 0))) * dilation
        groups = int(options.get("groups", 1))
        _, h, w = x.shape
        reach = dilation * (size - 1) + 1
        out = np.zeros((n, (h + 2 * pad - reach) // stride_y + 1, (w + 2 * pad - reach) // stride_x + 1))
        for f, i, j in np.ndindex(out.shape):
            first = f // (n // groups) * taps
            for k, m, o in np.ndindex(taps, size, size):
                row, column = i * stride_y - pad + m * dilation, j * stride_x - pad + o * dilation
                if 0 <= row < h and 0 <= column < w:
                    out[f, i, j] += part["weight"][f, k, m, o] * x[first + k, row, column]
        return activate(_normalized(part, out), options.get("activation", "logistic"))

    def _local(self, index: int, options: Options, x: Array) -> Array:
        part = self.parts[index]["it"]
        out = part["bias"].copy()
        size, stride = int(options["size"]), int(options.get("stride", 1))
        pad = size // 2 if options.get("pad") == "1" else 0
        n, rows, columns = out.shape
        c, h, w = x.shape
        for i, j in np.ndindex(rows, columns):
            for f in range(n):
                for k in range(c * size * size):  # im2col_cpu
                    w_offset, h_offset, channel = k % size, k // size % size, k // size // size
                    row, column = i * stride + h_offset - pad, j * stride + w_offset - pad
                    if 0 <= row < h and 0 <= column < w:
                        out[f, i, j] += part["weight"][i * columns + j, f, k] * x[channel, row, column]
        return activate(out, options.get("activation", "logistic"))

    def _connected(self, index: int, options: Options, x: Array) -> Array:
        return dense(self.parts[index]["it"], x.reshape(-1), options.get("activation", "logistic"))[:, None, None]

    def _maxpool(self, index: int, options: Options, x: Array) -> Array:
        stride = int(options.get("stride", 1))
        size = int(options.get("size", stride))
        pad = int(options.get("padding", size - 1))
        c, h, w = x.shape
        out = np.zeros((c, (h + pad - size) // stride + 1, (w + pad - size) // stride + 1))
        offset = -(pad // 2)  # -l.pad/2 in C
        for k, i, j in np.ndindex(out.shape):
            best = -math.inf
            for n, m in np.ndindex(size, size):
                row, column = offset + i * stride + n, offset + j * stride + m
                if 0 <= row < h and 0 <= column < w:
                    best = max(best, x[k, row, column])
            out[k, i, j] = best
        return out

    def _avgpool(self, index: int, options: Options, x: Array) -> Array:
        return x.mean(axis=(1, 2))[:, None, None]

    def _route(self, index: int, options: Options, x: Array) -> Array:
        groups, part = int(options.get("groups", 1)), int(options.get("group_id", 0))
        out = []
        for place in options["layers"].split(","):
            flat = self._at(place).reshape(-1)
            share = len(flat) // groups
            out.append(flat[share * part : share * (part + 1)])
        return np.concatenate(out).reshape(-1, *self._at(options["layers"].split(",")[0]).shape[1:])

    def _shortcut(self, index: int, options: Options, x: Array) -> Array:
        out = x.copy()
        for place in options["from"].split(","):
            add = self._at(place)
            (c1, h1, w1), (c2, h2, w2) = add.shape, out.shape
            stride, sample = max(w1 // w2, 1), max(w2 // w1, 1)
            for k in range(min(c1, c2)):
                for j in range(min(h1, h2)):
                    for i in range(min(w1, w2)):
                        out[k, j * sample, i * sample] += add[k, j * stride, i * stride]
        return activate(out, options.get("activation", "linear"))

    def _scale_channels(self, index: int, options: Options, x: Array) -> Array:
        source, factors = self._at(options["from"]), x.reshape(-1)
        out, area = source.reshape(-1).copy(), source[0].size
        for i in range(out.size):
            out[i] *= factors[i % area] if options.get("scale_wh") == "1" else factors[i // area]
        return activate(out.reshape(source.shape), options.get("activation", "linear"))

    def _sam(self, index: int, options: Options, x: Array) -> Array:
        return activate(self._at(options["from"]) * x, options.get("activation", "linear"))

    def _activation(self, index: int, options: Options, x: Array) -> Array:
        return activate(x, options.get("activation", "linear"))

    def _upsample(self, index: int, options: Options, x: Array) -> Array:
        stride, scale = int(options.get("stride", 2)), float(options.get("scale", 1))
        c, h, w = x.shape
        out = np.zeros((c, h * stride, w * stride))
        for k, j, i in np.ndindex(out.shape):
            out[k, j, i] = scale * x[k, j // stride, i // stride]
        return out

    def _crop(self, index: int, options: Options, x: Array) -> Array:
        out = np.zeros((x.shape[0], int(options["crop_height"]), int(options["crop_width"])))
        dh, dw = (x.shape[1] - out.shape[1]) // 2, (x.shape[2] - out.shape[2]) // 2
        scale, trans = (1, 0) if options.get("noadjust") == "1" else (2, -1)
        for c, i, j in np.ndindex(out.shape):
            out[c, i, j] = x[c, i + dh, j + dw] * scale + trans
        return out

    def _reorg(self, index: int, options: Options, x: Array) -> Array:
        stride, (c, h, w) = int(options["stride"]), x.shape
        forward = options.get("reverse") == "1"
        out = reorg_cpu(x.reshape(-1), w, h, c, stride, forward=forward)
        square = stride * stride
        return out.reshape((c // square, h * stride, w * stride) if forward else (c * square, h // stride, w // stride))

    def _softmax(self, index: int, options: Options, x: Array) -> Array:
        values = x.reshape(int(options.get("groups", 1)), -1) / float(options.get("temperature", 1))
        powers = np.exp(values - values.max(axis=1, keepdims=True))
        return (powers / powers.sum(axis=1, keepdims=True)).reshape(-1, 1, 1)

    def _state(self, index: int, name: str, count: int) -> Array:
        return self.states.setdefault((index, name), np.zeros(count))

    def _rnn(self, index: int, options: Options, x: Array) -> Array:
        part, kind = self.parts[index], options.get("activation", "logistic")
        state = self._state(index, "state", len(part["self"]["bias"]))
        after = state.copy() if options.get("shortcut") == "1" else np.zeros_like(state)
        after += dense(part["input"], x.reshape(-1), kind)
        after += dense(part["self"], state, {"1": "logistic", "2": "loggy"}.get(options.get("logistic", ""), kind))
        self.states[index, "state"] = after
        return dense(part["output"], after, kind)[:, None, None]

    def _gru(self, index: int, options: Options, x: Array) -> Array:
        part, row = self.parts[index], x.reshape(-1)
        state = self._state(index, "state", len(part["wz"]["bias"]))
        z, r = (
            activate(dense(part[f"u{gate}"], row, "linear") + dense(part[f"w{gate}"], state, "linear"), "logistic")
            for gate in "zr"
        )
        h = dense(part["uh"], row, "linear") + dense(part["wh"], r * state, "linear")
        h = activate(h, "tanh" if options.get("tanh") == "1" else "logistic")
        self.states[index, "state"] = z * state + (1 - z) * h  # weighted_sum_cpu
        return self.states[index, "state"][:, None, None]

    def _lstm(self, index: int, options: Options, x: Array) -> Array:
        part, row = self.parts[index], x.reshape(-1)
        hidden, cell = (self._state(index, name, len(part["wf"]["bias"])) for name in ("hidden", "cell"))
        f, i, g, o = (
            activate(
                dense(part[f"w{gate}"], hidden, "linear") + dense(part[f"u{gate}"], row, "linear"),
                "tanh" if gate == "g" else "logistic",
            )
            for gate in "figo"
        )
        self.states[index, "cell"] = f * cell + i * g
        self.states[index, "hidden"] = o * np.tanh(self.states[index, "cell"])
        return self.states[index, "hidden"][:, None, None]


def reorg_cpu(x: Array, w: int, h: int, c: int, stride: int, *, forward: bool) -> Array:
    out = np.zeros_like(x)
    out_c = c // (stride * stride)
    for k in range(c):
        for j in range(h):
            for i in range(w):
                in_index = i + w * (j + h * k)
                c2, offset = k % out_c, k // out_c
                w2, h2 = i * stride + offset % stride, j * stride + offset // stride
                out_index = w2 + w * stride * (h2 + h * stride * c2)
                if forward:
                    out[out_index] = x[in_index]
                else:
                    out[in_index] = x[out_index]
    return out


def dense(part: dict[str, Array], x: Array, kind: str) -> Array:
    return activate(_normalized(part, part["weight"] @ x), kind)


def _normalized(part: dict[str, Array], x: Array) -> Array:
    def each(key: str) -> Array:
        return part[key].reshape(-1, *[1] * (x.ndim - 1))

    if "scale" in part:
        x = (x - each("mean")) / (np.sqrt(each("var")) + 0.000001) * each("scale")
    return x + each("bias")


def activate(x: Array, kind: str) -> Array:
    out = x.copy()
    for index in np.ndindex(x.shape):
        out[index] = FUNCTIONS[kind](float(x[index]))
    return out


def _stair(x: float) -> float:
    n = math.floor(x)
    return math.floor(x / 2.0) if n % 2 == 0 else (x - n) + math.floor(x / 2.0)


def _plse(x: float) -> float:
    if x < -4:
        return 0.01 * (x + 4)
    return 0.01 * (x - 4) + 1 if x > 4 else 0.125 * x + 0.5


def _lhtan(x: float) -> float:
    if x < 0:
        return 0.001 * x
    return 0.001 * (x - 1) + 1 if x > 1 else x


def _hard_mish(x: float) -> float:
    if x > 0:
        return x
    return x * x / 2 + x if x > -2 else 0.0


FUNCTIONS = {
    "elu": lambda x: (x >= 0) * x + (x < 0) * (math.exp(x) - 1),
    "gelu": lambda x: 0.5 * x * (1 + math.tanh(0.797885 * x + 0.035677 * x**3)),
    "hard_mish": _hard_mish,
    "hardtan": lambda x: min(max(x, -1.0), 1.0),
    "leaky": lambda x: x if x > 0 else 0.1 * x,
    "lhtan": _lhtan,
    "linear": lambda x: x,
    "loggy": lambda x: 2.0 / (1.0 + math.exp(-x)) - 1,
    "logistic": lambda x: 1.0 / (1.0 + math.exp(-x)),
    "mish": lambda x: x * math.tanh(math.log1p(math.exp(x))),
    "plse": _plse,
    "ramp": lambda x: x * (x > 0) + 0.1 * x,
    "relie": lambda x: x if x > 0 else 0.01 * x,
    "relu": lambda x: x * (x > 0),
    "relu6": lambda x: min(max(x, 0.0), 6.0),
    "selu": lambda x: (x >= 0) * 1.0507 * x + (x < 0) * 1.0507 * 1.6732 * (math.exp(x) - 1),
    "stair": _stair,
    "swish": lambda x: x / (1 + math.exp(-x)),
    "tanh": lambda x: (math.exp(2 * x) - 1) / (math.exp(2 * x) + 1),
}
