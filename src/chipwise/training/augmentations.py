"""The words of `Settings.augment`: which changes to pictures there are, and in which order they are made.

>>> augmentations("mixup, flip,crop")
(Augmentation(kind='crop', amount=None), Augmentation(kind='flip', amount=None), Augmentation(kind='mixup', amount=0.2))
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

from chipwise.core.errors import InputError, unknown_name

# In the order in which they are made, whatever the order they are named in: first where things are, then what is seen
# of them. Mixup is last: it mixes pictures as they would have been learned from.
KINDS = ("affine", "shift", "crop", "flip", "cutout", "mixup")
# These stand alone: "auto" is affine where there are few pictures, else none.
ALONE = ("auto", "none")
AUGMENTATIONS = (*ALONE, *KINDS)

# The usual number of those that have one, and the largest. Cutout: side of the square over the picture's; half is what
# DeVries & Taylor 2017 use for CIFAR-10. Mixup: alpha; Zhang et al. 2018 use 0.1 to 0.4 for ImageNet, 1 for CIFAR-10.
_AMOUNTS = {"cutout": (0.5, 1.0), "mixup": (0.2, 100.0)}


class Augmentation(NamedTuple):
    """One change, and how large it is; None for those that have no number."""

    kind: str
    amount: float | None = None


@cache
def augmentations(text: str) -> tuple[Augmentation, ...]:
    """Read a list of changes, as "flip,crop,mixup=0.4".

    Args:
        text: kinds between commas, each at most once; cutout and mixup take a number.

    Returns:
        them in the order in which they are made; empty for "none".

    Raises:
        UnknownNameError: a kind that there is not. InputError: one is named twice, has a number that it cannot have,
            or stands beside "auto" or "none".
    """
    found = [_read(part.strip()) for part in text.split(",")]
    kinds = [each.kind for each in found]
    twice = next((kind for kind in kinds if kinds.count(kind) > 1), None)
    if twice is not None:
        raise InputError(f"augment={text!r} names {twice} twice", hint="once is enough")
    alone = next((kind for kind in kinds if kind in ALONE), None)
    if alone is not None and len(kinds) > 1:
        raise InputError(
            f"augment={text!r}: {alone} stands alone", hint=f"leave it out, or name any of {', '.join(KINDS)}"
        )
    return tuple(
        sorted((each for each in found if each.kind != "none"), key=lambda each: AUGMENTATIONS.index(each.kind))
    )


def in_order(text: str) -> str:
    """The same changes in the order in which they are made, each number said: one text for one thing.

    Raises:
        InputError: as `augmentations`.
    """
    said = (each.kind if each.amount is None else f"{each.kind}={each.amount:g}" for each in augmentations(text))
    return ",".join(said) or "none"


def mixup_alpha(text: str) -> float | None:
    """Alpha of mixup; None where the list has none."""
    return next((each.amount for each in augmentations(text) if each.kind == "mixup"), None)


def _read(part: str) -> Augmentation:
    kind, equals, number = part.partition("=")
    if kind not in AUGMENTATIONS:
        raise unknown_name("augment", kind, AUGMENTATIONS)
    if kind not in _AMOUNTS:
        if equals:
            raise InputError(f"augment={part!r}: {kind} takes no number", hint=f"those that do: {', '.join(_AMOUNTS)}")
        return Augmentation(kind)
    usual, most = _AMOUNTS[kind]
    if not equals:
        return Augmentation(kind, usual)
    try:
        amount = float(number)
    except ValueError:
        amount = math.nan
    if not 0 < amount <= most:
        raise InputError(f"augment={part!r}: the number must be above 0 and at most {most:g}", hint=f"{kind}={usual:g}")
    return Augmentation(kind, amount)
