"""Where the pictures of a training run are: in memory, or in their files, from which worker processes read them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from chipwise.api.given import data_from
from chipwise.core.errors import InputError, MachineError
from chipwise.core.events import Progress, silent
from chipwise.core.units import parse_bytes

if TYPE_CHECKING:
    from chipwise.api.given import DataLike
    from chipwise.core.network import Network
    from chipwise.datasets.dataset import Dataset, Splits
    from chipwise.datasets.picture_files import PictureFiles
    from chipwise.training.settings import Settings

_SHARE = 0.75  # of the memory that is available: the rest is for steps
AVAILABLE = "auto"
_MOST_TUNED, _TUNED = 4096, 0.25  # pictures that a tuning reads into memory, and of what is available
_HELD = 2  # times that pixels are in memory: as they were read, and parted into splits


def data_to_train(
    given: DataLike,
    network: Network,
    settings: Settings,
    *,
    memory: str | int | None = None,
    mesh: str | None = None,
    skip_bad: bool = False,
    progress: Progress = silent,
) -> Dataset:
    """Load a data set; the pictures of a folder stay in their files where they shall, or would not fit into memory.

    Args:
        given: a data set or its name.
        network: that learns them.
        settings: of which `loading` counts.
        memory: what the process may take in all, as in `train`; None for what is available.
        mesh: as in `train`; several processes have their pictures in memory.
        skip_bad: leave out pictures that cannot be read.
        progress: told how far it is.

    Raises:
        InputError: workers shall read for several processes, or what is in memory; or as `data_from`.
        DataError, MachineError: as `data_from`.
    """
    from chipwise.training.stream import with_loading

    several = mesh not in (None, "1")
    if several and settings.loading == "workers":
        raise InputError(
            f"workers read pictures for one process, and mesh={mesh} has several", hint="loading=ram, or no mesh"
        )
    lazily = {
        "ram": None,
        "workers": lambda _files: True,
        "auto": None if several else partial(_too_many, network=network, memory=memory),
    }
    found = data_from(given, progress, skip_bad=skip_bad, lazily=lazily[settings.loading])
    if with_loading(settings, found).workers is None and settings.workers is not None:
        progress.note(f"pictures are in memory: there is nothing to read for workers={settings.workers}")
    return found


def _too_many(files: PictureFiles, *, network: Network, memory: str | int | None) -> bool:
    """Whether so many pictures do not fit into memory, as they are read and as inputs."""
    from chipwise.datasets.memory import available_bytes
    from chipwise.training.process import resident_bytes

    left = available_bytes() if memory is None else max(0, limit_from(memory) - (resident_bytes() or 0))
    return left is not None and _HELD * files.read_bytes + len(files) * sample_bytes(network) > _SHARE * left


def stand_on(dataset: Dataset, network: Network, settings: Settings) -> tuple[Splits, Dataset | None, str]:
    """What a tuning measures on.

    Returns:
        splits in memory: of all data, or of some of the pictures that stay in their files; the whole training split,
        where these do, else None; and a sentence on where samples are.
    """
    from chipwise.datasets.dataset import Splits
    from chipwise.datasets.memory import available_bytes
    from chipwise.datasets.picture_files import PictureFiles
    from chipwise.views.units import format_bytes

    splits = dataset.split(seed=settings.split_seed)
    if not isinstance(dataset.inputs, PictureFiles) or settings.loading == "ram":
        size = format_bytes(int(dataset.arrays.nbytes))
        told = f"all {len(dataset):,} samples are in memory ({size} as read): there is nothing to read, and no workers"
        return splits, None, told
    each = _HELD * dataset.inputs.read_bytes // len(dataset) + sample_bytes(network)
    left = available_bytes()
    count = _MOST_TUNED if left is None else min(_MOST_TUNED, int(_TUNED * left) // each)
    part = min(1.0, count / len(dataset))
    few = Splits(*(_some(split, part) for split in (splits.train, splits.validation, splits.test)))
    told = (
        f"pictures stay in their files: workers were timed on all of them, steps on {len(few.train):,} of "
        f"{len(splits.train):,} in memory"
    )
    return few, splits.train, told


def _some(split: Dataset, part: float) -> Dataset:
    """That part of a split, from all over it, in memory."""
    import numpy as np

    count = min(len(split), max(1, round(part * len(split)))) if len(split) else 0
    return split.take(np.arange(count, dtype=np.int64) * len(split) // max(count, 1)).in_memory()


def sample_bytes(network: Network) -> int:
    """One input, of a network that takes pictures; 0 for any other, which is refused later."""
    import numpy as np

    preprocess = network.task.preprocess
    if preprocess is None:
        return 0
    sides = preprocess.height * preprocess.width * preprocess.channels
    return sides * np.dtype(network.inputs[0].dtype).itemsize


def limit_from(memory: str | int) -> int:
    """Bytes that the process may take.

    Raises:
        InputError: not an amount of memory. MachineError: what is available is not known.
    """
    if isinstance(memory, int):
        return parse_bytes(str(memory))
    if memory != AVAILABLE:
        return parse_bytes(memory)
    from chipwise.datasets.memory import available_bytes
    from chipwise.training.process import resident_bytes

    left = available_bytes()
    if left is None:
        raise MachineError("this system does not say how much memory is available", hint="--memory 8GB")
    return left + (resident_bytes() or 0)
