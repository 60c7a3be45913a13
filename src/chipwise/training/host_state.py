"""An optimizer whose state, and whose step, are in main memory while the network is on a device.

It steps copies of the weights: gradients come to them before the step, and weights go back after it. The copies are
pinned where the device can fetch from there by itself. Both ways cross the link in every step, 4 bytes a weight each.

>>> weight = torch.nn.Parameter(torch.ones(2))
>>> optimizer = stepped_on_host(torch.optim.SGD, [{"params": [weight]}], {"lr": 0.5})
>>> weight.grad = torch.ones(2)
>>> optimizer.step()
>>> weight.tolist(), weight.grad
([0.5, 0.5], None)
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from chipwise.training.place import finished

if TYPE_CHECKING:
    from collections.abc import Sequence

    _Pairs = Sequence[tuple[nn.Parameter, nn.Parameter]]


def stepped_on_host(
    kind: type[torch.optim.Optimizer], groups: Sequence[dict[str, Any]], options: dict[str, Any]
) -> torch.optim.Optimizer:
    """An optimizer of that kind for weights on any device.

    Args:
        kind: one of torch's.
        groups: the weights, as the optimizer takes them; a step takes their gradients away.
        options: of the optimizer.
    """
    pairs = [(value, _copy_of(value)) for group in groups for value in group["params"]]
    copies = {id(value): copy for value, copy in pairs}
    optimizer = kind(
        [group | {"params": [copies[id(value)] for value in group["params"]]} for group in groups], **options
    )
    optimizer.register_step_pre_hook(partial(_fetch, pairs))
    optimizer.register_step_post_hook(partial(_send, pairs))
    optimizer.register_load_state_dict_post_hook(partial(_begin_anew, pairs))
    return optimizer


def _copy_of(value: nn.Parameter) -> nn.Parameter:
    pinned = value.device.type == "cuda"
    return nn.Parameter(torch.empty_like(value, device="cpu", pin_memory=pinned).copy_(value.detach()).detach())


def _fetch(pairs: _Pairs, _optimizer: object, _given: object, _named: object) -> None:
    """Bring gradients, and give their room on the device back; torch keeps pinned memory for the next step."""
    for value, copy in pairs:
        copy.grad = None
        if value.grad is not None:
            copy.grad = torch.empty_like(copy, pin_memory=copy.is_pinned()).copy_(value.grad, non_blocking=True)
    finished(pairs[0][0].device)
    for value, _ in pairs:
        value.grad = None


def _send(pairs: _Pairs, _optimizer: object, _given: object, _named: object) -> None:
    """Take weights back; what is asked of the device afterwards comes after them."""
    with torch.no_grad():
        for value, copy in pairs:
            value.copy_(copy, non_blocking=True)
    finished(pairs[0][0].device)  # else the next step here could change what is on its way


def _begin_anew(pairs: _Pairs, _optimizer: object) -> None:
    """Take on weights that were loaded with the state."""
    with torch.no_grad():
        for value, copy in pairs:
            copy.copy_(value)
