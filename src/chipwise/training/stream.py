"""Pictures that are read from their files while steps are computed, by worker processes that are a few batches ahead.

Workers make of a file what `feed_of` makes of it in memory, bit for bit; order, augmentation and everything else that
is random stay in the process that trains. So a run learns the same whether its pictures are in memory or not.

    with Reader(data.inputs, network, workers=2, batch=64) as reader:
        stream = Stream(data.inputs, torch.from_numpy(data.labels), reader)
        next(stream.chosen(torch.split(torch.randperm(len(stream)), 64)))
"""

from __future__ import annotations

import shutil
import sys
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch.utils.data import DataLoader

from chipwise.core.errors import ChipwiseError, DataError, InputError, MachineError, first_line
from chipwise.datasets.picture_files import PictureFiles
from chipwise.tasks.preprocess import prepare

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from types import TracebackType

    from numpy.typing import NDArray
    from torch import Tensor

    from chipwise.core.network import Network
    from chipwise.core.task import Preprocess
    from chipwise.datasets.dataset import Dataset
    from chipwise.training.settings import Settings

    Names = NDArray[np.bytes_]
    Wanted = tuple[Names, bool]  # whether 4-D inputs shall be in NHWC order in memory

AHEAD = 2  # batches that each worker has ready, or is making
_MOST_WORKERS = 16
_DIED = "DataLoader worker"  # in what torch says of one
_SHARED = Path("/dev/shm")  # noqa: S108 (where Linux has the memory that processes share)
# A fork shares what is imported already; workers that begin anew import torch for seconds. Elsewhere it is not safe.
_START = "fork" if sys.platform == "linux" else None


def reading(data: Dataset, network: Network, settings: Settings) -> AbstractContextManager[Reader | None]:
    """The processes that read a data set's pictures, for a `with` block; None where all is to be in memory.

    Args:
        data: all of it, or any split.
        network: that takes them.
        settings: which `with_loading` gave.

    Raises:
        DataError: the network takes no pictures.
    """
    if settings.loading != "workers" or not isinstance(data.inputs, PictureFiles):
        return nullcontext()
    workers = settings.workers or 1
    return Reader(data.inputs, network, workers=workers, batch=settings.batch_size)


def with_loading(settings: Settings, data: Dataset) -> Settings:
    """Settings that say how these data are read: by how many workers, where their pictures stay in their files.

    Raises:
        InputError: workers are asked for, and the data are in memory.
    """
    if settings.loading == "workers" and not data.lazy:
        raise InputError(f"{data.name} is in memory already", hint="loading=workers is for folder:DIR")
    if not data.lazy or settings.loading == "ram":
        return replace(settings, workers=None)
    workers = settings.workers or usual_workers(settings.threads or torch.get_num_threads())
    return replace(settings, loading="workers", workers=workers)


def usual_workers(cores: int) -> int:
    """Half of the cores: the others are busy with steps."""
    return max(1, min(_MOST_WORKERS, cores // 2))


@dataclass(frozen=True, slots=True)
class _Recipe:
    """What is made of files: `torch.utils.data` calls it with names in a worker.

    An error is given back as it is: one that is raised would come out of torch as pages of text.
    """

    files: PictureFiles
    preprocess: Preprocess
    dtype: str

    @property
    def sample_bytes(self) -> int:
        """Of one sample's input."""
        sides = self.preprocess.height * self.preprocess.width * self.preprocess.channels
        return sides * np.dtype(self.dtype).itemsize

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, wanted: Wanted) -> Tensor | ChipwiseError:
        names, channels_last = wanted
        try:
            inputs = torch.from_numpy(
                prepare(np.asarray(replace(self.files, names=names)), self.preprocess, self.dtype)
            )
        except ChipwiseError as error:
            return error
        if channels_last and inputs.ndim == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        return inputs


class Reader:
    """Worker processes that read pictures of one folder for one network; leaving the `with` block ends them.

    They begin with the block, before steps fill memory: what a process has when it is forked, and changes afterwards,
    is in memory twice. They stay, so that an epoch does not wait for them; the splits of a data set share them.

    Args:
        files: any of the pictures; names come with what is wanted.
        network: whose preprocessing they go through.
        workers: how many processes.
        batch: most samples that one of them makes at a time.

    Raises:
        DataError: the network takes no pictures. MachineError: there is too little memory that processes can share, or,
            at the end of the block, a worker died.
    """

    def __init__(self, files: PictureFiles, network: Network, *, workers: int, batch: int) -> None:
        preprocess = network.task.preprocess
        if preprocess is None:
            raise DataError(f"{network.name} takes no pictures", hint="give preprocessing that makes its input")
        # The files' names would only be copied into every process.
        self._recipe = _Recipe(files[:0], preprocess, network.inputs[0].dtype)
        self.workers, self.batch = workers, batch
        self._wanted: list[Wanted] = []
        self._loader: DataLoader[Any] | None = None

    def __enter__(self) -> Reader:
        self.workers = _shareable(self.workers, self.batch * self._recipe.sample_bytes)
        self._loader = self._begun()
        iter(self._loader)  # the processes begin
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        loader, self._loader = self._loader, None
        # Not left to the last reference, which may be in a traceback: a process that ends then would raise once more.
        with suppress(RuntimeError):  # of a worker that died; all that was asked for is there, or `error` says it
            loader._iterator._shutdown_workers()  # type: ignore[union-attr]  # noqa: SLF001
        if isinstance(error, RuntimeError) and _DIED in str(error):  # torch raises it wherever the run is just then
            raise _died(error) from error

    def read(self, names: Names, *, channels_last: bool = False) -> Tensor:
        """Read pictures in this process.

        Raises:
            DataError: naming one that cannot be read.
        """
        return _sound(self._recipe[names, channels_last])

    def batches(self, wanted: Sequence[Names], *, channels_last: bool = False) -> Iterator[Tensor]:
        """The inputs of each of these lists of files, in their order, read ahead.

        Raises:
            DataError: naming a picture that cannot be read. MachineError: a worker died.
        """
        assert self._loader is not None, "it is in a `with` block"
        self._wanted[:] = [(names, channels_last) for names in wanted]
        try:
            for made in self._loader:
                yield _sound(made)
        except (ConnectionError, EOFError, FileNotFoundError) as error:  # a tensor is fetched from whoever made it
            raise _died(error) from error

    def _begun(self) -> DataLoader[Any]:
        """What hands work out; a generator of its own leaves that of the run as it is."""
        return DataLoader(
            cast("Any", self._recipe),
            batch_size=None,
            sampler=cast("Any", self._wanted),
            num_workers=self.workers,
            prefetch_factor=AHEAD,
            persistent_workers=True,
            collate_fn=cast("Any", _as_it_is),
            generator=torch.Generator().manual_seed(0),
            multiprocessing_context=_START,
        )


@dataclass(frozen=True, slots=True)
class Stream:
    """One split whose pictures are in their files, beside `feed.Feed`, whose are in memory.

    Attributes:
        files: its pictures.
        labels: int64 [N].
        reader: its processes; other splits use them, too.
        channels_last: give 4-D inputs in NHWC order in memory.
    """

    files: PictureFiles
    labels: Tensor
    reader: Reader
    channels_last: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> Tensor:
        """The inputs of the first samples, read by this process."""
        return self.reader.read(self.files.names[:count], channels_last=self.channels_last)

    def chosen(self, rows: Sequence[Tensor]) -> Iterator[Tensor]:
        """The inputs at each of these lists of row numbers, read ahead."""
        wanted = [self.files.names[each.numpy()] for each in rows]
        return self.reader.batches(wanted, channels_last=self.channels_last)

    def in_order(self, count: int) -> Iterator[Tensor]:
        """All inputs, so many at a time, put together of blocks; each is there until the next is asked for."""
        starts, block = range(0, len(self), count), min(self.reader.batch, count)
        parts = [self.files.names[start : start + count] for start in starts]
        blocks = [part[at : at + block] for part in parts for at in range(0, len(part), block)]
        made = self.reader.batches(blocks, channels_last=self.channels_last)
        room: Tensor | None = None
        for part in parts:
            filled = 0
            while filled < len(part):
                piece = next(made)
                if room is None:
                    room = _room(piece, len(part))
                room[filled : filled + len(piece)] = piece
                filled += len(piece)
            assert room is not None, "no part is empty"
            yield room[: len(part)]


def _room(like: Tensor, count: int) -> Tensor:
    """A tensor for so many samples like these."""
    nhwc = like.ndim == 4 and not like.is_contiguous() and like.is_contiguous(memory_format=torch.channels_last)
    form = torch.channels_last if nhwc else torch.contiguous_format
    return torch.empty((count, *like.shape[1:]), dtype=like.dtype, memory_format=form)


def _died(error: BaseException) -> MachineError:
    return MachineError(
        f"a process that reads pictures died: {first_line(error)}", hint="fewer --workers, or --loading ram"
    )


def _sound(made: Tensor | ChipwiseError) -> Tensor:
    if isinstance(made, ChipwiseError):
        raise made
    return made


def _as_it_is(made: Tensor | ChipwiseError) -> Tensor | ChipwiseError:
    return made


def _shareable(workers: int, batch_bytes: int) -> int:
    """As many of the workers as there is memory for, of that which processes share.

    Raises:
        MachineError: there is too little even for one.
    """
    left = shutil.disk_usage(_SHARED).free if _SHARED.is_dir() else None
    if left is None:
        return workers
    most = (left // max(batch_bytes, 1) - 1) // AHEAD
    if most < 1:
        raise MachineError(
            f"{_SHARED} has {left / 1e6:,.0f} MB, and batches on their way to training take "
            f"{(AHEAD + 1) * batch_bytes / 1e6:,.0f} MB",
            hint="a smaller --batch-size; containers get more by --shm-size",
        )
    return min(workers, most)
