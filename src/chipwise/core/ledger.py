"""Where the bytes of a compressed network file went: every byte of it is in one column.

>>> ledger = Ledger(total=100, values=40, indices=30, codebooks=10, biases=5, graph=8, task=0, headers=7, dense=4000)
>>> ledger.ratio
40.0
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One tensor of the file.

    Attributes:
        name, shape: as in the network; kind: how its values are stored.
        count: how many values it has; nonzero: how many of them are stored (all, where they are stored as they are).
        size_bytes: what it takes in the file, with its own codebook.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    count: int
    nonzero: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Ledger:
    """Bytes of a file, counted where they lie in it; the columns sum to `total`, the size of the file.

    Attributes:
        values: signs and magnitudes of weights that are not zero; indices: where these are.
        codebooks: codebooks, steps and scales; biases: tensors of one axis, with all that belongs to them.
        graph: the topology; task: labels and preprocessing.
        headers: magic, hashes, and each tensor's name, shape and kind.
        dense: the same tensors as plain arrays, in bytes.
        rows: tensor by tensor.
    """

    total: int
    values: int
    indices: int
    codebooks: int
    biases: int
    graph: int
    task: int
    headers: int
    dense: int
    rows: tuple[LedgerRow, ...] = ()

    @property
    def ratio(self) -> float:
        """How many times smaller than the dense tensors the whole file is."""
        return self.dense / self.total
