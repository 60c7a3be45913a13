"""What a graph is to the training loop: a module that gives scores, and the order of its layers.

Light: what builds such modules loads the libraries of graphs, which the training of a torch source does without.

>>> Scores(torch.nn.Identity()).layers
()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chipwise.runtimes.onnx_to_torch import OnnxModule


class Scores(nn.Module):
    """The first output of a module of a graph.

    Attributes:
        inner: the module.
        layers: initializers that learn, layer by layer in the order of the graph; empty where nobody asks.
    """

    def __init__(self, inner: OnnxModule, layers: Sequence[Sequence[str]] = ()) -> None:
        super().__init__()
        self.inner = inner
        self.layers = layers

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Scores [N, K] of a batch."""
        return self.inner(inputs)[0]  # type: ignore[no-any-return]

    def parameter(self, name: str) -> nn.Parameter:
        """The parameter of an initializer that learns."""
        return self.inner.get_parameter(self.inner.learned[name])
