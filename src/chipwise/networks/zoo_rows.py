"""Trace the zoo and write the rows that ship with the package: `python -m chipwise.networks.zoo_rows`."""

from __future__ import annotations

from pathlib import Path

from chipwise.codec import records
from chipwise.codec.files import atomic_write
from chipwise.networks.layers import RowPair, trace_pair
from chipwise.networks.load import load
from chipwise.networks.zoo import ZOO

PATH = Path(__file__).parent / "zoo" / "rows.json"


def build() -> tuple[RowPair, ...]:
    """Trace every zoo network."""
    networks = [load(name) for name in ZOO]
    return tuple(trace_pair(network, network.digest) for network in networks)


if __name__ == "__main__":
    atomic_write(PATH, records.encode(build(), pretty=True) + b"\n")
