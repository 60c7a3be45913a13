"""What must be so that a network learns the same in one process and in several: no dice, and double precision.

>>> made_repeatable(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)))[1]
('dropout is off in both: its masks are random in each process',)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from chipwise.core.errors import NetworkError, first_line
from chipwise.training.parallel.norms import NORMS

if TYPE_CHECKING:
    from collections.abc import Iterable

_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def made_repeatable(module: nn.Module) -> tuple[nn.Module, tuple[str, ...]]:
    """Turn a network to float64 and its dropout off, in place; with a note on what was changed."""
    dropped = drops(module)
    for layer in module.modules():
        if isinstance(layer, _DROPOUTS):
            layer.p = 0.0
        elif isinstance(layer, nn.MultiheadAttention):
            layer.dropout = 0.0
    note = "dropout is off in both: its masks are random in each process"
    return module.double().train(), (note,) if dropped else ()


def normalizes_batches(module: nn.Module) -> bool:
    """Whether samples of a batch are mixed by a batch-norm."""
    return any(isinstance(layer, NORMS) for layer in module.modules())


def drops(module: nn.Module) -> bool:
    """Whether a layer of torch's drops values at random in training."""
    return any(
        getattr(layer, "p", 0.0) > 0 if isinstance(layer, _DROPOUTS) else getattr(layer, "dropout", 0.0) > 0
        for layer in module.modules()
        if isinstance(layer, (*_DROPOUTS, nn.MultiheadAttention))
    )


def compared(names: Iterable[str], *, running_statistics: bool) -> list[str]:
    """Names of the state that must be the same."""
    return [name for name in names if running_statistics or name.rpartition(".")[2] not in _STATISTICS]


def classes_of(module: nn.Module, inputs: Tensor) -> int:
    """How many classes a network gives scores of; refuses one that gives something else, or other scores each time.

    Args:
        module: as `made_repeatable` leaves it.
        inputs: a few samples.

    Raises:
        NetworkError: saying which.
    """
    with torch.no_grad():
        first, second = (_scores(module, inputs) for _ in range(2))
    if not torch.is_tensor(first) or first.ndim != 2 or len(first) != len(inputs):
        given = list(first.shape) if torch.is_tensor(first) else f"a {type(first).__name__}"
        raise NetworkError(f"the network gives {given} in training, and scores [batch, classes] are wanted")
    if not torch.equal(first, second):
        raise NetworkError("the network gives other scores each time in training, so that no two runs can be equal")
    return int(first.shape[1])


def _scores(module: nn.Module, inputs: Tensor) -> Any:
    try:
        return module(inputs)
    except (RuntimeError, TypeError, ValueError) as error:
        raise NetworkError(
            f"the network does not take float64 inputs of shape {list(inputs.shape)}: {first_line(error)}"
        ) from error
