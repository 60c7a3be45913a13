"""Layer rows of any network: from its torch source where there is one, else from its ONNX graph.

The zoo's own rows ship with the package, so that they can be shown where torch is not installed.

>>> from chipwise.networks.load import load
>>> [row.parameters for row in layer_rows(load("lenet5-keras"))]
[60, 0, 880, 0, 0, 69240, 10164, 850]
"""

from __future__ import annotations

import gzip
import importlib.resources
import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import msgspec

from chipwise.codec import records
from chipwise.codec.cache import cache_folder
from chipwise.codec.files import atomic_write
from chipwise.codec.hashes import sha256_bytes, sha256_file
from chipwise.core.errors import InputError, NetworkError
from chipwise.core.layer import Layer
from chipwise.core.network import Network, Source
from chipwise.networks.lazy import late
from chipwise.networks.rows import alike, at_batch
from chipwise.networks.source_digest import RULES, source_digest
from chipwise.networks.zoo import ZOO
from chipwise.networks.zoo.entry import PACKAGE, from_zoo

_MOST_ITEMS = 2**24  # beyond it, sizes of real layers leave the 64 bits that ONNX has for them
_SIBLING = re.compile(r"^from chipwise\.networks\.zoo\.(\w+) import", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class RowPair:
    """A source's rows for batch 1 and 2, from which those for any batch follow; `key` says of which, as `rows_key`."""

    key: str
    one: tuple[Layer, ...]
    two: tuple[Layer, ...]


def layer_rows(network: Network, batch: int = 1) -> tuple[Layer, ...]:
    """Layer rows for one batch.

    Args:
        network: with a source (then torch is needed, except for the zoo) or a graph.
        batch: items; a graph with a fixed batch has only that one.

    Raises:
        NetworkError: when the network cannot be built, or cannot take this batch, or it is not 1 to 2**24.
        MissingExtraError: when a torch factory is given and torch is not installed.
    """
    if not 1 <= batch <= _MOST_ITEMS:
        raise NetworkError(f"a batch of {batch} cannot be described", hint=f"give 1 to {_MOST_ITEMS:,} items")
    if network.source is not None:
        pair = _pair(network)
        return at_batch(pair.one, pair.two, batch)
    fixed = fixed_batch(network)
    if fixed is not None and batch not in (1, fixed):
        raise NetworkError(
            f"{network.name} has a fixed batch of {fixed}; {batch} was asked for",
            hint="export it with a free first dimension",
        )
    return late("onnx_layers").graph_rows(network, batch)  # type: ignore[no-any-return]


def fixed_batch(network: Network) -> int | None:
    """The only batch that a network takes; None when it takes any."""
    sizes = [spec.shape[0] for spec in network.inputs if spec.shape]
    return next((size for size in sizes if isinstance(size, int)), None)


def rows_key(network: Network) -> str:
    """Hash all that decides a source's rows: function, arguments, its code where that is ours, rules, and inputs."""
    assert network.source is not None
    untrained = replace(network.source, weights=None)
    return sha256_bytes(f"{source_digest(untrained)} {_code_digest(untrained)} {network.inputs!r}".encode())


def shipped_rows(network: Network) -> RowPair | None:
    """The rows that come with the package; None where there are none, or they were made from something else."""
    pair = _shipped(network.name) if network.name in ZOO else None
    return pair if pair is not None and pair.key == rows_key(network) else None


def _pair(network: Network) -> RowPair:
    """Shipped rows, else cached ones, else traced. Only the zoo's are kept: a user's code may change any time."""
    assert network.source is not None
    if not from_zoo(network.source):
        return trace_pair(network)
    shipped = shipped_rows(network)
    if shipped is not None:
        return shipped
    path = cache_folder("rows") / f"{rows_key(network)}.json"
    try:
        return records.decode(path.read_bytes(), RowPair, str(path))
    except (OSError, InputError):  # absent, or damaged and made again
        pair = trace_pair(network)
        atomic_write(path, records.encode(pair))
        return pair


def trace_pair(network: Network) -> RowPair:
    """Trace a network's source at batch 1 and 2."""
    trace = late("trace").trace
    two = trace(network, 2)
    one = trace(network, 1)
    if not alike(one, two):  # torch takes other ways for a single item: its rows are those of the others, less one
        one = at_batch(two, trace(network, 3), 0)
    if any(row.saved_bytes is None for row in one):  # batch-norm over one value cannot be trained: halve two's
        one = tuple(
            replace(row, saved_bytes=None if twin.saved_bytes is None else twin.saved_bytes // 2)
            for row, twin in zip(one, two, strict=True)
        )
    return RowPair(rows_key(network), one, two)


@cache
def _shipped(name: str) -> RowPair | None:
    path = importlib.resources.files("chipwise.networks.zoo") / "rows" / f"{name}.json.gz"
    return msgspec.json.decode(gzip.decompress(path.read_bytes()), type=RowPair) if path.is_file() else None


def _code_digest(source: Source) -> str:
    """Hash the code that makes a zoo network's rows: its family's file, what that imports, and the tracer's rules."""
    if not from_zoo(source):
        return ""
    digests = _family_files(source.factory.removeprefix(PACKAGE).partition(":")[0])
    return sha256_bytes(f"{RULES} {' '.join(digests.values())}".encode())


@cache
def _family_files(name: str) -> dict[str, str]:
    """Digest of a family's file, and of the files of the zoo that it imports, and they import."""
    path = Path(__file__).parent / "zoo" / f"{name}.py"
    found = {name: sha256_file(path)}
    for other in _SIBLING.findall(path.read_text("utf-8")):
        found |= _family_files(other)
    return found
