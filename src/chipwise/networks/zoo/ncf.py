"""Neural collaborative filtering: how much a user would like an item.

X. He et al.: Neural Collaborative Filtering, 2017 (NeuMF), with the sizes of MLPerf and of NVIDIA's
DeepLearningExamples (PyTorch/Recommendation/NCF, neumf.py, whose names of parameters are kept) for MovieLens-20M.

>>> sum(parameter.numel() for parameter in ncf(users=10, items=5).parameters())
109953
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

_MLP = (256, 256, 128, 64)
_FACTORS = 64


class NeuMF(nn.Module):
    """Matrix factorisation and a small network side by side, and one linear layer over both."""

    def __init__(self, users: int, items: int, dropout: float) -> None:
        super().__init__()
        self.mf_user_embed = nn.Embedding(users, _FACTORS)
        self.mf_item_embed = nn.Embedding(items, _FACTORS)
        self.mlp_user_embed = nn.Embedding(users, _MLP[0] // 2)
        self.mlp_item_embed = nn.Embedding(items, _MLP[0] // 2)
        self.mlp = nn.ModuleList(nn.Linear(given, made) for given, made in itertools.pairwise(_MLP))
        self.activation = nn.ReLU()
        self.dropout = nn.Dropout(dropout)
        self.final = nn.Linear(_FACTORS + _MLP[-1], 1)

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        """Two [N] of numbers to scores [N, 1], of which a sigmoid makes the probability."""
        factors = self.mf_user_embed(user) * self.mf_item_embed(item)
        x = torch.cat((self.mlp_user_embed(user), self.mlp_item_embed(item)), 1)
        for layer in self.mlp:
            x = self.dropout(self.activation(layer(x)))
        result: Tensor = self.final(torch.cat((factors, x), 1))
        return result


def ncf(users: int = 138493, items: int = 26744, dropout: float = 0.5) -> nn.Module:
    """NeuMF with 64 factors and layers of 256, 256, 128 and 64; takes two [N] int64, gives scores [N, 1]."""
    module = NeuMF(users, items, dropout)
    for part in module.modules():
        if isinstance(part, nn.Embedding):
            nn.init.normal_(part.weight, std=0.01)
        elif isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            nn.init.zeros_(part.bias)
    return module
