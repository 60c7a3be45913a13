"""Write the answer to a request for inference: JSON, followed by those outputs that were asked for as binary data.

>>> made = write_answer(Reply("m", "1", {"y": np.float32([[1, 2]])}), InferRequest({}))
>>> made.header_bytes, msgspec.json.decode(made.body)["outputs"][0]["data"]
(None, [1.0, 2.0])
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from chipwise.serving.datatypes import of_array, to_bytes, to_values
from chipwise.serving.request import InferRequest, Wanted
from chipwise.serving.request_error import TOO_LARGE, RequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Form = tuple[str, "np.dtype[Any]", tuple[int, ...], int]
_KNOWN = 256  # headers that are kept
_MOST_CLASSES = 10_000  # of all items together: they are written one by one


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model gave for one request.

    Attributes:
        model: its name; version: that answered.
        outputs: by name, in the model's order.
        labels: class names, for "value:index:label".
    """

    model: str
    version: str
    outputs: dict[str, NDArray[Any]]
    labels: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Body:
    """An answer's bytes.

    Attributes:
        body: JSON, then binary data.
        header_bytes: where the JSON ends; None where all of it is JSON.
    """

    body: bytes
    header_bytes: int | None


def write_answer(reply: Reply, request: InferRequest) -> Body:
    """Write what was asked for, in the order that it was asked for.

    Raises:
        RequestError: an output that there is not, or one that JSON cannot hold.
    """
    asked = chosen(reply, request)
    blobs = [to_bytes(array) if wanted.binary else None for wanted, array in asked]
    forms = tuple(
        (wanted.name, array.dtype, array.shape, -1 if blob is None else len(blob))
        for (wanted, array), blob in zip(asked, blobs, strict=True)
    )
    who = (reply.model, reply.version, request.id)
    if None in blobs or not blobs:
        values = [None if wanted.binary else to_values(wanted.name, array) for wanted, array in asked]
        header = _header(*who, forms, values)
    else:
        header = _binary_header(*who, forms)
    tail = [blob for blob in blobs if blob is not None]
    return Body(b"".join((header, *tail)), len(header) if tail else None)


def _header(
    model: str, version: str, identity: str, forms: tuple[Form, ...], values: Sequence[list[Any] | None] = ()
) -> bytes:
    """The JSON of an answer: (name, type, shape, bytes of binary data) of each output; data of those in JSON."""
    outputs: list[dict[str, Any]] = []
    for index, (name, dtype, shape, size) in enumerate(forms):
        data = {"data": values[index]} if size < 0 else {"parameters": {"binary_data_size": size}}
        outputs.append({"name": name, "datatype": of_array(dtype), "shape": shape, **data})
    named = {"id": identity} if identity else {}
    return msgspec.json.encode({"model_name": model, "model_version": version, **named, "outputs": outputs})


_binary_header = lru_cache(_KNOWN)(_header)  # of binary data alone: most requests to a model are answered in one form


def chosen(reply: Reply, request: InferRequest) -> list[tuple[Wanted, NDArray[Any]]]:
    """The outputs that were asked for, each with its array.

    Raises:
        RequestError: the model has no such output.
    """
    asked = request.outputs or [Wanted(name, request.binary) for name in reply.outputs]
    for each in asked:
        if each.name not in reply.outputs:
            known = ", ".join(reply.outputs)
            raise RequestError(f"model '{reply.model}' has no output '{each.name}'; its outputs are {known}")
    return [(each, _shaped(reply.outputs[each.name], each, reply.labels)) for each in asked]


def _shaped(array: NDArray[Any], wanted: Wanted, labels: Sequence[str]) -> NDArray[Any]:
    return array if not wanted.classes else best(wanted.name, array, wanted.classes, labels)


def best(name: str, array: NDArray[Any], count: int, labels: Sequence[str]) -> NDArray[Any]:
    """The highest values of each item as "value:index" or "value:index:label", the highest first.

    Source: Triton's classification extension.

    Raises:
        RequestError: the output has no dimension after the batch, or is of strings; or that would be too many.
    """
    if array.ndim < 2 or array.dtype == object:
        raise RequestError(f"output '{name}' has no classes")
    rows = array.reshape(len(array), math.prod(array.shape[1:]))
    most = len(rows) * min(count, rows.shape[1])
    if most > _MOST_CLASSES:
        raise RequestError(f"output '{name}' would have {most} classes; at most {_MOST_CLASSES}", TOO_LARGE)
    order = np.argsort(-rows.astype(np.float64), axis=1, kind="stable")[:, :count]
    found = np.empty(order.shape, object)
    for item, indices in enumerate(order):
        for rank, index in enumerate(indices):
            label = f":{labels[index]}" if index < len(labels) else ""
            found[item, rank] = f"{rows[item, index]:f}:{index}{label}".encode()
    return found
