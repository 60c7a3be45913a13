"""A data set's splits as tensors that a network takes, checked against the module before the first step.

>>> check_fits(torch.nn.Linear(4, 3), Feed(torch.zeros(8, 4), torch.zeros(8, dtype=torch.int64)), classes=3)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from chipwise.core.errors import DataError, InputError, NetworkError, first_line
from chipwise.datasets.feed import inputs_for
from chipwise.datasets.picture_files import PictureFiles
from chipwise.training.carried import Carried
from chipwise.training.place import CPU, free_bytes
from chipwise.training.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import Tensor, nn

    from chipwise.core.network import Network
    from chipwise.datasets.dataset import Dataset
    from chipwise.training.stream import Reader


# Of what is free of a device's memory, what the samples of one split may take: three splits leave more than two fifths.
_SHARE = 0.25


class Fed(Protocol):
    """One split as a network takes it: in memory (`Feed`), read on the way (`Stream`), or sent to it (`Carried`)."""

    @property
    def labels(self) -> Tensor:
        """int64 [N], in main memory, wherever inputs are."""

    def __len__(self) -> int: ...

    def first(self, count: int) -> Tensor:
        """The inputs of so many of the first samples."""

    def chosen(self, rows: Sequence[Tensor]) -> Iterator[Tensor]:
        """The inputs at each of these lists of row numbers, one list after another."""

    def in_order(self, count: int) -> Iterator[Tensor]:
        """The inputs of all samples, so many at a time; each is there until the next is asked for."""


@dataclass(frozen=True, slots=True)
class Feed:
    """Inputs float32 [N, ...], on any device, and labels int64 [N], in main memory, of one split."""

    inputs: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> Tensor:
        """The inputs of so many of the first samples."""
        return self.inputs[:count]

    def chosen(self, rows: Sequence[Tensor]) -> Iterator[Tensor]:
        """The inputs at each of these lists of row numbers, cut out when they are asked for."""
        return (self.inputs.index_select(0, each.to(self.inputs.device, non_blocking=True)) for each in rows)

    def in_order(self, count: int) -> Iterator[Tensor]:
        """The inputs of all samples, so many at a time."""
        return iter(torch.split(self.inputs, count))


def feed_of(split: Dataset, network: Network, *, what: str, channels_last: bool = False) -> Feed:
    """Turn a split into tensors.

    Args:
        split: samples and labels.
        what: the split's name, for errors.
        network: whose preprocessing pictures go through.
        channels_last: keep 4-D inputs in NHWC order in memory.

    Raises:
        DataError: when it is empty, does not fit the network, or holds values that are not finite.
    """
    _check_some(split, what)
    inputs = _finite(split, network, what)
    if channels_last and inputs.ndim == 4:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    return Feed(inputs, torch.from_numpy(split.labels))


def fed(
    split: Dataset,
    network: Network,
    *,
    what: str,
    channels_last: bool = False,
    reader: Reader | None = None,
    device: torch.device = CPU,
    feeding: str = "auto",
) -> Fed:
    """A split as `feed_of` gives it, or its pictures read on the way, where there is a reader; for any device.

    Args:
        split: samples and labels.
        network: whose preprocessing pictures go through.
        what: the split's name, for errors.
        channels_last: as of `feed_of`.
        reader: of the pictures, which are in their files; None to read them into memory, as all else is.
        device: that takes the batches.
        feeding: as of `Settings`.

    Raises:
        DataError: as `feed_of`; of pictures in files, the first are looked at.
        InputError: samples shall lie on the device, and do not fit or are in files.
    """
    host = _in_memory_or_files(split, network, what=what, channels_last=channels_last, reader=reader)
    return host if device == CPU else sent_to(device, host, feeding)


def sent_to(device: torch.device, host: Fed, feeding: str) -> Fed:
    """A split for a device: moved there once where it fits, else a batch at a time.

    Args:
        device: no processor.
        host: the split in main memory.
        feeding: as of `Settings`.

    Raises:
        InputError: samples shall lie on the device, and do not fit or are in files.
    """
    if isinstance(host, Feed) and lies_there(device, host.inputs.nbytes, feeding):
        return Feed(host.inputs.to(device), host.labels)
    if feeding == "device" and not isinstance(host, Feed):
        raise InputError("feeding=device: the samples are in their files", hint="feeding=auto, or pinned")
    return Carried(host, device, pinned=feeding != "copied" and device.type == "cuda")


def lies_there(device: torch.device, size: int, feeding: str) -> bool:
    """Whether samples of so many bytes are moved to a device once.

    Raises:
        InputError: they shall be, and do not fit.
    """
    free = free_bytes(device)
    fits = free is None or size <= _SHARE * free
    if feeding == "device" and not fits:
        told = (
            f"take {size / 1e6:,.0f} MB, and {(free or 0) / 1e6:,.0f} MB are free, of which a split may take a quarter"
        )
        raise InputError(f"feeding=device: the samples {told}", hint="feeding=auto, or pinned")
    return fits and feeding in ("auto", "device")


def _in_memory_or_files(
    split: Dataset, network: Network, *, what: str, channels_last: bool, reader: Reader | None
) -> Fed:
    if reader is None or not isinstance(split.inputs, PictureFiles):
        return feed_of(split, network, what=what, channels_last=channels_last)
    _check_some(split, what)
    _finite(split.take(np.arange(min(2, len(split)))), network, what)
    return Stream(split.inputs, torch.from_numpy(split.labels), reader, channels_last)


def _check_some(split: Dataset, what: str) -> None:
    """Refuse an empty split.

    Raises:
        DataError: it is.
    """
    if len(split.labels) == 0:
        raise DataError(f"{split.name}: the {what} split is empty", hint="give more samples of each class")


def _finite(split: Dataset, network: Network, what: str) -> Tensor:
    """The network's inputs, once they are known to be finite.

    Raises:
        DataError: they are not, or do not fit the network.
    """
    inputs = torch.from_numpy(inputs_for(split, network))
    if not bool(torch.isfinite(inputs).all()):
        raise DataError(f"{split.name}: the {what} inputs hold values that are not finite (nan or infinity)")
    return inputs


def as_fed(module: nn.Module, *, channels_last: bool) -> nn.Module:
    """The module itself, its kernels in memory in the order in which `feed_of` gives it pictures."""
    if channels_last:
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return module


def check_task(network: Network) -> None:
    """Refuse a network that gives anything but scores of classes.

    Raises:
        NetworkError: saying what it is for.
    """
    if network.task.kind != "classification":
        raise NetworkError(
            f"{network.name} is for {network.task.kind}, which cannot be trained here",
            hint="train takes networks for classification: inputs with one label each",
        )


def layout_of(network: Network) -> tuple[str, int]:
    """How pictures lie in the network's input, and their channels; NCHW for networks fed with arrays."""
    preprocess = network.task.preprocess
    return ("NCHW", 1) if preprocess is None else (preprocess.layout, preprocess.channels)


def check_fits(module: nn.Module, feed: Fed, classes: int) -> None:
    """Run one small batch: the module must take the inputs, give a score for each class, and begin with finite weights.

    Raises:
        NetworkError: saying the shapes received, or which weights are not finite.
    """
    sample = feed.first(2)
    before = module.training
    module.eval()
    try:
        with torch.inference_mode():
            scores = module(sample)
    except (RuntimeError, TypeError, ValueError) as error:
        shape = list(sample.shape)
        raise NetworkError(f"the network does not take inputs of shape {shape}: {first_line(error)}") from error
    finally:
        module.train(before)
    given = list(scores.shape) if torch.is_tensor(scores) else type(scores).__name__
    if not torch.is_tensor(scores) or scores.ndim != 2 or len(scores) != len(sample) or scores.shape[1] < classes:
        raise NetworkError(
            f"the network gives {given}, and training needs scores [batch, {classes} classes or more]",
            hint="give it as many outputs as the data have classes",
        )
    here = ((name, value) for name, value in module.named_parameters() if value.untyped_storage().nbytes())
    check_finite(here)  # what is on disk was looked at when it went there


def check_finite(weights: Iterable[tuple[str, Tensor]]) -> None:
    """Refuse to begin with weights that are not finite.

    Raises:
        NetworkError: naming them.
    """
    broken = [name for name, value in weights if not all(map(math.isfinite, map(float, torch.aminmax(value.detach()))))]
    if broken:
        raise NetworkError(
            f"the weights to begin with are not finite: {', '.join(broken[:3])}",
            hint="the training that they come from diverged, or their file is damaged",
        )
