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

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from chipwise.core.errors import NetworkError
from chipwise.networks.parameters import LIMIT_BYTES, Parameter

_HEADER_BYTES = 20
MOST_BYTES = _HEADER_BYTES + LIMIT_BYTES


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


def fill(parameters: Sequence[Parameter], data: bytes, header: Header, title: str) -> None:
    """Give every parameter its numbers from a file that holds these and no others.

    Args:
        parameters: in the order of the file.
        data: the whole file.
        header: of the file.
        title: of the file, for messages.

    Raises:
        NetworkError: when the file is shorter or longer than the layers need, or holds a value that is not a number.
    """
    needed = header.bytes + 4 * sum(parameter.count for parameter in parameters)
    if len(data) != needed:
        raise _wrong_size(parameters, title, header, len(data), needed)
    offset = header.bytes
    for parameter in parameters:
        array = np.frombuffer(data, "<f4", parameter.count, offset)
        bad = ~np.isfinite(array)
        if bad.any():
            place = offset + 4 * int(bad.argmax())
            raise NetworkError(
                f"{title} holds a value that is not a number (byte {place}, {parameter.layer})",
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


def _wrong_size(parameters: Sequence[Parameter], title: str, header: Header, size: int, needed: int) -> NetworkError:
    message = f"{title} has {size} bytes, the network needs {needed}"
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
