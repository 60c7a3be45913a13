"""Optimizers and learning rate schedules. The rate is a function of the step alone: nothing to store or to restore.

>>> [round(rate_share(step, 100, "one-cycle"), 2) for step in (0, 25, 99)]
[0.04, 1.0, 0.0]
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from chipwise.training.host_state import stepped_on_host

if TYPE_CHECKING:
    from collections.abc import Collection

    from torch import nn

    from chipwise.training.settings import Settings

# One-cycle: Smith & Topin 2017 (arXiv 1708.07120). A quarter of the steps rises, and starts at 1/25 of the peak.
_RISE, _START = 0.25, 0.04
_MOMENTUM = 0.9


def build_optimizer(
    module: nn.Module, settings: Settings, slower: Collection[nn.Parameter] = ()
) -> torch.optim.Optimizer:
    """The optimizer over the trainable parameters; weight decay only on those with two dimensions or more.

    Args:
        module: what is trained; a parameter without a gradient is left as it is by each step.
        settings: optimizer, momentum, rates and weight decay.
        slower: parameters that learn at `settings.backbone_rate` times the rate of the others.
    """
    kind, options = optimizer_of(settings)
    options |= {"fused": settings.optimizer_form == "fused", "foreach": settings.optimizer_form == "foreach"}
    groups = groups_of(module, settings, slower)
    return stepped_on_host(kind, groups, options) if settings.state_on_host else kind(groups, **options)


def groups_of(module: nn.Module, settings: Settings, slower: Collection[nn.Parameter] = ()) -> list[dict[str, Any]]:
    """The trainable parameters in groups, as `build_optimizer` takes them."""
    held = {id(value) for value in slower}
    trained = [value for value in module.parameters() if value.requires_grad]
    groups: list[dict[str, Any]] = [
        {
            "params": [value for value in trained if (id(value) in held) is back and (value.ndim > 1) is matrix],
            "weight_decay": settings.weight_decay if matrix else 0.0,
            "share": settings.backbone_rate if back else 1.0,
        }
        for back in (False, True)
        for matrix in (True, False)
    ]
    return [group for group in groups if group["params"]]


def optimizer_of(settings: Settings) -> tuple[type[torch.optim.Optimizer], dict[str, Any]]:
    """Which of torch's optimizers, and what it is told."""
    rate = {"lr": settings.learning_rate}
    if settings.optimizer == "sgd":
        momentum = _MOMENTUM if settings.momentum is None else settings.momentum
        nesterov = momentum > 0 if settings.nesterov is None else settings.nesterov
        return torch.optim.SGD, rate | {"momentum": momentum, "nesterov": nesterov}
    kind, second = (torch.optim.AdamW, 0.99) if settings.optimizer == "adamw" else (torch.optim.Adam, 0.999)
    return kind, rate | {"betas": (0.9, second)}


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Use `rate` from the next step on, or a group's own share of it."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("share", 1.0)


def rate_share(step: int, steps: int, schedule: str) -> float:
    """The learning rate at `step` (from 0) of `steps`, as a share of the highest."""
    if schedule == "constant":
        return 1.0
    position = step / max(steps, 1)
    rise = _RISE if schedule == "one-cycle" else 0.0
    if position < rise:
        return _START + (1 - _START) * position / rise
    return 0.5 * (1 + math.cos(math.pi * (position - rise) / (1 - rise)))
