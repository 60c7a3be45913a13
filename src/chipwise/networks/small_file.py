"""Networks from compressed files (`.cwz`), and back: the graph with dense weights again, and what it is for.

>>> load(Path("none.cwz"))
Traceback (most recent call last):
    ...
chipwise.core.errors.NetworkError: cannot read compressed network none.cwz: No such file or directory
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from chipwise.codec import records
from chipwise.codec.small_file import Mode, SmallFile, SmallReader, open_small, write_small
from chipwise.codec.small_tensor import SmallTensor, from_values
from chipwise.core.errors import InputError, NetworkError
from chipwise.core.ledger import Ledger
from chipwise.core.network import Network, Source
from chipwise.core.task import Task
from chipwise.networks import onnx_file, small_graph
from chipwise.networks.source_digest import source_digest
from chipwise.networks.zoo import ZOO
from chipwise.networks.zoo.entry import PACKAGE, from_zoo
from chipwise.tasks.guess import guess_task


@dataclass(frozen=True, slots=True)
class Facts:
    """What travels beside graph and weights.

    Attributes:
        task: None where it is what the graph's shapes say.
        zoo: the factory of chipwise's own network that the weights fit ("lenet:lenet5_caffe"); "" for none.
        arguments: of that factory.
    """

    task: Task | None = None
    zoo: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)


def load(path: Path) -> Network:
    """Read a compressed network.

    Raises:
        NetworkError: when it is none, or is damaged, or its graph cannot be read.
    """
    return with_ledger(path)[0]


def with_ledger(path: Path) -> tuple[Network, Ledger]:
    """Read a compressed network, and where its bytes are.

    Raises:
        NetworkError: as `load`.
    """
    reader = open_small(path)
    return _network(reader, _facts(reader, path), path), reader.ledger()


def _network(reader: SmallReader, facts: Facts, path: Path) -> Network:
    """Decode the weights, and build the network that has them."""
    weights = ((tensor.name, values) for tensor, values in reader.tensors())
    data = small_graph.unpack(reader.graph, weights, str(path))
    return onnx_file.from_bytes(data, path.stem, task=facts.task, origin=str(path), title=f"the graph in {path}")


def trainable(path: Path) -> Network:
    """A compressed file as something to train: the network of chipwise's own that its weights fit, or else its graph.

    Raises:
        NetworkError: as `load`.
    """
    reader = open_small(path)
    facts = _facts(reader, path)
    network = _network(reader, facts, path)
    if not facts.zoo:
        return network
    entry = next(each for each in ZOO.values() if each.factory == facts.zoo)
    source = Source(f"{PACKAGE}{facts.zoo}", facts.arguments, path)
    return replace(
        network, inputs=entry.inputs if not network.inputs else network.inputs, graph=None, source=source,
        digest=source_digest(source),
    )  # fmt: skip


def _facts(reader: SmallReader, path: Path) -> Facts:
    if not reader.facts:
        return Facts()
    try:
        facts = records.decode(reader.facts, Facts, f"the task in {path}")
    except InputError as error:
        raise NetworkError(error.message, hint=error.hint) from error
    # Only factories of the zoo: a file must not choose which code runs.
    if facts.zoo and facts.zoo not in {entry.factory for entry in ZOO.values()}:
        raise NetworkError(f"{path} was made from {facts.zoo!r}, which is no network of this zoo")
    return facts


def to_small(network: Network, tensors: Mapping[str, SmallTensor] | None = None) -> SmallFile:
    """What a compressed file of a network holds; it decodes to the same bits.

    Args:
        network: one with a graph.
        tensors: weights in the form in which they are to be stored, by name; all others are stored in the smallest
            form that keeps every bit. Their values take the place of the graph's.

    Raises:
        NetworkError: the network has no graph. InputError: a tensor of another shape, or of no such name.
    """
    graph, weights = small_graph.pack(onnx_file.proto(network))
    given = dict(tensors or {})
    stored = []
    for name, values in weights:
        tensor = given.pop(name, None)
        if tensor is not None and tensor.shape != values.shape:
            raise InputError(f"{name} has the shape {list(values.shape)}, what is given for it {list(tensor.shape)}")
        stored.append(replace(tensor, name=name) if tensor is not None else from_values(name, values))
    if given:
        raise InputError(f"{network.name} has no weight named {next(iter(given))}")
    source = network.source if network.source is not None and from_zoo(network.source) else None
    facts = Facts(
        network.task if network.task != guess_task(network.inputs, network.outputs) else None,
        "" if source is None else source.factory.removeprefix(PACKAGE),
        {} if source is None else source.arguments,
    )
    said = _said(facts)
    return SmallFile(graph, records.encode(said) if said else b"", tuple(stored))


def save(path: Path, network: Network, tensors: Mapping[str, SmallTensor] | None = None, *, mode: Mode = "auto") -> int:
    """Write a network as a compressed file; its size in bytes.

    Raises:
        NetworkError, InputError, MissingExtraError, StorageError: as `to_small` and `write_small`.
    """
    return write_small(path, to_small(network, tensors), mode=mode)


def _said(record: Any) -> Any:
    """A record as JSON knows it, without the fields that have their defaults."""
    if not is_dataclass(record):
        return [_said(each) for each in record] if isinstance(record, (tuple, list)) else record
    found = {}
    for each in fields(record):
        value = getattr(record, each.name)
        usual = each.default_factory() if callable(each.default_factory) else each.default
        if value != usual:
            found[each.name] = _said(value)
    return found
