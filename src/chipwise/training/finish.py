"""The end of a training run: the kept weights, their accuracy on the test split, and the record of it all.

>>> import tempfile, pathlib
>>> folder = pathlib.Path(tempfile.mkdtemp())
>>> write_history(folder, ())
>>> (folder / "history.jsonl").read_bytes()
b''
"""

from __future__ import annotations

import filecmp
import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from safetensors.torch import save

from chipwise.codec.files import atomic_path, atomic_write, storage_error
from chipwise.codec.records import decode, encode
from chipwise.core.errors import InputError
from chipwise.core.report import Training
from chipwise.tasks.metrics import accuracy, confusion
from chipwise.training.evaluate import evaluate_fed
from chipwise.training.feed import fed
from chipwise.training.lying import write_safetensors
from chipwise.training.place import CPU
from chipwise.training.settings import as_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import torch
    from torch import Tensor, nn

    from chipwise.core.epoch import Epoch
    from chipwise.core.measure import Accuracy
    from chipwise.core.network import Network
    from chipwise.datasets.dataset import Dataset
    from chipwise.training.checkpoint import Checkpoint
    from chipwise.training.lying import Somewhere
    from chipwise.training.settings import Settings
    from chipwise.training.stream import Reader
    from chipwise.training.weights_on_disk import StoredWeights

_HISTORY, _RECORD = "history.jsonl", "training.json"
# Files of weights that a run may leave: a module's, and those of graphs, which hold the graph, too.
WEIGHTS, GRAPH, SMALL_GRAPH = "weights.safetensors", "network.onnx", "network.cwz"


@dataclass(frozen=True, slots=True)
class Kept:
    """How the kept weights are written.

    Attributes:
        file: its name in the folder of the run.
        write: makes the file of the module's state; the same state gives the same bytes.
        copies: of all weights that it makes on the way.
    """

    file: str = WEIGHTS
    write: Callable[[Mapping[str, Somewhere], Path], None] = write_safetensors
    copies: int = 0


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
    state: Mapping[str, Somewhere] = best
    if weights is not None:
        weights.take(done.lying_part("best."))
        state = best | weights.now
    found = _stored(folder, kept, state, done)
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
    with atomic_path(folder / kept.file) as part:
        kept.write(state, part)
    write_history(folder, done.state.history)
    atomic_write(folder / _RECORD, encode(record, pretty=True))
    return record


def serialized(state: dict[str, Tensor]) -> bytes:
    """The bytes of a file of weights."""
    return save(state)


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


def _stored(folder: Path, kept: Kept, state: Mapping[str, Somewhere], done: Checkpoint) -> Training | None:
    """The record of a finished run, or None when it or the weights are missing, damaged or of another run."""
    record = folder / _RECORD
    if not record.is_file() or not (folder / kept.file).is_file():
        return None
    try:
        found = decode(record.read_bytes(), Training, str(record))
    except InputError:
        return None  # made again from the checkpoint
    return found if found.history == done.state.history and _holds(folder / kept.file, kept, state) else None


def _holds(path: Path, kept: Kept, state: Mapping[str, Somewhere]) -> bool:
    """Whether a file is what would be written."""
    try:
        with TemporaryDirectory(dir=path.parent, prefix=".") as folder:
            again = Path(folder) / path.name
            kept.write(state, again)
            return filecmp.cmp(path, again, shallow=False)
    except OSError as error:
        raise storage_error(path, error) from error


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
