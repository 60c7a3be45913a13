"""Refuse a damaged or hostile ONNX protobuf before anything is allocated for it.

Every check here looks at sizes and names only: a tensor that declares 10^12 elements costs nothing to refuse.

>>> import onnx
>>> check_structure(onnx.ModelProto(), "empty.onnx")
Traceback (most recent call last):
    ...
chipwise.core.errors.NetworkError: empty.onnx holds no ONNX graph
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path, PurePosixPath

import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, TypeProto

from chipwise.core.errors import NetworkError

# protobuf cannot hold more in one message; larger networks keep their weights in external files.
MESSAGE_LIMIT_BYTES = 2**31 - 1
_DEPTH_LIMIT = 32
_ELEMENTS_LIMIT = 2**36  # 256 GiB of float32 in one value
_HINT = "the file was damaged or written wrongly: export the network again"

# Elements that one entry of a typed field holds, where it is not 1; complex numbers take two entries.
_TYPED_FIELD: dict[int, str] = {
    TensorProto.FLOAT: "float_data",
    TensorProto.COMPLEX64: "float_data",
    TensorProto.DOUBLE: "double_data",
    TensorProto.COMPLEX128: "double_data",
    TensorProto.INT64: "int64_data",
    TensorProto.UINT32: "uint64_data",
    TensorProto.UINT64: "uint64_data",
    TensorProto.STRING: "string_data",
}
# Bits an element takes; the last ones exist only in younger versions of onnx.
_BITS_BY_NAME = {
    **dict.fromkeys(("COMPLEX128",), 128),
    **dict.fromkeys(("INT64", "UINT64", "DOUBLE", "COMPLEX64"), 64),
    **dict.fromkeys(("FLOAT", "INT32", "UINT32"), 32),
    **dict.fromkeys(("FLOAT16", "BFLOAT16", "INT16", "UINT16"), 16),
    **dict.fromkeys(("INT8", "UINT8", "BOOL", "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ"), 8),
    **dict.fromkeys(("FLOAT8E8M0",), 8),
    **dict.fromkeys(("INT4", "UINT4", "FLOAT4E2M1"), 4),
    **dict.fromkeys(("INT2", "UINT2"), 2),
}
_BITS: dict[int, int] = {
    getattr(TensorProto, name): bits for name, bits in _BITS_BY_NAME.items() if hasattr(TensorProto, name)
}


def check_structure(model: ModelProto, name: str) -> None:
    """Check versions, that every value is made before it is read, and that every tensor has the data it declares.

    Args:
        model: as parsed; nothing is changed.
        name: of the file, for messages.

    Raises:
        NetworkError: naming what is wrong.
    """
    if not model.HasField("graph") or not (model.graph.node or model.graph.output):
        raise NetworkError(f"{name} holds no ONNX graph", hint=_HINT)
    _check_versions(model, name)
    _check_graph(model.graph, frozenset(), name, 0)
    if not model.graph.output:
        raise NetworkError(f"{name} has no output", hint=_HINT)
    for function in model.functions:
        _check_nodes(function.node, set(function.input), name, 0)
    for tensor in tensors(model):
        _check_tensor(tensor, name)


def tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Every tensor in a model: initializers and constants, in subgraphs and functions too."""
    yield from _graph_tensors(model.graph)
    for function in model.functions:
        yield from _node_tensors(function.node)


def _graph_tensors(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield sparse.values
        yield sparse.indices
    yield from _node_tensors(graph.node)


def _node_tensors(nodes: Sequence[NodeProto]) -> Iterator[TensorProto]:
    for attribute in chain.from_iterable(node.attribute for node in nodes):
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield sparse.values
            yield sparse.indices
    for graph in inner_graphs(nodes):
        yield from _graph_tensors(graph)


def inner_graphs(nodes: Iterable[NodeProto]) -> list[GraphProto]:
    """The branches and bodies that nodes hold themselves; not those within these."""
    attributes = list(chain.from_iterable(node.attribute for node in nodes))
    return [graph for each in attributes for graph in (*((each.g,) if each.HasField("g") else ()), *each.graphs)]


def all_nodes(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    """Nodes, each followed by those in its branches and bodies, at any depth."""
    for node in nodes:
        yield node
        for graph in inner_graphs((node,)):
            yield from all_nodes(graph.node)


def _check_versions(model: ModelProto, name: str) -> None:
    newest = onnx.defs.onnx_opset_version()
    if not 0 < model.ir_version <= onnx.IR_VERSION:
        raise NetworkError(
            f"{name} has IR version {model.ir_version}; onnx {onnx.__version__} here reads 1 to {onnx.IR_VERSION}",
            hint="upgrade onnx, or export with an older version",
        )
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx") and not 0 < entry.version <= newest:
            raise NetworkError(
                f"{name} uses operator set {entry.version}; onnx {onnx.__version__} here knows 1 to {newest}",
                hint="upgrade onnx, or export with an older operator set",
            )


def _check_graph(graph: GraphProto, outer: frozenset[str], name: str, depth: int) -> None:
    if depth > _DEPTH_LIMIT:
        raise NetworkError(f"{name} nests graphs more than {_DEPTH_LIMIT} deep", hint=_HINT)
    known = set(outer) | {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    known |= {sparse.values.name for sparse in graph.sparse_initializer}
    _check_nodes(graph.node, known, name, depth)
    for value in graph.output:
        if value.name not in known:
            raise NetworkError(f"{name}: nothing computes the output {value.name!r}", hint=_HINT)


def _check_nodes(nodes: Iterator[NodeProto], known: set[str], name: str, depth: int) -> None:
    made: set[str] = set()
    for node in nodes:
        title = f"{node.op_type or 'a node without operator'} {node.name!r}"
        if not node.op_type or not any(node.output):
            raise NetworkError(f"{name}: {title} computes nothing", hint=_HINT)
        for value in node.input:
            if value and value not in known:
                raise NetworkError(f"{name}: {title} reads {value!r}, which nothing computed before it", hint=_HINT)
        for graph in inner_graphs((node,)):
            _check_graph(graph, frozenset(known), name, depth + 1)
        for value in node.output:
            if value in made:
                raise NetworkError(f"{name}: {value!r} is computed twice", hint=_HINT)
            made.update(() if not value else (value,))
        known.update(node.output)


def check_sizes(types: Mapping[str, TypeProto], name: str) -> None:
    """Refuse a network with a value that no memory holds.

    Args:
        types: of its inputs, outputs and whatever was inferred.
        name: of the file, for messages.

    Raises:
        NetworkError: naming the value and its size.
    """
    for value, kind in types.items():
        sizes = [int(dim.dim_value) for dim in kind.tensor_type.shape.dim if dim.HasField("dim_value")]
        if math.prod(max(size, 1) for size in sizes) > _ELEMENTS_LIMIT:
            raise NetworkError(f"{name}: {value!r} declares {math.prod(sizes):,} elements {sizes}", hint=_HINT)


def _check_tensor(tensor: TensorProto, name: str) -> None:
    title = f"{name}: tensor {tensor.name!r}"
    if any(size < 0 for size in tensor.dims):
        raise NetworkError(f"{title} has the shape {list(tensor.dims)}", hint=_HINT)
    if tensor.data_location == TensorProto.EXTERNAL:
        return  # its file is measured when it is read
    count = element_count(tensor)
    if tensor.data_type == TensorProto.UNDEFINED:
        if count == 1 and not tensor.dims and not tensor.raw_data:
            return  # the empty default of an attribute that is not there
        raise NetworkError(f"{title} has no element type", hint=_HINT)
    held, declared = _held(tensor), _units(tensor, count, name)
    if held != declared:
        unit = "bytes" if tensor.HasField("raw_data") else "values"
        raise NetworkError(
            f"{title} declares {count:,} elements {list(tensor.dims)} ({declared:,} {unit}) but holds {held:,} {unit}",
            hint=_HINT,
        )


def needed_bytes(tensor: TensorProto, name: str) -> int:
    """Bytes of raw data that a tensor's type and shape ask for.

    Raises:
        NetworkError: when its type has no fixed size.
    """
    bits = _BITS.get(tensor.data_type)
    if bits is None:
        raise NetworkError(f"{name}: tensor {tensor.name!r} has element type {tensor.data_type}, which has no raw form")
    return (element_count(tensor) * bits + 7) // 8


def element_count(tensor: TensorProto) -> int:
    """Elements that a tensor's shape declares."""
    return math.prod(int(size) for size in tensor.dims)


def bits_of(data_type: int) -> int:
    """Bits that one element takes; 0 for types without a fixed size (text, unknown)."""
    return _BITS.get(data_type, 0)


def _units(tensor: TensorProto, count: int, name: str) -> int:
    """Bytes of raw data, or entries of the typed field, that `count` elements take."""
    if tensor.HasField("raw_data"):
        return needed_bytes(tensor, name)
    if tensor.data_type in (TensorProto.COMPLEX64, TensorProto.COMPLEX128):
        return 2 * count
    bits = _BITS.get(tensor.data_type) or 8
    return (count * bits + 7) // 8 if bits < 8 else count


def _held(tensor: TensorProto) -> int:
    if tensor.HasField("raw_data"):
        return len(tensor.raw_data)
    return len(getattr(tensor, _TYPED_FIELD.get(tensor.data_type, "int32_data")))


def inline_external(model: ModelProto, folder: Path | None, name: str) -> None:
    """Read external tensors into the model; files must lie in `folder` and hold what is declared.

    Raises:
        NetworkError: when a file is missing, short, outside the folder, or the whole is over protobuf's limit.
    """
    total = 0
    for tensor in tensors(model):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        size = needed_bytes(tensor, name)
        total += size
        if total > MESSAGE_LIMIT_BYTES:
            raise NetworkError(
                f"{name} holds more than 2 GiB of weights, which is more than one ONNX message can carry",
                hint="networks this large are not supported yet",
            )
        data = _read_external(tensor, size, folder, name)
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")
        tensor.raw_data = data


def _read_external(tensor: TensorProto, size: int, folder: Path | None, name: str) -> bytes:
    facts = {entry.key: entry.value for entry in tensor.external_data}
    location, title = facts.get("location", ""), f"{name}: tensor {tensor.name!r}"
    if folder is None:
        raise NetworkError(f"{title} lies in the external file {location!r}", hint="load the network from its file")
    pure, path = PurePosixPath(location), folder / location
    if not location or "\0" in location or pure.is_absolute() or ".." in pure.parts:
        raise NetworkError(f"{title} points outside the network's folder: {location!r}", hint="move the data beside it")
    if not path.is_file():
        raise NetworkError(f"{title} needs the file {location!r}, which is not there", hint=f"put it into {folder}")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise NetworkError(f"{title} points outside the network's folder: {location!r}", hint="move the data beside it")
    offset, length = (
        _whole(facts.get(key, default), title) for key, default in (("offset", "0"), ("length", str(size)))
    )
    available = path.stat().st_size - offset
    if length != size or available < size:
        raise NetworkError(
            f"{title} declares {size:,} bytes; {location!r} has {max(min(available, length), 0):,} for it",
            hint=_HINT,
        )
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data: bytes = file.read(size)
    except OSError as error:
        raise NetworkError(f"{title}: cannot read {location!r}: {error.strerror or error}") from error
    return data


def _whole(text: str, title: str) -> int:
    if not text.isdecimal() or len(text) > 18:
        raise NetworkError(f"{title} has the offset or length {text[:40]!r}", hint=_HINT)
    return int(text)
