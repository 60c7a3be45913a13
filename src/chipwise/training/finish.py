"""The end of a training run: the kept weights, their accuracy on the test split, and the record of it all.

>>> import tempfile, pathlib
>>> folder = pathlib.Path(tempfile.mkdtemp())
>>> write_history(folder, ())
>>> (folder / "history.jsonl").read_bytes()
b''
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from safetensors.torch import save as serialize

from chipwise.codec.files import atomic_write, storage_error
from chipwise.codec.records import decode, encode
from chipwise.core.errors import InputError
from chipwise.core.report import Training
from chipwise.tasks.metrics import accuracy, confusion
from chipwise.training.evaluate import evaluate_fed
from chipwise.training.feed import fed
from chipwise.training.lying import safetensor_pieces, write_pieces
from chipwise.training.place import CPU
from chipwise.training.settings import as_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    import torch
    from torch import Tensor, nn

    from chipwise.core.epoch import Epoch
    from chipwise.core.measure import Accuracy
    from chipwise.core.network import Network
    from chipwise.datasets.dataset import Dataset
    from chipwise.training.checkpoint import Checkpoint
    from chipwise.training.settings import Settings
    from chipwise.training.stream import Reader
    from chipwise.training.weights_on_disk import StoredWeights

    Pieces = Callable[[], Iterable[bytes | memoryview]]

_HISTORY, _RECORD = "history.jsonl", "training.json"
# Files of weights that a run may leave: a module's, and those of graphs, which hold the graph, too.
WEIGHTS, GRAPH, SMALL_GRAPH = "weights.safetensors", "network.onnx", "network.cwz"


@dataclass(frozen=True, slots=True)
class Kept:
    """How the kept weights are written.

    Attributes:
        file: its name in the folder of the run.
        encode: the file's bytes, from the module's state; the same state gives the same bytes.
    """

    file: str = WEIGHTS
    encode: Callable[[dict[str, Tensor]], bytes] = serialize


def finish(
    module: nn.Module,
    network: Network,
    done: Checkpoint,
    *,
    test: Dataset,
    settings: Settings,
    folder: Path,
    kept: Kept,
    reader: Reader | None = None,
    device: torch.device = CPU,
    weights: StoredWeights | None = None,
) -> Training:
    """Load the kept weights into `module`, test them, and write weights, history and record.

    What is already in the folder is returned as it is when it belongs to this checkpoint.

    Args:
        module: ends with the kept weights, in evaluation mode.
        network: what was trained.
        done: the last checkpoint, with the kept weights under "best.".
        test: the test split; may be empty.
        settings: as used.
        folder: of the run.
        kept: how the weights are written.
        reader: of the test pictures, where they are in their files.
        device: where the module is.
        weights: of the module, where they lie on disk; they are written from there, one at a time.

    Raises:
        StorageError: when something cannot be written.
    """
    best = done.part("best.")
    module.load_state_dict(best, strict=weights is None)
    module.eval()
    if weights is not None:
        weights.take(done.lying_part("best."))
    pieces = _encoded(kept, best) if weights is None else partial(safetensor_pieces, best | weights.now)
    found = _stored(folder, folder / kept.file, pieces, done)
    if found is not None:
        return found
    measured, table = _tested(module, network, test, settings, reader, device)
    record = Training(
        network=network.name,
        data=test.name,
        parameters=sum(value.numel() for value in module.parameters() if value.requires_grad),
        folder=str(folder),
        settings=as_json(settings),
        history=done.state.history,
        best_epoch=done.state.best_epoch,
        stopped=done.state.stopped,
        seconds=sum(epoch.seconds for epoch in done.state.history),
        test=measured,
        confusion=table,
        class_names=test.class_names,
        seed=settings.seed,
        skipped=test.skipped,
    )
    write_pieces(folder / kept.file, pieces())
    write_history(folder, done.state.history)
    atomic_write(folder / _RECORD, encode(record, pretty=True))
    return record


def write_history(folder: Path, history: tuple[Epoch, ...]) -> None:
    """Write one JSON line an epoch.

    Raises:
        StorageError: when it cannot be written.
    """
    atomic_write(folder / _HISTORY, b"".join(encode(row) + b"\n" for row in history))


def forget(folder: Path) -> None:
    """Remove what an earlier run left in the folder, and nothing else.

    Raises:
        StorageError: when it cannot be removed.
    """
    try:
        for name in ("checkpoint", "events"):
            if (folder / name).is_dir():
                shutil.rmtree(folder / name)
        for name in (WEIGHTS, GRAPH, SMALL_GRAPH, _HISTORY, _RECORD):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(folder, error) from error


def _encoded(kept: Kept, best: dict[str, Tensor]) -> Pieces:
    whole = kept.encode(best)
    return lambda: (whole,)


def _same(path: Path, pieces: Iterable[bytes | memoryview]) -> bool:
    """Whether a file is there and holds just that."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return all(file.read(len(piece)) == piece for piece in pieces) and not file.read(1)


def _stored(folder: Path, kept: Path, pieces: Pieces, done: Checkpoint) -> Training | None:
    """The record of a finished run, or None when it or the weights are missing, damaged or of another run."""
    record = folder / _RECORD
    if not record.is_file() or not _same(kept, pieces()):
        return None
    try:
        found = decode(record.read_bytes(), Training, str(record))
    except InputError:
        return None  # made again from the checkpoint
    return found if found.history == done.state.history else None


def _tested(  # noqa: PLR0917 (six nouns in the order of the line)
    module: nn.Module,
    network: Network,
    test: Dataset,
    settings: Settings,
    reader: Reader | None,
    device: torch.device,
) -> tuple[Accuracy | None, tuple[tuple[int, ...], ...]]:
    if len(test) == 0:
        return None, ()
    feed = fed(test, network, what="test", reader=reader, device=device, feeding=settings.feeding)
    predicted = evaluate_fed(module, feed, batch=settings.evaluation_batch).predicted.numpy()
    right = int((predicted == test.labels).sum())
    return accuracy(right, len(test)), confusion(test.labels, predicted, test.classes)
