"""Read Darknet's `.weights`: a header, then the float32 of all layers in the order of the cfg, nothing between them.

The header (src/parser.c load_weights_upto) is major, minor and revision as int32, then how many pictures were seen: 64
bits since version 0.2, 32 before. Files of versions above 1000 keep the matrices of connected layers transposed.

>>> import struct
>>> header = read_header(struct.pack("<iiiQ", 0, 2, 0, 64), "tiny.weights")
>>> header.bytes, header.transposed
(20, False)
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from chipwise.core.errors import NetworkError
from chipwise.networks.parameters import Parameter

_HEADER_BYTES = 20


@dataclass(frozen=True, slots=True)
class Header:
    """What a weights file says of itself.

    Attributes:
        version: major, minor and revision of the Darknet that wrote it.
        bytes: how long the header is.
    """

    version: tuple[int, int, int]
    bytes: int

    @property
    def transposed(self) -> bool:
        """Whether the matrices of connected layers are [inputs, outputs]."""
        return self.version[0] > 1000 or self.version[1] > 1000

    @property
    def forked(self) -> bool:
        """Whether AlexeyAB's Darknet wrote it (0.2.5): it orders the parts of GRU and LSTM in another way."""
        return self.version[2] >= 5


def read_header(start: bytes, title: str) -> Header:
    """Read the first bytes of a weights file.

    Raises:
        NetworkError: when there are too few of them.
    """
    if len(start) < 16:
        raise NetworkError(
            f"{title} has {len(start)} bytes, less than a header", hint="it was cut short: copy it again"
        )
    major, minor, revision = struct.unpack_from("<iii", start)
    long = major * 10 + minor >= 2 and major < 1000 and minor < 1000
    return Header((major, minor, revision), _HEADER_BYTES if long else _HEADER_BYTES - 4)


def header_of(path: Path) -> Header:
    """Read a weights file's header.

    Raises:
        NetworkError: when it cannot be read or is too short.
    """
    try:
        with path.open("rb") as file:
            return read_header(file.read(_HEADER_BYTES), str(path))
    except OSError as error:
        raise NetworkError(f"cannot read {path}: {error.strerror or error}") from error


def fill(parameters: Sequence[Parameter], path: Path, header: Header) -> None:
    """Give every parameter its numbers from a file that holds these and no others.

    Raises:
        NetworkError: when the file cannot be read, is shorter or longer than the layers need, or holds a value that
            is not a number.
    """
    needed = header.bytes + 4 * sum(parameter.count for parameter in parameters)
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size == needed else b""
    except OSError as error:
        raise NetworkError(f"cannot read {path}: {error.strerror or error}") from error
    if len(data) != needed:
        raise _wrong_size(parameters, path, header, size, needed)
    offset = header.bytes
    for parameter in parameters:
        array = np.frombuffer(data, "<f4", parameter.count, offset)
        if np.isnan(array).any():
            place = offset + 4 * int(np.isnan(array).argmax())
            raise NetworkError(
                f"{path} holds a value that is not a number (byte {place}, {parameter.layer})",
                hint="training diverged, or the file is damaged: take an earlier one",
            )
        flipped = parameter.flipped == "always" or (parameter.flipped == "old" and header.transposed)
        _give(parameter, array, flipped)
        offset += 4 * parameter.count


def _give(parameter: Parameter, array: npt.NDArray[np.float32], flipped: bool) -> None:
    if flipped:
        rows = parameter.shape[0]
        array = np.ascontiguousarray(array.reshape(-1, rows).T)
    parameter.value.const_value = ir.Tensor(array.reshape(parameter.shape), name=parameter.value.name)


def _wrong_size(parameters: Sequence[Parameter], path: Path, header: Header, size: int, needed: int) -> NetworkError:
    message = f"{path} has {size} bytes, the network needs {needed}"
    if size > needed:
        return NetworkError(message, hint="the weights are another network's: give the cfg that they were trained with")
    left, last, held = size - header.bytes, "", 0
    layers: dict[str, int] = {}
    for parameter in parameters:
        layers[parameter.layer] = layers.get(parameter.layer, 0) + 4 * parameter.count
    for layer, wanted in layers.items():
        if left < wanted:
            break
        left, last, held = left - wanted, layer, held + 1
    if held and not left:
        message += f": it ends after {last}, with {held} of {len(layers)} layers"
        return NetworkError(message, hint="it is the start of a network, for training: give the whole one")
    message += f": {held} of {len(layers)} layers are whole"
    return NetworkError(message, hint="it was cut short, or is another network's: copy it again")
