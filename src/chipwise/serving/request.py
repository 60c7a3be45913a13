"""Read a request for inference: JSON, or JSON followed by binary tensors. Pure functions; nothing in it is trusted.

Sources: "Open Inference Protocol v2" (JSON), and Triton's extensions "binary tensor data" (the header
Inference-Header-Content-Length says where the JSON ends), "classification" and "parameters".

>>> body = b'{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}'
>>> read_request(body, None, Limits()).inputs["x"].tolist()
[[1.0, 2.0]]
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from chipwise.serving.datatypes import BYTES, NUMBERS, check_shape, from_bytes, from_values
from chipwise.serving.limits import Limits
from chipwise.serving.request_error import TOO_LARGE, RequestError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Parameters = dict[str, str | int | float | bool]
# What is asked for with these cannot be given, and is not left out in silence.
_REFUSED = ("shared_memory_region", "sequence_id", "sequence_start", "sequence_end", "priority")
_MICRO = 1e-6
_KNOWN_HEADS, _KNOWN_BYTES = 256, 4096  # that are kept, and how large they may be
_MOST_CLASSES = 1000  # of one item


@dataclass(frozen=True, slots=True)
class InputTensor:
    """An input as JSON has it, without its data."""

    name: str
    shape: list[int]
    datatype: str
    parameters: Parameters = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InputData:
    """The data of an input as JSON has it; msgspec keeps what is raw only where it has no default."""

    data: msgspec.Raw


@dataclass(frozen=True, slots=True)
class OutputTensor:
    """An output that is asked for, as JSON has it."""

    name: str
    parameters: Parameters = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Document:
    """The JSON of a request."""

    inputs: list[msgspec.Raw]
    outputs: list[OutputTensor] = field(default_factory=list)
    id: str = ""
    parameters: Parameters = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wanted:
    """An output that is asked for.

    Attributes:
        name: of the output.
        binary: as binary data; else as JSON.
        classes: so many of the highest values, as "value:index:label"; 0 for the tensor itself.
    """

    name: str
    binary: bool = False
    classes: int = 0


@dataclass(frozen=True, slots=True)
class InferRequest:
    """What is to be inferred.

    Attributes:
        inputs: tensors by name.
        outputs: what is asked for; empty for all.
        binary: what is not asked for by name comes as binary data.
        id: given back with the answer.
        timeout_s: seconds after which the answer has no use; None where nothing is said.
    """

    inputs: dict[str, NDArray[Any]]
    outputs: tuple[Wanted, ...] = ()
    binary: bool = False
    id: str = ""
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class _Part:
    """An input without its binary data.

    Attributes:
        head, raw: as JSON has it; size: bytes of binary data, None where the data is in the JSON.
        count: elements; plain: their type, where they are numbers of which any bytes are some; else None.
    """

    head: InputTensor
    raw: msgspec.Raw
    size: int | None
    count: int
    plain: np.dtype[Any] | None


@dataclass(frozen=True, slots=True)
class _Head:
    """The JSON of a request, held against the limits; as `InferRequest`, with `parts` in place of the inputs."""

    parts: tuple[_Part, ...]
    outputs: tuple[Wanted, ...]
    binary: bool
    id: str
    timeout_s: float | None


_DOCUMENT, _INPUT, _DATA = (msgspec.json.Decoder(kind) for kind in (Document, InputTensor, InputData))
_ANYTHING = msgspec.json.Decoder()


def read_request(body: bytes, header_bytes: int | None, limits: Limits) -> InferRequest:
    """Read the body of a request.

    Args:
        body: as it came, inflated.
        header_bytes: where the JSON ends and binary tensors begin; None where all of it is JSON.
        limits: what it is held against.

    Raises:
        RequestError: what does not fit, and of which tensor.
    """
    size = len(body) if header_bytes is None else header_bytes
    if not 0 < size <= len(body):
        raise RequestError(f"Inference-Header-Content-Length is {size}; the body has {len(body)} bytes")
    if size > limits.json_bytes:
        raise RequestError(f"{size} bytes of JSON, at most {limits.json_bytes}; send tensors as binary data", TOO_LARGE)
    view = memoryview(body)
    known = header_bytes is not None and size <= _KNOWN_BYTES
    head = _known_head(body[:size], limits) if known else _head(view[:size], limits)
    return InferRequest(_tensors(head.parts, view[size:], limits), head.outputs, head.binary, head.id, head.timeout_s)


def header_bytes(value: str | None) -> int | None:
    """Read Inference-Header-Content-Length; None where there is none.

    Raises:
        RequestError: it is no number.
    """
    if value is None:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > 18:
        raise RequestError(f"Inference-Header-Content-Length is '{value[:40]}', which is no number of bytes")
    return int(value)


def refuse_parameters(parameters: Parameters) -> None:
    """Refuse what cannot be given.

    Raises:
        RequestError: shared memory, a priority, or sequences of requests, are asked for.
    """
    for name in _REFUSED:
        if parameters.get(name):
            raise RequestError(f"parameter '{name}' is not supported")


def timeout_of(parameters: Parameters) -> float | None:
    """The request's own deadline in seconds, from "timeout" in microseconds; None where it is 0 or absent."""
    timeout = parameters.get("timeout", 0)
    if isinstance(timeout, (str, bool)) or not 0 <= timeout < 1e15:
        raise RequestError("parameter 'timeout' is no number of microseconds")
    return timeout * _MICRO if timeout else None


def checked_text(what: str, text: str, limits: Limits) -> str:
    """A name or an identifier.

    Raises:
        RequestError: it is too long.
    """
    if len(text.encode(errors="replace")) > limits.name_bytes:
        raise RequestError(f"the {what} is longer than {limits.name_bytes} bytes")
    return text


def classes_of(name: str, parameters: Parameters) -> int:
    """How many classes of an output are asked for; 0 for the tensor itself.

    Raises:
        RequestError: it is no number, or a large one.
    """
    count = parameters.get("classification", 0)
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= _MOST_CLASSES:
        given = f"classification is {str(count)[:24]}, which is no number of classes up to {_MOST_CLASSES}"
        raise RequestError(f"output '{name}': {given}")
    return count


def _head(data: bytes | memoryview, limits: Limits) -> _Head:
    document: Document = _decoded(_DOCUMENT, data, "the request")
    refuse_parameters(document.parameters)
    check_names("output", [each.name for each in document.outputs], limits)
    inputs: list[InputTensor] = [_decoded(_INPUT, each, f"input {index}") for index, each in enumerate(document.inputs)]
    check_names("input", [each.name for each in inputs], limits)
    return _Head(
        tuple(_part(head, raw, limits) for head, raw in zip(inputs, document.inputs, strict=True)),
        _wanted(document),
        bool(document.parameters.get("binary_data_output", False)),
        checked_text("id", document.id, limits),
        timeout_of(document.parameters),
    )


_known_head = lru_cache(_KNOWN_HEADS)(_head)  # most clients say the same again and again, and binary data after it


def _part(head: InputTensor, raw: msgspec.Raw, limits: Limits) -> _Part:
    refuse_parameters(head.parameters)
    size = head.parameters.get("binary_data_size")
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 0):
        raise RequestError(f"tensor '{head.name}' has binary_data_size {str(size)[:24]}, which is no number of bytes")
    count = 0 if size is None else check_shape(head.name, head.datatype, head.shape, limits)
    dtype = NUMBERS.get(head.datatype)
    plain = dtype is not None and dtype != np.bool_ and count * dtype.itemsize == size
    return _Part(head, raw, size, count, dtype if plain else None)


def _decoded(decoder: Any, data: Any, what: str) -> Any:
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise RequestError(f"{what} cannot be read: {str(error)[:200]}") from error


def check_names(what: str, names: list[str], limits: Limits) -> None:
    """Hold the names of inputs or outputs against the limits.

    Raises:
        RequestError: there are too many, one is too long, or one is there twice.
    """
    if len(names) > limits.tensors:
        raise RequestError(f"the request names {len(names)} {what}s; at most {limits.tensors}")
    for name in names:
        checked_text(f"name of an {what}", name, limits)
    if len(set(names)) != len(names):
        raise RequestError(f"the request names an {what} twice")


def _tensors(parts: tuple[_Part, ...], tail: memoryview, limits: Limits) -> dict[str, NDArray[Any]]:
    tensors, at = {}, 0
    for part in parts:
        head, size = part.head, part.size
        if size is None:
            tensors[head.name] = from_values(head.name, head.datatype, head.shape, _values(head, part.raw), limits)
            continue
        if size > len(tail) - at:
            raise RequestError(f"tensor '{head.name}' has binary_data_size {str(size)[:24]}; {len(tail) - at} are left")
        if part.plain is None:
            tensors[head.name] = from_bytes(head.name, head.datatype, head.shape, tail[at : at + size], limits)
        else:
            tensors[head.name] = np.frombuffer(tail, part.plain, part.count, at).reshape(head.shape)
        at += size
    if at != len(tail):
        raise RequestError(f"{len(tail) - at} bytes of binary data belong to no input")
    return tensors


def _values(head: InputTensor, raw: msgspec.Raw) -> Any:
    data = _decoded(_DATA, raw, f"tensor '{head.name}'").data
    if head.datatype != BYTES and b'"' in bytes(data):
        # NumPy would give every value the room of the longest string before it could be seen that there is one.
        raise RequestError(f"tensor '{head.name}' is {head.datatype[:20]}, and its data holds something else")
    return _decoded(_ANYTHING, data, f"tensor '{head.name}'")


def _wanted(document: Document) -> tuple[Wanted, ...]:
    usual = bool(document.parameters.get("binary_data_output", False))
    wanted = []
    for each in document.outputs:
        refuse_parameters(each.parameters)
        binary = bool(each.parameters.get("binary_data", usual))
        wanted.append(Wanted(each.name, binary, classes_of(each.name, each.parameters)))
    return tuple(wanted)
