"""What training makes small: the loss of the scores, and the penalty on large weights.

>>> float(loss_of(torch.tensor([[2.0, 0.0]]), torch.tensor([0]), "hinge"))
0.0
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor, nn


def loss_of(
    scores: Tensor, labels: Tensor, kind: str, *, label_smoothing: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """The loss of a batch.

    Args:
        scores: float [N, K].
        labels: int64 [N].
        kind: "cross-entropy" (nats, over softmax), or "hinge": the mean over classes of max(0, 1 - s_y + s_j), the
            multi-class hinge of Weston & Watkins 1999 over K.
        label_smoothing: share of the target spread over all classes; cross-entropy only.
        reduction: "mean" or "sum" over samples.
    """
    if kind == "hinge":
        return functional.multi_margin_loss(scores, labels, reduction=reduction)
    return functional.cross_entropy(scores, labels, label_smoothing=label_smoothing, reduction=reduction)


def l1_penalty(module: nn.Module, weight: float) -> Tensor:
    """`weight` times the sum of absolute values of all matrices and kernels that learn."""
    sizes = [value.abs().sum() for value in module.parameters() if value.requires_grad and value.ndim > 1]
    return weight * torch.stack(sizes).sum() if sizes else torch.zeros(())
