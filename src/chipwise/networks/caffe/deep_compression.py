r"""Give a drawn network the numbers of a Deep Compression `.net` file, as Han, Mao and Dally published SqueezeNet.

The layout (songhan/SqueezeNet-Deep-Compression, its decode.py): how many values each layer stores, uint32 each; then
for every layer a codebook of float32, the biases in float32, the codebook symbols of the stored values, and their
distances, 4 bits each, low half first. Convolutions have codebooks of 256 and symbols of 8 bits, other layers 16 and 4.

>>> unpack(b"\x21\x03", 3).tolist()
[1, 2, 3]
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from chipwise.codec.files import read_bounded
from chipwise.core.errors import NetworkError
from chipwise.networks.caffe.prototxt import CaffeLayer
from chipwise.networks.parameters import LIMIT_BYTES, Parameter


def fill(layers: Sequence[CaffeLayer], parameters: Mapping[str, list[Parameter]], path: Path) -> None:
    """Give every layer with weights its numbers, in the order of the prototxt.

    Args:
        layers: of the network.
        parameters: of each layer, by its name: weights, then biases.
        path: the .net file.

    Raises:
        NetworkError: when the file is shorter or longer than these layers need, or a value lies outside of its layer.
    """
    data = read_bounded(path, LIMIT_BYTES, "Deep Compression file", NetworkError)
    held = [(layer, parameters[layer.name]) for layer in layers if parameters.get(layer.name)]
    for layer, own in held:
        if len(own) != 2:
            raise NetworkError(f"{path}: {layer.title} has {len(own)} arrays, the format knows weights and biases")
    counts = np.frombuffer(_piece(data, 0, 4 * len(held), path), "<u4").tolist()
    at = 4 * len(held)
    for (layer, (weight, bias)), stored in zip(held, counts, strict=True):
        at = _layer(data, at, (stored, _bits(layer)), (weight, bias), path)
    if at != len(data):
        raise NetworkError(f"{path} has {len(data) - at:,} bytes more than this network needs", hint=_OTHER)


_OTHER = "give the prototxt that it was compressed with"


def _bits(layer: CaffeLayer) -> int:
    return 8 if "conv" in layer.name else 4


def _layer(data: bytes, at: int, facts: tuple[int, int], arrays: tuple[Parameter, Parameter], path: Path) -> int:
    """Read one layer from `at`, of so many stored values of so many bits; where the next begins."""
    (stored, bits), (weight, bias) = facts, arrays
    pieces = []
    for size in (4 << bits, 4 * bias.count, (stored * bits + 7) // 8, (stored + 1) // 2):
        pieces.append(_piece(data, at, size, path))
        at += size
    codebook, biases = (np.frombuffer(piece, "<f4") for piece in pieces[:2])
    symbols = np.frombuffer(pieces[2], np.uint8) if bits == 8 else unpack(pieces[2], stored)
    places = np.cumsum(unpack(pieces[3], stored).astype(np.int64) + 1) - 1
    if stored and places[-1] >= weight.count:
        raise NetworkError(f"{path}: {weight.layer} stores a value past its end", hint=_OTHER)
    if not (np.isfinite(codebook).all() and np.isfinite(biases).all()):
        raise NetworkError(f"{path}: {weight.layer} holds a value that is not a number", hint=_OTHER)
    code = np.zeros(math.prod(weight.shape), np.uint8)
    code[places] = symbols
    weight.value.const_value = ir.Tensor(codebook[code].reshape(weight.shape), name=weight.value.name)
    bias.value.const_value = ir.Tensor(biases.reshape(bias.shape).copy(), name=bias.value.name)
    return at


def _piece(data: bytes, at: int, size: int, path: Path) -> bytes:
    if at + size > len(data):
        raise NetworkError(f"{path} is shorter than this network needs", hint=_OTHER)
    return data[at : at + size]


def unpack(data: bytes, count: int) -> NDArray[np.uint8]:
    """Two values of 4 bits a byte, low half first."""
    both = np.frombuffer(data, np.uint8)
    return np.stack([both & 15, both >> 4], axis=1).ravel()[:count]
