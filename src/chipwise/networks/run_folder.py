"""A trained network on disk: network.json and its weights in one folder. No pickle, no code.

The weights are weights.safetensors, for a torch source, or network.onnx or network.cwz with the graph that has them.
`load` is light: the header of safetensors is checked here, their fit to the module when it is built.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from chipwise.codec import records
from chipwise.codec.files import atomic_path, atomic_write
from chipwise.codec.hashes import sha256_file
from chipwise.core.errors import InputError, NetworkError
from chipwise.core.network import Network, Source, TensorSpec
from chipwise.core.task import Task
from chipwise.networks.lazy import late
from chipwise.networks.source_digest import source_digest

SCHEMA = "chipwise.network/1"
_FILE, _WEIGHTS = "network.json", "weights.safetensors"
_HEADER_LIMIT_BYTES = 100_000_000  # safetensors' own limit


@dataclass(frozen=True, slots=True)
class _Record:
    """What network.json says. Without a factory, `weights` names the file of a graph."""

    schema: str
    name: str
    factory: str
    inputs: tuple[TensorSpec, ...]
    task: Task
    weights_sha256: str
    digest: str
    arguments: dict[str, Any] = field(default_factory=dict)
    outputs: tuple[TensorSpec, ...] = ()
    weights: str = _WEIGHTS


def save(folder: Path, network: Network, weights: Path) -> Network:
    """Write a network's facts and its weights to a folder, and return the network that lies there.

    Args:
        folder: made when absent.
        network: one with a source.
        weights: a safetensors file; copied unless it already lies there under its final name.

    Raises:
        NetworkError: when the network has no source, or the weights cannot be read.
        StorageError: when the folder cannot be written.
    """
    if network.source is None:
        raise NetworkError(f"{network.name} has no torch source, so there is nothing to train again")
    target = folder / _WEIGHTS
    _check_weights(weights)
    if weights.resolve() != target.resolve():
        with atomic_path(target) as part:
            part.write_bytes(weights.read_bytes())
    source = replace(network.source, weights=target)
    trained = replace(network, source=source, graph=None, digest=source_digest(source), origin=str(folder))
    record = _Record(
        schema=SCHEMA,
        name=network.name,
        factory=source.factory,
        arguments=source.arguments,
        inputs=network.inputs,
        outputs=network.outputs,
        task=network.task,
        weights_sha256=sha256_file(target),
        digest=trained.digest,
    )
    atomic_write(folder / _FILE, records.encode(record, pretty=True))
    return trained


def save_graph(folder: Path, network: Network, file: str) -> Network:
    """Write a network's facts beside the file of its graph, and return the network that lies there.

    Args:
        folder: which holds the file.
        network: its name and task; its graph is the file's from now on.
        file: name of an .onnx or .cwz file.

    Raises:
        NetworkError: when the file cannot be read. StorageError: when the folder cannot be written.
    """
    trained = _graph(folder / file, network.name, network.task)
    record = _Record(
        schema=SCHEMA,
        name=network.name,
        factory="",
        inputs=trained.inputs,
        outputs=trained.outputs,
        task=network.task,
        weights_sha256=_hash(folder / file),
        digest=trained.digest,
        weights=file,
    )
    atomic_write(folder / _FILE, records.encode(record, pretty=True))
    return trained


def load(folder: Path) -> Network:
    """Read the network that `save` or `save_graph` wrote.

    Raises:
        NetworkError: when the folder holds none, it is damaged, or its schema is another.
    """
    path = folder / _FILE
    record = _read(path)
    weights = folder / record.weights
    if Path(record.weights).name != record.weights or weights.resolve().parent != folder.resolve():
        raise NetworkError(f"{path} names weights outside its folder: {record.weights!r}", hint="train it again")
    if record.factory:
        _check_weights(weights)
    if _hash(weights) != record.weights_sha256:
        raise NetworkError(f"{weights} is not the file that {path} was written for", hint="train it again")
    if not record.factory:
        return _graph(weights, record.name, record.task)
    source = Source(record.factory, record.arguments, weights)
    digest = source_digest(source)
    return Network(record.name, record.inputs, record.outputs, record.task, None, source, digest, str(folder))


def is_small(folder: Path) -> bool:
    """True for a folder with a trained graph that came from a compressed file, and is one again.

    Raises:
        NetworkError: when what the folder holds is damaged.
    """
    return (folder / _FILE).is_file() and _is_small(Path(_read(folder / _FILE).weights))


def _is_small(path: Path) -> bool:
    return path.suffix.lower() == ".cwz"


def _graph(path: Path, name: str, task: Task) -> Network:
    """The network in a folder's file of a graph."""
    network: Network = late("small_file" if _is_small(path) else "onnx_file").load(path)
    return replace(network, name=name, task=task, origin=str(path.parent))


def _hash(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError as error:
        raise NetworkError(f"cannot read the weights {path}: {error.strerror or error}") from error


def _read(path: Path) -> _Record:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise NetworkError(
            f"{path.parent} holds no {_FILE}", hint="give a folder that `chipwise train` wrote"
        ) from error
    except OSError as error:
        raise NetworkError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        schema = json.loads(data).get("schema")
    except (ValueError, AttributeError, RecursionError) as error:
        raise NetworkError(f"{path} is not JSON", hint="train it again") from error
    if schema != SCHEMA:
        raise NetworkError(f"{path} has the schema {schema!r}, not {SCHEMA!r}", hint="train it again with this version")
    try:
        record = records.decode(data, _Record, str(path))
    except InputError as error:
        raise NetworkError(error.message, hint=error.hint) from error
    if not record.inputs:
        raise NetworkError(f"{path} names no input", hint="train it again")
    return record


def _check_weights(path: Path) -> None:
    """Check a safetensors header: 8 bytes of length, JSON, and data of exactly the size it declares."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, _HEADER_LIMIT_BYTES):
                raise NetworkError(f"{path} is not a safetensors file, or it was cut short", hint="train it again")
            header = json.loads(file.read(length))
    except OSError as error:
        raise NetworkError(f"cannot read the weights {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise NetworkError(f"{path} is not a safetensors file", hint="train it again") from error
    end = max((_end(facts) for key, facts in header.items() if key != "__metadata__"), default=0)
    if 8 + length + end != size:
        raise NetworkError(f"{path} declares {8 + length + end:,} bytes and has {size:,}", hint="train it again")


def _end(facts: Any) -> int:
    offsets = facts.get("data_offsets") if isinstance(facts, dict) else None
    return offsets[1] if isinstance(offsets, list) and len(offsets) == 2 and isinstance(offsets[1], int) else -1
