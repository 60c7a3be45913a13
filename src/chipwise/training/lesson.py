"""From a module, a network and a training split to what every epoch uses, checked before the first step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chipwise.core.errors import InputError
from chipwise.training.augmentations import mixup_alpha
from chipwise.training.average import average_of
from chipwise.training.compiled import compiled
from chipwise.training.feed import as_fed, check_fits, fed, layout_of
from chipwise.training.freeze import frozen_part
from chipwise.training.loop import Lesson
from chipwise.training.optimizer import build_optimizer
from chipwise.training.place import CPU
from chipwise.training.precision import check_computes, scaler_of
from chipwise.training.teacher import check_teacher
from chipwise.training.watch import watch_of

if TYPE_CHECKING:
    import torch
    from torch import nn

    from chipwise.core.network import Network
    from chipwise.datasets.dataset import Dataset
    from chipwise.training.feed import Fed
    from chipwise.training.settings import Settings
    from chipwise.training.stream import Reader
    from chipwise.training.teacher import Teacher


def lesson_of(  # noqa: PLR0917 (seven nouns in the order of the line)
    module: nn.Module,
    network: Network,
    train: Dataset,
    settings: Settings,
    teacher: Teacher | None = None,
    reader: Reader | None = None,
    device: torch.device = CPU,
) -> Lesson:
    """Put together what is learned, by whom and how.

    Args:
        module: learns.
        network: its preprocessing.
        train: the training split.
        settings: resolved.
        teacher: whose answers are learned, too.
        reader: of pictures that stay in their files; None where all is in memory.
        device: where the module is; the teacher and the samples go there, too.

    Raises:
        DataError, NetworkError, InputError: the parts do not fit together. MachineError: there is no compiler for what
            shall be compiled, or no kernel for fp16.
    """
    nhwc = settings.channels_last
    feed = learned_from(module, network, train, settings, reader, device)
    as_fed(module, channels_last=nhwc)
    if teacher is not None:
        as_fed(teacher.module.to(device), channels_last=nhwc)
        check_teacher(teacher, module, feed.first(2))
    check_computes(module, feed.first(2), settings.precision)
    layout, channels = layout_of(network)
    frozen = None if settings.freeze is None else frozen_part(module, feed.first(2), settings.freeze)
    optimizer = build_optimizer(module, settings, () if frozen is None else frozen.weights)
    average = None if settings.ema is None else average_of(module, settings.ema)
    quick = compiled(module, device) if settings.compiled else None
    return Lesson(
        module, optimizer, feed, settings, layout, channels, frozen,
        teacher=teacher, average=average, compiled=quick, scaler=scaler_of(settings.precision, device),
        watch=watch_of(optimizer, settings, device),
    )  # fmt: skip


def learned_from(  # noqa: PLR0917 (six nouns in the order of the line)
    module: nn.Module,
    network: Network,
    train: Dataset,
    settings: Settings,
    reader: Reader | None = None,
    device: torch.device = CPU,
) -> Fed:
    """The training split as the module takes it.

    Raises:
        DataError, NetworkError: they do not fit together. InputError: what cannot be mixed is to be.
    """
    nhwc = settings.channels_last
    feed = fed(
        train, network, what="training", channels_last=nhwc, reader=reader, device=device, feeding=settings.feeding
    )
    _check_mixable(network, feed, settings, pictures=train.pictures)
    check_fits(module, feed, train.classes)
    return feed


def _check_mixable(network: Network, feed: Fed, settings: Settings, *, pictures: bool) -> None:
    """Refuse to mix whole numbers that are no pixels: they may be words.

    Raises:
        InputError: that is what was asked for.
    """
    whole = not feed.first(1).is_floating_point() and not pictures
    if whole and mixup_alpha(str(settings.augment)) is not None:
        raise InputError(
            f"augment=mixup mixes inputs, and {network.name} takes {network.inputs[0].dtype} arrays",
            hint="leave mixup out",
        )
