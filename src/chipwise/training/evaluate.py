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
from chipwise.training.objective import loss_of

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Score:
    """Mean loss, share right (0..1), and the predicted class of each sample [N]."""

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
    before = module.training
    module.eval()
    losses, predicted = 0.0, []
    with torch.inference_mode():
        for start in range(0, len(labels), batch):
            rows = slice(start, start + batch)
            scores = module(inputs[rows]).float()
            losses += loss_of(scores, labels[rows], loss, reduction="sum").item()
            predicted.append(scores.argmax(dim=1))
    module.train(before)
    classes = torch.cat(predicted)
    right = int((classes == labels).sum())
    return Score(loss=losses / len(labels), accuracy=right / len(labels), predicted=classes)
