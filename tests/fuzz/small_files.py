"""Compressed networks whose checks fit and whose contents do not.

Bytes that are flipped stop at the checksum. Here the checksum is made to fit again, so that the decoder reads noise; or
a graph, a task or a tensor is changed and the whole file written anew, so that it reaches what builds the network.
"""

from __future__ import annotations

import random
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from mutate import mutated

from chipwise.codec.small_file import SmallFile, SmallReader, encode_small
from chipwise.codec.small_tensor import from_symbols, from_values
from chipwise.core.task import Preprocess, Task
from chipwise.networks.onnx_file import from_bytes
from chipwise.networks.small_file import to_small

Seeds = list[tuple[str, bytes]]

_WEIGHTS = {"k": (4, 1, 3, 3), "b": (4,), "w": (144, 3)}
_TEXT = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 1, 8, 8] x) => (float[N, 3] y)
{ c = Conv<kernel_shape=[3, 3]>(x, k, b) r = Relu(c) f = Flatten(r) y = MatMul(f, w) }"""


def small_seeds(_: Path) -> Seeds:
    """A sparse network in the reference coder, the same in the fast one, and one with every way to store a tensor."""
    draw = np.random.default_rng(0)
    model = onnx.parser.parse_model(_TEXT)
    for name, shape in _WEIGHTS.items():
        values = np.rint(2 * draw.normal(size=shape) * (draw.random(shape) < 0.3)) / 4
        model.graph.initializer.append(onnx.numpy_helper.from_array(values.astype(np.float32), name))
    task = Task("classification", ("cat", "dog", "owl"), Preprocess(8, 8, mean=(0.5,)))
    file = to_small(from_bytes(model.SerializeToString(), "net", task=task))
    wide = draw.integers(-3, 4, (64, 80)) * (draw.random((64, 80)) < 0.2)
    every = SmallFile(
        b"",
        b"",
        (
            from_symbols(
                "a", draw.integers(-2, 3, (5, 6)), positive=np.ones(2), negative=-np.ones(2), scales=np.ones(5)
            ),
            from_symbols("b", draw.integers(-9, 9, (7,)), radix=7),
            from_values("c", draw.normal(size=(3, 4)).astype(np.float32)),
            from_values("d", np.arange(9)),
            from_symbols("e", wide, step=0.125),
        ),
    )
    return [
        ("a.cwz", encode_small(file)),
        ("b.cwz", encode_small(every, mode="fast")),
        ("c.cwz", encode_small(every)),
    ]


def changed_small(seed: bytes, number: int) -> bytes:
    """Mutation `number` of a good file, with a checksum that fits."""
    chance = random.Random(number)
    if chance.random() < 0.6:
        head, rest = seed[:4], mutated(seed[8:], number, text=False)
        return head + zlib.crc32(rest).to_bytes(4, "little") + rest
    reader = SmallReader(seed)
    file = SmallFile(reader.graph, reader.facts, tuple(tensor for tensor, _ in reader.tensors()))
    match chance.randrange(6):
        case 0:
            file = replace(file, graph=mutated(file.graph, number, text=False))
        case 1:
            file = replace(file, facts=mutated(file.facts, number, text=True))
        case 2:
            one, other = chance.choice(file.tensors), chance.choice(file.tensors)
            file = replace(file, tensors=tuple(replace(t, name=other.name) if t is one else t for t in file.tensors))
        case 3:
            file = replace(file, graph=_with_argument(file.graph, "!" + "9" * chance.choice((3, 4400))))
        case 4:
            file = replace(file, graph=file.graph.replace(b"!1", b"\xff1"))  # a name that is no text
        case _:
            kept = [t for t in file.tensors if chance.random() < 0.8]
            file = replace(file, tensors=tuple(kept + kept[: chance.randrange(2)]))
    return encode_small(file)


def _with_argument(graph: bytes, name: str) -> bytes:
    """A graph whose last node takes another value."""
    model = onnx.load_from_string(graph)
    if model.graph.node:
        model.graph.node[-1].input[0] = name
    return bytes(model.SerializeToString())
