"""Write the answer to a request for inference: JSON, followed by those outputs that were asked for as binary data.

>>> made = write_answer(Reply("m", "1", {"y": np.float32([[1, 2]])}), InferRequest({}))
>>> made.header_bytes, msgspec.json.decode(made.body)["outputs"][0]["data"]
(None, [1.0, 2.0])
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from chipwise.serving.datatypes import of_array, to_bytes, to_values
from chipwise.serving.request import InferRequest, Wanted
from chipwise.serving.request_error import TOO_LARGE, RequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

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
    outputs, blobs = [], []
    for wanted, array in chosen(reply, request):
        facts: dict[str, Any] = {
            "name": wanted.name,
            "datatype": of_array(array.dtype.name),
            "shape": array.shape,
        }
        if wanted.binary:
            blobs.append(to_bytes(array))
            facts["parameters"] = {"binary_data_size": len(blobs[-1])}
        else:
            facts["data"] = to_values(wanted.name, array)
        outputs.append(facts)
    identity = {"id": request.id} if request.id else {}
    document = {"model_name": reply.model, "model_version": reply.version, **identity, "outputs": outputs}
    header = msgspec.json.encode(document)
    return Body(b"".join((header, *blobs)), len(header) if blobs else None)


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
