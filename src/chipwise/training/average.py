"""An exponential moving average of the weights over the steps (Polyak & Juditsky 1992), by torch's own `AveragedModel`.

Running statistics of norms are averaged with the same decay as the weights: they then belong to the weights that gave
them, step by step, and no further pass over the data is needed. Counters are copied.

>>> net = torch.nn.Linear(1, 1, bias=False)
>>> average = average_of(net, decay=0.5)
>>> for value in (1.0, 2.0):
...     _ = torch.nn.init.constant_(net.weight, value)
...     average.update_parameters(net)
>>> round(float(average.module.weight.detach()), 3)
1.818
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

if TYPE_CHECKING:
    from torch import Tensor, nn

    _Tensors = tuple[Tensor, ...] | list[Tensor]


def average_of(module: nn.Module, decay: float) -> AveragedModel:
    """Begin an average; its first update takes the module's values as they are.

    Args:
        module: is copied.
        decay: of what was, at each update, at most: after n updates it is (1 + n) / (10 + n) where that is less, so
            that the first steps of short trainings are forgotten (as TensorFlow's `num_updates`).
    """

    def update(averaged: _Tensors, current: _Tensors, updates: Tensor | int) -> None:
        if not torch.is_floating_point(averaged[0]):  # one type a call
            for value, now in zip(averaged, current, strict=True):
                value.copy_(now)
            return
        done = int(average.n_averaged)  # in main memory, and `updates` where the weights are: no need to wait for it
        get_ema_multi_avg_fn(min(decay, (1 + done) / (10 + done)))(averaged, current, updates)  # type: ignore[no-untyped-call]

    average = AveragedModel(module, multi_avg_fn=update, use_buffers=True)
    return average
