"""Score a module on a split: mean loss, and which class it gives to each sample.

>>> score = evaluate(torch.nn.Identity(), torch.eye(3), torch.arange(3))
>>> score.accuracy
1.0
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from chipwise.core.training_memory import USUAL_EVALUATION
from chipwise.training.feed import Feed
from chipwise.training.objective import loss_of
from chipwise.training.precision import fp32_products

if TYPE_CHECKING:
    from torch import Tensor, nn

    from chipwise.training.feed import Fed


@dataclass(frozen=True, slots=True)
class Score:
    """Mean loss, share right (0..1), and the predicted class of each sample [N], in main memory."""

    loss: float
    accuracy: float
    predicted: Tensor


def evaluate(
    module: nn.Module, inputs: Tensor, labels: Tensor, loss: str = "cross-entropy", *, batch: int = USUAL_EVALUATION
) -> Score:
    """Score `module` in evaluation mode, in fp32, whatever it was trained in: that is what is compiled later.

    Args:
        module: gives scores [N, classes]; its training mode is restored.
        inputs: float32 [N, ...].
        labels: int64 [N].
        loss: as in `Settings.loss`.
        batch: samples at a time.
    """
    return evaluate_fed(module, Feed(inputs, labels), loss, batch=batch)


def evaluate_fed(module: nn.Module, feed: Fed, loss: str = "cross-entropy", *, batch: int = USUAL_EVALUATION) -> Score:
    """Score `module` as `evaluate` does, on a split that need not be in memory."""
    before, labels = module.training, feed.labels
    module.eval()
    losses, predicted = [], []
    with torch.inference_mode():
        for inputs, wanted in zip(feed.in_order(batch), torch.split(labels, batch), strict=True):
            with fp32_products("fp32", inputs.device):
                scores = module(inputs).float()
            losses.append(loss_of(scores, wanted.to(scores.device), loss, reduction="sum"))
            predicted.append(scores.argmax(dim=1))
    module.train(before)
    classes = torch.cat(predicted).cpu()
    right, total = int((classes == labels).sum()), sum(each.item() for each in losses)
    return Score(loss=total / len(labels), accuracy=right / len(labels), predicted=classes)
