"""LSTM and GRU networks: what class a sequence has, and how it goes on.

S. Hochreiter, J. Schmidhuber: Long Short-Term Memory, 1997. K. Cho et al.: Learning Phrase Representations using RNN
Encoder-Decoder, 2014 (GRU). The classifiers' sizes are those of keyword spotting: 49 frames of 10 cepstral
coefficients, 12 classes (Y. Zhang et al.: Hello Edge: Keyword Spotting on Microcontrollers, 2017).

>>> sum(parameter.numel() for parameter in gru_classifier().parameters())
55308
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SequenceClassifier(nn.Module):
    """A recurrent network, and scores from what it remembers at the end."""

    def __init__(self, recurrent: nn.LSTM | nn.GRU, classes: int) -> None:
        super().__init__()
        self.recurrent = _initialised(recurrent)
        self.scores = nn.Linear(recurrent.hidden_size, classes)

    def forward(self, x: Tensor) -> Tensor:
        """[N, T, F] to scores [N, K]."""
        steps, _ = self.recurrent(x)
        result: Tensor = self.scores(steps.select(1, -1))
        return result


class SequenceForecaster(nn.Module):
    """A recurrent network that says all coming values at once, as differences from the last one seen.

    So a fresh network is near the forecast "it stays as it is", which is hard to beat without learning.
    """

    def __init__(self, recurrent: nn.LSTM | nn.GRU, horizon: int) -> None:
        super().__init__()
        self.features = recurrent.input_size
        self.horizon = horizon
        self.recurrent = _initialised(recurrent)
        self.changes = nn.Linear(recurrent.hidden_size, horizon * self.features)
        nn.init.normal_(self.changes.weight, std=0.01)
        nn.init.zeros_(self.changes.bias)

    def forward(self, x: Tensor) -> Tensor:
        """[N, T, F] to the next values [N, horizon, F]."""
        steps, _ = self.recurrent(x)
        changes = self.changes(steps.select(1, -1)).reshape(-1, self.horizon, self.features)
        result: Tensor = x.narrow(1, x.shape[1] - 1, 1) + changes
        return result


def lstm_classifier(num_classes: int = 12, features: int = 10, hidden: int = 128, layers: int = 1) -> nn.Module:
    """LSTM classifier; takes [N, T, F], gives scores [N, K]."""
    return SequenceClassifier(nn.LSTM(features, hidden, layers, batch_first=True), num_classes)


def gru_classifier(num_classes: int = 12, features: int = 10, hidden: int = 128, layers: int = 1) -> nn.Module:
    """GRU classifier; takes [N, T, F], gives scores [N, K]."""
    return SequenceClassifier(nn.GRU(features, hidden, layers, batch_first=True), num_classes)


def lstm_forecaster(horizon: int = 24, features: int = 1, hidden: int = 64, layers: int = 2) -> nn.Module:
    """LSTM forecaster; takes [N, T, F], gives the next values [N, horizon, F]."""
    return SequenceForecaster(nn.LSTM(features, hidden, layers, batch_first=True), horizon)


def gru_forecaster(horizon: int = 24, features: int = 1, hidden: int = 64, layers: int = 2) -> nn.Module:
    """GRU forecaster; takes [N, T, F], gives the next values [N, horizon, F]."""
    return SequenceForecaster(nn.GRU(features, hidden, layers, batch_first=True), horizon)


def _initialised(recurrent: nn.LSTM | nn.GRU) -> nn.LSTM | nn.GRU:
    """Xavier for what comes in, orthogonal for what is remembered, and an LSTM's forget gate open at first.

    The last is R. Jozefowicz et al.: An Empirical Exploration of Recurrent Network Architectures, 2015, section 4.
    """
    hidden = recurrent.hidden_size
    for name, parameter in recurrent.named_parameters():
        if name.startswith("bias"):
            nn.init.zeros_(parameter)
            if isinstance(recurrent, nn.LSTM) and name.startswith("bias_ih"):
                with torch.no_grad():
                    parameter[hidden : 2 * hidden].fill_(1.0)  # torch's order of gates: input, forget, cell, output
            continue
        fill = nn.init.orthogonal_ if name.startswith("weight_hh") else nn.init.xavier_uniform_
        for gate in parameter.chunk(parameter.shape[0] // hidden):
            fill(gate)
    return recurrent
