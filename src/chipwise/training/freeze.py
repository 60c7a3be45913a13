"""Hold part of a network as it is while the rest learns: the order of its layers, what is frozen, and for how long.

A layer is what the forward pass meets with a matrix or kernel of its own, together with the norms and scales that
follow it. So a batch-norm is frozen with its convolution, and "backbone" is everything before the last layer.

>>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
>>> frozen = frozen_part(net, torch.zeros(1, 1, 3, 3), "backbone")
>>> [tuple(value.shape) for value in frozen.weights]
[(4, 1, 3, 3), (4,), (4,), (4,)]
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from chipwise.core.errors import InputError
from chipwise.training.scores import Scores

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from chipwise.training.settings import Settings

_Layer = tuple[nn.Module, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Frozen:
    """What is held: trainable values, and the norms whose running statistics stay as they are."""

    weights: tuple[nn.Parameter, ...]
    norms: tuple[nn.Module, ...]

    def hold(self) -> None:
        """Stop gradients and statistics; to be called after `module.train()`, which undoes the latter."""
        for value in self.weights:
            value.requires_grad_(False)
        for norm in self.norms:
            norm.eval()

    def release(self) -> None:
        """Let everything learn that learned before `hold`."""
        for value in self.weights:
            value.requires_grad_(True)


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of epochs with one learning rate schedule of its own.

    Attributes:
        first: number of its first epoch, from 1; epochs: how many it has.
        frozen: True while part of the network is held.
    """

    first: int
    epochs: int
    frozen: bool


def phase_at(settings: Settings, number: int) -> Phase:
    """The phase that epoch `number` (from 1) belongs to; `settings` are resolved."""
    epochs, held = settings.epochs or 1, settings.unfreeze_after or 0
    if settings.freeze is None or held == 0:
        return Phase(1, epochs, settings.freeze is not None)
    return Phase(1, held, frozen=True) if number <= held else Phase(held + 1, epochs - held, frozen=False)


def layers_in_order(module: nn.Module, sample: Tensor) -> list[_Layer]:
    """The layers of a module in the order in which the forward pass first meets them.

    Auxiliary heads that only training uses are in none of them, and neither is what the pass reads without calling it.

    Args:
        module: run once in evaluation mode, without gradients; left as it was.
        sample: a batch that it takes.
    """
    met: dict[nn.Module, None] = {}
    stateful = {part for part in module.modules() if _own_parameters(part) or any(True for _ in part.buffers(False))}
    hooks = [part.register_forward_pre_hook(lambda part, _: met.setdefault(part)) for part in stateful]
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with torch.no_grad():
            module(sample)
    finally:
        for part, mode in modes.items():
            part.training = mode
        for hook in hooks:
            hook.remove()
    layers: list[list[nn.Module]] = [[]]
    for part in met:
        if _has_matrix(part) and any(_has_matrix(known) for known in layers[-1]):
            layers.append([])
        # Attention reads the weights of its output projection without calling it.
        unmet = [child for child in part.children() if child in stateful and child not in met]
        layers[-1] += [part, *(unmet if _own_parameters(part) else [])]
    return [tuple(layer) for layer in layers if layer]


def head_state(module: nn.Module, sample: Tensor) -> dict[str, Tensor]:
    """A copy of the state of the last layer, by its names in the module; empty when there is no layer."""
    head = {part for layer in layers_in_order(module, sample)[-1:] for part in layer}
    names = {name for name, part in module.named_modules() if part in head}
    state = module.state_dict()
    return {key: value.clone() for key, value in state.items() if key.rpartition(".")[0] in names}


def frozen_part(module: nn.Module, sample: Tensor, freeze: str | int) -> Frozen:
    """Find what is to be held.

    Args:
        module: as it is trained.
        sample: a batch that it takes.
        freeze: "backbone" for all layers but the last, or how many of the first.

    Raises:
        InputError: when nothing would be left to learn, or nothing to hold.
    """
    layers, norms = _graph_layers(module) if isinstance(module, Scores) else _module_layers(module, sample)
    count = len(layers) - 1 if isinstance(freeze, str) else freeze
    if not 0 < count < len(layers):
        raise InputError(
            f"freeze={freeze} cannot be done: the network has {len(layers)} layers, and at least one must learn",
            hint="norms count with the layer before them; leave freeze out to train everything from the start",
        )
    learning = {id(value) for layer in layers[count:] for value in layer}
    weights = {id(value): value for layer in layers[:count] for value in layer if value.requires_grad}
    still = [norm for layer in norms[:count] for norm in layer]
    return Frozen(tuple(value for key, value in weights.items() if key not in learning), tuple(still))


def hold_zeros(values: Iterable[Tensor]) -> tuple[int, int]:
    """Let what is zero now in matrices and kernels stay zero: it gets no gradient, whichever optimizer moves the rest.

    Args:
        values: parameters; those with fewer than two axes (biases, norms) are left alone.

    Returns:
        how many are held, of how many.
    """
    held = whole = 0
    for value in values:
        if value.ndim > 1:
            zero = value.detach() == 0
            held, whole = held + int(zero.sum()), whole + value.numel()
            value.register_hook(partial(_without, [zero]))  # type: ignore[no-untyped-call]
    return held, whole


def _without(zero: list[Tensor], gradient: Tensor) -> Tensor:
    zero[0] = zero[0].to(gradient.device)  # once, after the network was moved
    return gradient.masked_fill(zero[0], 0.0)


def _module_layers(module: nn.Module, sample: Tensor) -> tuple[list[list[nn.Parameter]], list[list[nn.Module]]]:
    """What each layer of a module learns, and its norms that have statistics."""
    layers = layers_in_order(module, sample)
    values = [[value for part in layer for value in _own_parameters(part)] for layer in layers]
    return values, [[part for part in layer if isinstance(part, _NormBase)] for layer in layers]


def _graph_layers(module: Scores) -> tuple[list[list[nn.Parameter]], list[list[nn.Module]]]:
    """What each layer of a graph learns; its norms never change their statistics."""
    values = [[module.parameter(name) for name in layer] for layer in module.layers]
    return values, [[] for _ in values]


def _own_parameters(part: nn.Module) -> list[nn.Parameter]:
    return list(part.parameters(recurse=False))


def _has_matrix(part: nn.Module) -> bool:
    return any(value.ndim > 1 for value in _own_parameters(part))
