"""What a compression has done so far, so that an interrupted one goes on: a file a stage, and what it was made from.

>>> import tempfile
>>> Journal(Path(tempfile.mkdtemp()), "network, data and settings").done("2-prune", "10%") is None
True
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chipwise.codec.files import atomic_write
from chipwise.codec.hashes import sha256_bytes
from chipwise.codec.records import decode, encode
from chipwise.core.compression import Stage
from chipwise.core.errors import InputError, NetworkError
from chipwise.networks import onnx_file

if TYPE_CHECKING:
    import onnx_ir as ir

    from chipwise.core.network import Network


@dataclass(frozen=True, slots=True)
class Entry:
    """A stage that is done: what it reached, of which work, and the digest of its file."""

    stage: Stage
    identity: str
    digest: str


@dataclass(frozen=True, slots=True)
class Journal:
    """A folder of stages.

    Attributes:
        folder: where they are; identity: of the work: network, data and all settings.
    """

    folder: Path
    identity: str

    def done(self, name: str, detail: str) -> tuple[ir.Model, Stage] | None:
        """The graph that a stage left; None where it did not end, or was of other work, or its files are damaged.

        Args:
            name: of its files.
            detail: how far it was to go.
        """
        record, path = self.folder / f"{name}.json", self.folder / f"{name}.onnx"
        if not record.is_file() or not path.is_file():
            return None
        try:
            entry = decode(record.read_bytes(), Entry, str(record))
            if entry.identity != self._of(name, detail) or entry.digest != sha256_bytes(path.read_bytes()):
                return None
            network = onnx_file.load(path)
        except (InputError, NetworkError):
            return None
        assert network.graph is not None, "an ONNX file is its graph"
        return network.graph, entry.stage

    def keep(self, name: str, network: Network, stage: Stage) -> None:
        """Write down that a stage is done.

        Args:
            name: of its files.
            network: with the graph that it left.
            stage: what it reached.

        Raises:
            StorageError: the folder cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        data = onnx_file.serialize(network)
        atomic_write(self.folder / f"{name}.onnx", data)
        entry = Entry(stage, self._of(name, stage.detail), sha256_bytes(data))
        atomic_write(self.folder / f"{name}.json", encode(entry, pretty=True))

    def _of(self, name: str, detail: str) -> str:
        return sha256_bytes(f"{self.identity}|{name}|{detail}".encode())
