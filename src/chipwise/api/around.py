"""What lies around the steps of a training run: of this process, or of another device; and what it may take there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from chipwise.api.reading import AVAILABLE, limit_from, sample_bytes

if TYPE_CHECKING:
    from chipwise.api.transfer import Beginning
    from chipwise.cost.training_memory import Around
    from chipwise.datasets.dataset import Dataset
    from chipwise.training.place import Place
    from chipwise.training.settings import Settings

_ARRIVED = 2  # batches from workers that the process has: one that is learned, and the next


def around_of(start: Beginning, dataset: Dataset, settings: Settings) -> Around:
    """What lies around the steps, as this process is now: with the module, and the data as they were read."""
    from chipwise.cost.training_memory import Around
    from chipwise.training.process import settled_bytes

    splits = dataset.split(seed=settings.split_seed)
    batch = min(settings.batch_size, len(splits.train))
    lazy = dataset.lazy and settings.loading != "ram"
    size = sample_bytes(start.network) if lazy else _input_bytes(start)
    fed = size * (_ARRIVED * batch if lazy else len(splits.train) + len(splits.validation))
    weights = sum(value.nbytes for value in start.module.state_dict().values())
    read = int(dataset.inputs.nbytes)  # of pictures in files, their names
    resident = settled_bytes() or 0
    return Around(
        optimizer=settings.optimizer,
        process_bytes=max(0, resident - weights - read),
        data_bytes=2 * read + fed,  # as read, parted into splits, and as inputs
        evaluated=max(len(splits.validation), len(splits.test)),
        batch=batch,
        read_bytes=size if lazy else 0,
        channels_last=settings.channels_last,
        averaged=settings.ema is not None,
        written_copies=start.kept.copies,
    )


def around_on(device: Place, start: Beginning, dataset: Dataset, settings: Settings) -> Around:
    """What lies around the steps on another device than the processor."""
    from chipwise.cost.torch_memory import cublas_bytes
    from chipwise.cost.training_memory import Around
    from chipwise.training.feed import lies_there
    from chipwise.training.place import card_name
    from chipwise.training.watch import is_late

    splits = dataset.split(seed=settings.split_seed)
    sizes = [_input_bytes(start) * len(split) for split in (splits.train, splits.validation)]
    files = dataset.lazy and settings.loading != "ram"
    lying = [size for size in sizes if not files and lies_there(device, size, settings.feeding)]
    ahead = len(lying) < len(sizes) and settings.feeding != "copied"
    name = card_name(device)
    return Around(
        optimizer=settings.optimizer,
        process_bytes=cublas_bytes(name) if name else 0,
        data_bytes=sum(lying),
        evaluated=max(len(splits.validation), len(splits.test)),
        batch=min(settings.batch_size, len(splits.train)),
        channels_last=settings.channels_last,
        averaged=settings.ema is not None,
        on_device=True,
        batches=1 + ahead + is_late(settings, device),
    )


def sent(settings: Settings) -> Settings:
    """The same with samples in main memory, where it was left open: what is limited is the device's."""
    return replace(settings, feeding="pinned") if settings.feeding == "auto" else settings


def place_for(mesh: str | None, settings: Settings) -> Place:
    """Where it would be trained; several processes are on processors."""
    from chipwise.training.place import CPU, place_of

    return CPU if mesh not in (None, "1") else place_of(settings.device)


def limit_on(memory: str | int, device: Place) -> int:
    """Bytes that the process, or the device, may give."""
    from chipwise.training.place import CPU, free_bytes

    free = free_bytes(device) if device != CPU and memory == AVAILABLE else None
    return limit_from(memory) if free is None else free


def _input_bytes(start: Beginning) -> int:
    """One input, of arrays or pictures."""
    size = 4
    for side in start.network.inputs[0].shape[1:]:
        size *= side if isinstance(side, int) else 1
    return size
