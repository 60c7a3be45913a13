"""What a process holds of a network while it trains, in bytes, as a strategy laid it out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chipwise.training.parallel.strategy import Strategy


class Held:
    """Looks between forward and backward, until it is closed.

    Args:
        strategy: whose parts are looked at.
    """

    def __init__(self, strategy: Strategy) -> None:
        self._strategy = strategy
        self._forward: dict[int, int] = {}
        self._hooks = [
            part.register_forward_hook(lambda *_, index=index: self._look(index))  # after FSDP's own
            for index, part in enumerate(strategy.parts)
        ]

    def close(self) -> None:
        """Look no more."""
        for hook in self._hooks:
            hook.remove()

    def now(self) -> tuple[int, int, int, int]:
        """Weights, weights between forward and backward, gradients, the optimizer's state without its counters."""
        values = [value for part in self._strategy.parts for value in part.parameters()]
        states = [
            value
            for optimizer in self._strategy.optimizers
            for row in getattr(optimizer, "optim", optimizer).state.values()
            for name, value in row.items()
            if torch.is_tensor(value) and name != "step"
        ]
        gradients = [value.grad for value in values if value.grad is not None]
        return bytes_of(values), sum(self._forward.values()), bytes_of(gradients), bytes_of(states)

    def _look(self, index: int) -> None:
        self._forward[index] = bytes_of(self._strategy.parts[index].parameters())


def bytes_of(values: Iterable[Tensor | nn.Parameter]) -> int:
    """Bytes of what lies in this process."""
    local = [value.to_local() if isinstance(value, DTensor) else value for value in values]
    return sum(value.numel() * value.element_size() for value in local)
