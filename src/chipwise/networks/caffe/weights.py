"""Give a drawn network the numbers of a `.caffemodel`: a NetParameter whose layers hold blobs, found by layer name.

>>> from chipwise.networks.caffe.schema import network
>>> blob = network().layer.add().blobs.add(num=1, channels=1, height=2, width=3)
>>> shape_of(blob)
(1, 1, 2, 3)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from chipwise.codec.files import read_bounded
from chipwise.core.errors import NetworkError
from chipwise.core.layer import Shape
from chipwise.networks.caffe import schema
from chipwise.networks.caffe.prototxt import CaffeLayer
from chipwise.networks.parameters import LIMIT_BYTES, Parameter

Array = npt.NDArray[np.float32]


def fill(layers: Sequence[CaffeLayer], parameters: Mapping[str, list[Parameter]], path: Path) -> None:
    """Give every parameter its numbers; layers of the file that the network lacks are left out, as Caffe does.

    Args:
        layers: of the network.
        parameters: of each layer, by its name, in the order of its blobs.
        path: the caffemodel.

    Raises:
        NetworkError: when the file cannot be read, or lacks a layer, or has another shape somewhere.
    """
    blobs = _blobs(path)
    for layer in layers:
        wanted = parameters.get(layer.name, [])
        if not wanted:
            continue
        if layer.name not in blobs:
            raise NetworkError(
                f"{path} has no weights for {layer.title}", hint=f"it has them for {', '.join(list(blobs)[:5])}"
            )
        given = blobs[layer.name]
        if layer.type == "BatchNorm":
            given = _statistics(layer, given, path)
        if len(given) != len(wanted):
            raise NetworkError(f"{path}: {layer.title} has {len(given)} blobs, the network needs {len(wanted)}")
        for parameter, (shape, values) in zip(wanted, given, strict=True):
            _give(parameter, shape, values, path)


def shape_of(blob: Any) -> Shape:
    """The shape a blob declares; before 2014 that were four numbers."""
    if blob.HasField("shape"):
        return tuple(blob.shape.dim)
    return (blob.num, blob.channels, blob.height, blob.width)


def _text(name: str | bytes) -> str:
    """A name as text: protobuf gives bytes where a file's are not UTF-8."""
    return name.decode(errors="replace") if isinstance(name, bytes) else name


def _blobs(path: Path) -> dict[str, list[tuple[Shape, Array]]]:
    net = schema.network()
    try:
        net.ParseFromString(read_bounded(path, LIMIT_BYTES, "caffemodel", NetworkError))
        found = {_text(layer.name): layer.blobs for layer in (*net.layers, *net.layer) if layer.blobs}
    except (DecodeError, UnicodeDecodeError) as error:
        raise NetworkError(f"{path} is no caffemodel, or it was cut short", hint="copy it again") from error
    if not found:
        raise NetworkError(f"{path} holds no weights", hint="give the .caffemodel of the network")
    return {name: [_array(blob, name, path) for blob in blobs] for name, blobs in found.items()}


def _array(blob: Any, name: str, path: Path) -> tuple[Shape, Array]:
    shape = shape_of(blob)
    data, kind = (blob.double_data, "<f8") if blob.double_data else (blob.data, "<f4")
    size = np.dtype(kind).itemsize
    if min(shape, default=1) < 0 or len(data) != size * math.prod(shape):
        raise NetworkError(
            f"{path}: a blob of layer {name!r} declares {list(shape)} and holds {len(data) // size} numbers",
            hint="it was damaged: copy it again",
        )
    return shape, np.frombuffer(data, kind).astype(np.float32)


def _statistics(layer: CaffeLayer, given: list[tuple[Shape, Array]], path: Path) -> list[tuple[Shape, Array]]:
    """Caffe keeps sums, and by how much they are to be divided."""
    if len(given) != 3 or given[2][1].size != 1:
        raise NetworkError(f"{path}: {layer.title} has {len(given)} blobs, not mean, variance and their factor")
    factor = float(given[2][1].ravel()[0])
    with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is refused with a message
        scale = np.float32(1 / factor if factor else 0)
        return [(shape, values * scale) for shape, values in given[:2]]


def _give(parameter: Parameter, shape: Shape, values: Array, path: Path) -> None:
    """Old files put ones in front of a shape, and slopes are stretched over a picture here: ones do not count."""
    if [size for size in shape if size != 1] != [size for size in parameter.shape if size != 1]:
        raise NetworkError(
            f"{path}: {parameter.value.name} of {parameter.layer} has the shape {list(shape)}, "
            f"the network needs {list(parameter.shape)}",
            hint="the weights are another network's: give the prototxt that they were trained with",
        )
    if not np.isfinite(values).all():
        raise NetworkError(f"{path}: {parameter.layer} holds a value that is not a number", hint="training diverged")
    parameter.value.const_value = ir.Tensor(values.reshape(parameter.shape), name=parameter.value.name)
