"""Networks from ONNX files, and back to bytes. Light: needs onnx and onnx_ir, never torch.

>>> import onnx
>>> text = '<ir_version: 8, opset_import: ["": 17]> g (float[N, 3] x) => (float[N, 3] y) { y = Relu(x) }'
>>> model = onnx.parser.parse_model(text)
>>> from_bytes(model.SerializeToString(), "relu").inputs[0].shape
('N', 3)
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError, EncodeError  # type: ignore[import-untyped]
from onnx import ModelProto, TypeProto

from chipwise.codec import records
from chipwise.codec.files import read_bounded
from chipwise.core.custom_layers import DEFINED, function
from chipwise.core.errors import NetworkError
from chipwise.core.network import Network, TensorSpec
from chipwise.core.task import Task
from chipwise.networks import onnx_check, onnx_legacy, onnx_shapes
from chipwise.tasks.guess import as_declared, guess_task

TASK_KEY = "chipwise.task"
_OUTLINED = 65_536  # elements; arithmetic on shapes never has as many
_TOO_LARGE = "keep its weights as external data beside it; a graph is limited to 2 GiB by protobuf"

# onnx_ir wraps most of what it meets in SerdeError (a RuntimeError), not all.
_SERDE_ERRORS = (RuntimeError, ValueError, TypeError, KeyError, AttributeError, IndexError, AssertionError)


def load(path: Path) -> Network:
    """Read an ONNX file, with its external data, and infer its shapes.

    Args:
        path: the file; external data must lie in its folder.

    Raises:
        NetworkError: when it is no ONNX file, is damaged, or declares more than it holds.
    """
    data = read_bounded(path, onnx_check.MESSAGE_LIMIT_BYTES, "ONNX file", NetworkError, hint=_TOO_LARGE)
    return from_bytes(data, path.stem, origin=str(path), folder=path.parent, title=str(path))


def from_bytes(
    data: bytes,
    name: str,
    *,
    task: Task | None = None,
    origin: str = "",
    folder: Path | None = None,
    title: str = "",
) -> Network:
    """Build a network from a serialized ONNX model.

    Args:
        data: the file's bytes.
        name: of the network.
        task: what it is for; None to take it from the file's metadata or guess it from its shapes.
        origin: what the user typed to get it.
        folder: where external data may lie; None when there may be none.
        title: what messages call it; its name when empty.

    Raises:
        NetworkError: when it is no ONNX model, is damaged, or declares more than it holds.
    """
    title = title or name
    try:
        graph = _graph(data, folder, title)
    except UnicodeDecodeError as error:  # protobuf decodes names when they are read
        raise NetworkError(f"{title} holds a name that is not UTF-8", hint="it was damaged: export it again") from error
    return from_model(graph, name, task=task, origin=origin)


def _graph(data: bytes, folder: Path | None, title: str) -> ir.Model:
    model = _parse(data, title)
    onnx_check.check_structure(model, title)
    onnx_check.inline_external(model, folder, title)
    onnx_legacy.mend(model, title)
    _add_shapes(model, title)
    try:
        return ir.serde.deserialize_model(model)
    except _SERDE_ERRORS as error:
        raise NetworkError(f"{title} cannot be read: {_reason(error)}") from error


def from_model(graph: ir.Model, name: str, *, task: Task | None = None, origin: str = "") -> Network:
    """Wrap a graph whose shapes are known as a network; the digest is taken here.

    Raises:
        NetworkError: when an input or output is no tensor.
    """
    weights = graph.graph.initializers
    inputs = tuple(_spec(value, "input") for value in graph.graph.inputs if value.name not in weights)
    outputs = tuple(_spec(value, "output") for value in graph.graph.outputs)
    task = task or _stored_task(graph) or as_declared(guess_task(inputs, outputs), graph.metadata_props)
    network = Network(name, inputs, outputs, task, graph=graph, origin=origin or name)
    return replace(network, digest=_digest(network))


def _digest(network: Network) -> str:
    """Hash the graph without its large weights, then those one by one: never a second copy of all of them."""
    assert network.graph is not None
    try:
        digest = hashlib.sha256(proto(outline(network)).SerializeToString(deterministic=True))
        for value in network.graph.graph.initializers.values():
            if _is_large(value):
                assert value.const_value is not None
                digest.update(value.const_value.tobytes())
    except (EncodeError, *_SERDE_ERRORS) as error:
        raise NetworkError(f"{network.name} cannot be read: {_reason(error)}") from error
    return digest.hexdigest()


def _is_large(value: ir.Value) -> bool:
    held = value.const_value
    return held is not None and held.size > _OUTLINED and held.dtype != ir.DataType.STRING


def serialize(network: Network, *, with_task: bool = False) -> bytes:
    """Serialize a network's graph, weights inside; the same graph always gives the same bytes.

    Args:
        network: one with a graph.
        with_task: store labels and preprocessing in the file's metadata, from where `load` takes them.

    Raises:
        NetworkError: when the network has no graph, or is larger than protobuf's 2 GiB.
    """
    model = proto(network)
    if with_task:
        kept = [entry for entry in model.metadata_props if entry.key != TASK_KEY]
        del model.metadata_props[:]
        model.metadata_props.extend(kept)
        model.metadata_props.add(key=TASK_KEY, value=records.encode(network.task).decode())
    try:
        data: bytes = model.SerializeToString(deterministic=True)
    except (EncodeError, ValueError) as error:
        raise NetworkError(f"{network.name} is too large for one ONNX file", hint=_TOO_LARGE) from error
    return data


def proto(network: Network) -> ModelProto:
    """The protobuf message of a network's graph.

    Raises:
        NetworkError: when the network has no graph.
    """
    if network.graph is None:
        raise NetworkError(
            f"{network.name} has no graph yet", hint="export it first: chipwise.networks.export.with_graph"
        )
    try:
        return ir.serde.serialize_model(network.graph)
    except _SERDE_ERRORS as error:
        raise NetworkError(f"{network.name} cannot be written: {_reason(error)}") from error


def outline(network: Network) -> Network:
    """The same network with a shape where each large weight was: enough for tables, and nothing is read or copied.

    Raises:
        NetworkError: when the network has no graph.
    """
    if network.graph is None:
        raise NetworkError(f"{network.name} has no graph yet")
    model = network.graph.clone()
    for value in model.graph.initializers.values():
        held = value.const_value
        if held is not None and _is_large(value):
            shape = ir.Shape(tuple(held.shape.numpy()))
            value.const_value = ir.ExternalTensor("absent", 0, 0, held.dtype, shape=shape, name=value.name or "")
    return replace(network, graph=model)


def check_runnable(network: Network) -> None:
    """Refuse a graph with an operator that no runtime can know.

    Operators of ONNX's own domains must exist in the declared operator set; functions inside the model, ONNX Runtime's
    own domain and registered custom layers are accepted.

    Raises:
        NetworkError: naming operator, domain and operator set.
    """
    if network.graph is None:
        return
    versions = dict(network.graph.opset_imports)
    own = {(function.domain, function.name) for function in network.graph.functions.values()}
    for node in network.graph.graph.all_nodes():
        domain = "" if node.domain == "ai.onnx" else node.domain
        if domain == "com.microsoft" or (node.domain, node.op_type) in own or function(node.domain, node.op_type):
            continue
        version = versions.get(domain, versions.get("ai.onnx") if domain == "" else None)
        where = f"operator set {version}" if domain == "" else f"domain {domain!r} version {version}"
        title = f"{network.name} uses the operator {node.op_type!r} (node {node.name!r})"
        if version is None or not _schema_exists(node.op_type, domain, version):
            hint = "export it with standard ONNX operators"
            if domain not in DEFINED:
                hint += f', or give it a function: chipwise.custom_layer("{domain}::{node.op_type}", function)'
            raise NetworkError(f"{title}, which {where} does not have", hint=hint)


def _parse(data: bytes, title: str) -> ModelProto:
    if not data:
        raise NetworkError(f"{title} is empty", hint="copy or export it again")
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, ValueError) as error:
        hint = "export it again"
        if Path(title).suffix not in ("", ".onnx"):
            hint = "give an .onnx, .cfg, .prototxt, .keras or .h5 file, a zoo name or a factory"
        raise NetworkError(f"{title} is not an ONNX file, or it was cut short", hint=hint) from error
    return model


def _add_shapes(model: ModelProto, title: str) -> None:
    types = onnx_shapes.infer(model, name=title)
    onnx_check.check_sizes(types, title)
    for value in model.graph.output:
        if value.name in types and not _shaped(value.type):
            value.type.CopyFrom(types[value.name])
    ends = {value.name for value in (*model.graph.input, *model.graph.output)}
    weights = {tensor.name for tensor in model.graph.initializer}
    del model.graph.value_info[:]
    for key in types:
        if key not in ends and key not in weights:
            model.graph.value_info.add(name=key, type=types[key])


def _shaped(kind: TypeProto) -> bool:
    return kind.HasField("tensor_type") and kind.tensor_type.HasField("shape") and kind.tensor_type.elem_type > 0


def _stored_task(graph: ir.Model) -> Task | None:
    text = graph.metadata_props.get(TASK_KEY)
    return records.decode(text.encode(), Task, "the task stored in the ONNX file") if text else None


def _spec(value: ir.Value, what: str) -> TensorSpec:
    if value.type is not None and not isinstance(value.type, ir.TensorType):
        raise NetworkError(f"{what} {value.name!r} is a {value.type}; only tensors are supported")
    if value.dtype is None or value.dtype == ir.DataType.UNDEFINED:
        raise NetworkError(f"{what} {value.name!r} has no element type")
    try:
        dtype = str(value.dtype.numpy().name) if value.dtype != ir.DataType.STRING else "str"
    except TypeError as error:
        raise NetworkError(
            f"{what} {value.name!r} has the element type {value.dtype}, which arrays cannot hold"
        ) from error
    dims = () if value.shape is None else tuple(_dim(dim, axis) for axis, dim in enumerate(value.shape))
    return TensorSpec(value.name or what, dims, dtype)


def _dim(dim: int | ir.SymbolicDim, axis: int) -> int | str:
    """Old exporters write a free dimension as 0 or -1."""
    if isinstance(dim, int):
        return dim if dim > 0 else ("batch" if axis == 0 else f"d{axis}")
    return str(dim.value) if dim.value else ("batch" if axis == 0 else f"d{axis}")


def _schema_exists(operator: str, domain: str, version: int) -> bool:
    try:
        return not onnx.defs.get_schema(operator, version, domain).deprecated
    except onnx.defs.SchemaError:
        return False


def _reason(error: BaseException) -> str:
    cause = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return (str(cause).splitlines() or [type(cause).__name__])[0][:300]
