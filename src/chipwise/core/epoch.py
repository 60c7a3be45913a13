"""One pass over the training split, as histories keep it.

>>> Epoch(1, train_loss=0.5, val_loss=0.4, val_accuracy=0.9, learning_rate=0.01, seconds=1.0).frozen
False
"""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import UNSET, UnsetType


@dataclass(frozen=True, slots=True)
class Scaling:
    """How the loss of fp16 training was scaled in an epoch.

    Attributes:
        scale: what it is multiplied by, at the end of the epoch.
        skipped: steps that were not taken, as a gradient overflowed.
        steady: steps without that since the scale last changed; it is doubled after 2,000.
    """

    scale: float
    skipped: int
    steady: int


@dataclass(frozen=True, slots=True)
class Epoch:
    """One row of a training history.

    Attributes:
        number: from 1; train_loss, val_loss: mean loss, for cross-entropy in nats.
        val_accuracy: share right on the validation split, 0..1.
        learning_rate: at its end; seconds: of training, without validation; frozen: part was held as it was.
        wait_s: of these, until the batches were there, cut out and varied; steps: how many there were. None in
            histories from before these were counted.
        scaling: of the loss, with fp16; other rows do not have it.
    """

    number: int
    train_loss: float
    val_loss: float
    val_accuracy: float
    learning_rate: float
    seconds: float
    frozen: bool = False
    wait_s: float | None = None
    steps: int | None = None
    scaling: Scaling | UnsetType = UNSET
