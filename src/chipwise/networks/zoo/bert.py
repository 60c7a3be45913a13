"""BERT's encoder.

J. Devlin, M.-W. Chang, K. Lee, K. Toutanova: BERT: Pre-training of Deep Bidirectional Transformers for Language
Understanding, 2018. Keys of `state_dict()` are those of Hugging Face's BertModel, so that its safetensors files can be
loaded.

>>> sum(parameter.numel() for parameter in bert(layers=2, hidden=128, heads=2).parameters())
4385920
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_POSITIONS, _SEGMENTS = 512, 2
# Both as in google-research/bert, modeling.py: layer_norm's epsilon, and what is added to scores that do not count.
# (Minus infinity would make a row of padding not-a-number.)
_EPSILON, _MASKED = 1e-12, -10000.0


class BertEmbeddings(nn.Module):
    """Word, position and segment, added and normalised."""

    def __init__(self, vocabulary: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(vocabulary, hidden, padding_idx=0)
        self.position_embeddings = nn.Embedding(_POSITIONS, hidden)
        self.token_type_embeddings = nn.Embedding(_SEGMENTS, hidden)
        self.LayerNorm = nn.LayerNorm(hidden, eps=_EPSILON)
        self.dropout = nn.Dropout(dropout)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor) -> Tensor:
        """[N, T] and [N, T] to [N, T, hidden]."""
        words = self.word_embeddings(input_ids) + self.token_type_embeddings(token_type_ids)
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)
        result: Tensor = self.dropout(self.LayerNorm(words + self.position_embeddings(positions)))
        return result


class BertSelfAttention(nn.Module):
    """Every token looks at every other: softmax(QK' / sqrt(d)) V, in several heads."""

    def __init__(self, hidden: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(hidden, hidden)
        self.value = nn.Linear(hidden, hidden)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """[N, T, hidden] and what is added to scores [N, 1, 1, T]; gives [N, T, hidden]."""
        length, hidden = x.shape[1:]
        query, key, value = (
            part(x).reshape(-1, length, self.heads, hidden // self.heads).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        dropped = self.dropout if self.training else 0.0
        seen = functional.scaled_dot_product_attention(query, key, value, mask, dropped)
        return seen.transpose(1, 2).reshape(-1, length, hidden)


class BertResidual(nn.Module):
    """A linear layer, then the block's input added and the sum normalised."""

    def __init__(self, given: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(given, hidden)
        self.LayerNorm = nn.LayerNorm(hidden, eps=_EPSILON)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        """[N, T, given] and [N, T, hidden] to [N, T, hidden]."""
        result: Tensor = self.LayerNorm(self.dropout(self.dense(x)) + before)
        return result


class BertLayer(nn.Module):
    """Self-attention and two linear layers, four times as wide between them."""

    def __init__(self, hidden: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.ModuleDict(
            {"self": BertSelfAttention(hidden, heads, dropout), "output": BertResidual(hidden, hidden, dropout)}
        )
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(hidden, 4 * hidden)})
        self.output = BertResidual(4 * hidden, hidden, dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """[N, T, hidden], kept."""
        x = self.attention["output"](self.attention["self"](x, mask), x)
        result: Tensor = self.output(functional.gelu(self.intermediate["dense"](x)), x)
        return result


class Bert(nn.Module):
    """Embeddings, the layers, and a pooler over the first token."""

    def __init__(self, vocabulary: int, layers: int, hidden: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.embeddings = BertEmbeddings(vocabulary, hidden, dropout)
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(BertLayer(hidden, heads, dropout) for _ in range(layers))})
        self.pooler = nn.ModuleDict({"dense": nn.Linear(hidden, hidden)})

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Three [N, T] of integers (attention_mask: 1 where there is a token, 0 for padding); T is at most 512.

        Returns:
            The last layer [N, T, hidden], and the pooled first token [N, hidden].
        """
        x = self.embeddings(input_ids, token_type_ids)
        mask = ((1.0 - attention_mask.to(x.dtype)) * _MASKED).unsqueeze(1).unsqueeze(1)
        for layer in self.encoder["layer"].children():
            x = layer(x, mask)
        return x, torch.tanh(self.pooler["dense"](x.select(1, 0)))


def bert(
    layers: int = 12, hidden: int = 768, heads: int = 12, vocabulary: int = 30522, dropout: float = 0.1
) -> nn.Module:
    """BERT's encoder with its pooler; the default is bert-base-uncased (109,482,240 parameters).

    Takes input_ids, attention_mask and token_type_ids [N, T], int64; gives [N, T, hidden] and [N, hidden].

    Raises:
        ValueError: when `hidden` cannot be shared out among the heads.
    """
    if hidden % heads:
        raise ValueError(f"hidden={hidden} cannot be shared out among {heads} heads")
    module = Bert(vocabulary, layers, hidden, heads, dropout)
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.trunc_normal_(part.weight, std=0.02)
        if isinstance(part, nn.Linear):
            nn.init.zeros_(part.bias)
    return module
