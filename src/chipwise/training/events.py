"""TensorBoard event files: `tensorboard --logdir FOLDER/events` draws the curves while training runs.

>>> import tempfile, pathlib
>>> from chipwise.core.epoch import Epoch
>>> folder = pathlib.Path(tempfile.mkdtemp())
>>> with event_log(folder, first=1) as log:
...     log(Epoch(1, train_loss=0.5, val_loss=0.4, val_accuracy=0.9, learning_rate=0.01, seconds=1.0))
>>> len(list(folder.glob("events.out.tfevents.*")))
1
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec import UNSET
from torch.utils.tensorboard import SummaryWriter

from chipwise.codec.files import storage_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from chipwise.core.epoch import Epoch

_NAME = "events.out.tfevents."
_LOOK_S = 0.1


@contextmanager
def event_log(folder: Path, first: int) -> Iterator[Callable[[Epoch], None]]:
    """Yield a function that logs an epoch; what an interrupted run logged from epoch `first` on is purged.

    Args:
        folder: where event files go, created when absent.
        first: number of the first epoch that will be logged.

    Raises:
        StorageError: when they cannot be written.
    """
    try:
        writer = _writer(folder, first)
        try:
            yield lambda epoch: _log(writer, epoch)
        finally:
            writer.close()
    except OSError as error:
        raise storage_error(folder, error) from error


def _writer(folder: Path, first: int) -> SummaryWriter:
    """A writer whose file is read last: TensorBoard goes by names, which tell seconds apart."""
    before = {path.name for path in folder.glob("*")}
    while True:
        writer = SummaryWriter(str(folder), purge_step=first)
        made = next(path for path in folder.glob("*") if path.name not in before)
        last = max(before, default="")
        if made.name > last or not last.startswith(made.name[: len(_NAME) + 10]):
            return writer
        writer.close()
        made.unlink()
        time.sleep(_LOOK_S)


def _log(writer: SummaryWriter, epoch: Epoch) -> None:
    scalars = {
        "loss/train": epoch.train_loss,
        "loss/validation": epoch.val_loss,
        "accuracy/validation": epoch.val_accuracy,
        "learning_rate": epoch.learning_rate,
        "seconds": epoch.seconds,
    }
    if epoch.wait_s is not None:
        scalars["seconds_waiting_for_data"] = epoch.wait_s
    if epoch.scaling is not UNSET:
        scalars |= {"loss_scale": epoch.scaling.scale, "steps_skipped": epoch.scaling.skipped}
    for name, value in scalars.items():
        writer.add_scalar(name, value, epoch.number)
    writer.flush()
