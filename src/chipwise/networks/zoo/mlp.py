"""Plain multi-layer networks on flat 28x28 pictures.

>>> sum(parameter.numel() for parameter in lenet_300_100().parameters())
266610
"""

from __future__ import annotations

from torch import nn

from chipwise.networks.zoo.blocks import scaled


def lenet_300_100(num_classes: int = 10, width: float = 1.0) -> nn.Module:
    """784-300-100-10 (LeCun et al. 1998, Han et al. 2016), with relu; takes [N, 784], gives scores [N, K]."""
    first, second = scaled(300, width, 1), scaled(100, width, 1)
    return nn.Sequential(
        nn.Linear(784, first),
        nn.ReLU(),
        nn.Linear(first, second),
        nn.ReLU(),
        nn.Linear(second, num_classes),
    )


def mlp_4096(num_classes: int = 10, width: float = 1.0) -> nn.Module:
    """784-4096-4096-10 with relu and dropout 0.5 after each hidden layer; takes [N, 784], gives scores [N, K]."""
    hidden = scaled(4096, width, 1)
    return nn.Sequential(
        nn.Linear(784, hidden),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(hidden, num_classes),
    )
