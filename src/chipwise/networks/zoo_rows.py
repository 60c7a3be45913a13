"""Trace the zoo and write the rows that ship with the package: `python -m chipwise.networks.zoo_rows [NAME...]`.

Traced again is what is named, and every network whose family's file, entry or tracing rules changed.
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

from chipwise.codec import records
from chipwise.codec.files import atomic_write
from chipwise.networks.layers import RowPair, shipped_rows, trace_pair
from chipwise.networks.load import load
from chipwise.networks.zoo import ZOO

FOLDER = Path(__file__).parent / "zoo" / "rows"


def build(name: str) -> RowPair:
    """Trace one zoo network."""
    return trace_pair(load(name))


def stale(name: str) -> bool:
    """Whether the shipped rows of a zoo network are absent, or were made from another entry or other code."""
    return shipped_rows(load(name)) is None


def main(names: list[str]) -> None:
    """Write what is stale, and what is named; remove what belongs to no network."""
    for name in ZOO:
        if name in names or stale(name):
            print(name, file=sys.stderr)  # noqa: T201 (a program of ours)
            atomic_write(FOLDER / f"{name}.json.gz", gzip.compress(records.encode(build(name)), mtime=0))
    for path in FOLDER.glob("*.json.gz"):
        if path.name.removesuffix(".json.gz") not in ZOO:
            path.unlink()


if __name__ == "__main__":
    main(sys.argv[1:])
