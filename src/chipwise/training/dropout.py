"""Dropout rates of a network that is built already.

>>> set_dropout(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)), 0.1)
1
"""

from __future__ import annotations

from torch import nn

from chipwise.core.errors import InputError

_KINDS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


def set_dropout(module: nn.Module, rate: float) -> int:
    """Set the rate of every dropout layer; returns how many there are.

    Args:
        module: changed in place; dropout that it computes without a layer of its own stays as it is.
        rate: share of values that are dropped in training, 0..1.

    Raises:
        InputError: there is none, as in any graph, where dropout does nothing.
    """
    layers = _layers(module)
    if not layers:
        raise InputError(
            f"dropout={rate:g}, but the network has no dropout layer",
            hint="leave it out, or build the network with nn.Dropout; weight decay and augmentation help too",
        )
    for layer in layers:
        layer.p = rate
    return len(layers)


def has_dropout(module: nn.Module) -> bool:
    """Whether there is a dropout layer whose rate can be set."""
    return bool(_layers(module))


def _layers(module: nn.Module) -> list[nn.modules.dropout._DropoutNd]:
    return [part for part in module.modules() if isinstance(part, _KINDS)]
