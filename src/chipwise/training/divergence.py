"""Where training broke: the layer whose output, weights or gradient stopped being finite first.

Found after the fact, by running the batch that failed once more: steps that go well pay nothing for it.

>>> net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
>>> _ = torch.nn.init.constant_(net[0].weight, 3e38)
>>> broken_layer(net, lambda: net(torch.full((1, 2), 10.0)))
'the output of 0 (Linear) is the first that is not finite'
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from chipwise.core.errors import GoalMissedError
from chipwise.training.scores import Scores

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from chipwise.training.settings import Settings


def diverged(value: float, where: str, settings: Settings, layer: str, what: str = "loss") -> GoalMissedError:
    """Build the error for a loss that is not a number any more.

    Args:
        value: what it became.
        where: epoch and step.
        settings: of the run.
        layer: what `broken_layer` says.
        what: it is that is not finite.
    """
    lower = f"lower the learning rate (now {settings.learning_rate:g})"
    if settings.clip_norm is None:
        lower += " or clip the gradient (--clip-norm 1)"
    return GoalMissedError(
        f"training diverged: the {what} became {value} {where}: {layer}",
        hint=lower if settings.precision == "fp32" else f"{lower}, or train in fp32",
    )


def broken_layer(module: nn.Module, forward: Callable[[], object]) -> str:
    """Name the first layer that is not finite, by its path in the module, or by its name in the graph.

    A gradient that is not finite reaches every layer before the one where it arose, and their weights with the next
    step: so the last layer, in the order of the forward pass, whose weights or gradient are not finite is the first
    where they were not.

    Args:
        module: as it was when the loss failed; what it gathers in training, as norms do, it gathers once more.
        forward: runs it on the batch that failed.
    """
    met: dict[str, nn.Module] = {}
    wrong: list[str] = []

    def look(label: str, given: object) -> None:
        if not wrong and not _finite(given):
            wrong.append(label)

    def ran(name: str, part: nn.Module, _given: object, result: object) -> None:
        met.setdefault(_label(name, part), part)
        look(_label(name, part), result)

    with ExitStack() as hooks, torch.no_grad():
        for name, part in module.named_modules():
            hooks.enter_context(part.register_forward_hook(partial(ran, name)))
        if isinstance(module, Scores):
            module.inner.watch = look
            hooks.callback(setattr, module.inner, "watch", None)
        forward()
    weights = _graph_weights(module) if isinstance(module, Scores) else _own_weights(met)
    if spoiled := [label for label, value in weights if not _finite(value)]:
        return f"the weights of {spoiled[-1]} are not finite any more: its gradient was the first that was not"
    if wrong:
        return f"the output of {wrong[0]} is the first that is not finite"
    if spoiled := [label for label, value in weights if value.grad is not None and not _finite(value.grad)]:
        return f"the gradient of {spoiled[-1]} is the first that is not finite"
    return "the outputs of all layers are finite when the batch is run again"


def _own_weights(met: dict[str, nn.Module]) -> list[tuple[str, Tensor]]:
    """Parameters with the labels of their layers, in the order of the forward pass."""
    return [(label, value) for label, part in met.items() for value in part.parameters(recurse=False)]


def _graph_weights(module: Scores) -> list[tuple[str, Tensor]]:
    """Parameters of a graph with the names of their initializers, in the order of its layers where that is known."""
    names = [name for layer in module.layers for name in layer] or list(module.inner.learned)
    return [(name, module.parameter(name)) for name in names]


def _label(name: str, part: nn.Module) -> str:
    return f"{name} ({type(part).__name__})" if name else type(part).__name__


def _finite(value: Any) -> bool:
    """Whether all numbers in a tensor, or in what holds some, are finite."""
    if isinstance(value, torch.Tensor):
        return bool(torch.isfinite(value).all())
    if isinstance(value, (tuple, list)):
        return all(map(_finite, value))
    return all(map(_finite, value.values())) if isinstance(value, dict) else True
