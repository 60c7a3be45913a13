"""LSTM, GRU and RNN of ONNX as PyTorch calls: the gates in another order, the directions side by side.

>>> import torch
>>> data, weights = torch.zeros(3, 1, 2), [torch.zeros(1, 4, 2), torch.zeros(1, 4, 4)]
>>> [tuple(result.shape) for result in RECURRENT["RNN"]([data, *weights], {"hidden_size": 4})]
[(3, 1, 1, 4), (1, 1, 4)]
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from chipwise.runtimes.torch_values import Attributes, Operator, UnsupportedError, Values, text

# ONNX has the gates as input, output, forget, cell and as update, reset, hidden; PyTorch wants these of them, in order.
_GATES = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}
_USUAL = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}


def _lstm(values: Values, attributes: Attributes) -> tuple[Tensor, ...]:
    return _recurrent("LSTM", values, attributes)


def _gru(values: Values, attributes: Attributes) -> tuple[Tensor, ...]:
    if not attributes.get("linear_before_reset", 0):
        return _gru_reset_first(values, attributes)
    return _recurrent("GRU", values, attributes)


def _rnn(values: Values, attributes: Attributes) -> tuple[Tensor, ...]:
    return _recurrent("RNN", values, attributes)


def _recurrent(kind: str, values: Values, attributes: Attributes) -> tuple[Tensor, ...]:
    relu = _check(kind, values, attributes)
    data, weights, _, _, _, hidden, cell = (*values, *(None,) * 7)[:7]
    reverse = text(attributes, "direction", "forward") == "reverse"
    data = data.flip(0) if reverse else data
    directions, size = weights.shape[0], attributes["hidden_size"]
    zeros = data.new_zeros((directions, data.shape[1], size))
    hidden = zeros if hidden is None else hidden
    flat = [part for direction in range(directions) for part in _weights(kind, values, direction)]
    rest = (flat, True, 1, 0.0, False, directions == 2, False)
    if kind == "LSTM":
        output, *states = torch.lstm(data, (hidden, zeros if cell is None else cell), *rest)
    else:
        call: Any = torch.gru if kind == "GRU" else torch.rnn_relu if relu else torch.rnn_tanh
        output, *states = call(data, hidden, *rest)
    output = output.reshape(*data.shape[:2], directions, size).permute(0, 2, 1, 3)
    return (output.flip(0) if reverse else output, *states)


def _check(kind: str, values: Values, attributes: Attributes) -> bool:
    """Refuse what PyTorch has no form of; True for an RNN with ReLU."""
    directions = 2 if text(attributes, "direction", "forward") == "bidirectional" else 1
    given = [name.decode() if isinstance(name, bytes) else name for name in attributes.get("activations", ())]
    relu = kind == "RNN" and given == ["Relu"] * directions
    if given and given != _USUAL[kind] * directions and not relu:
        raise UnsupportedError(f"{kind} with the activations {', '.join(given)}")
    if "clip" in attributes or attributes.get("input_forget", 0) or attributes.get("layout", 0):
        raise UnsupportedError(f"{kind} with clip, input_forget or layout")
    if len(values) > 4 and values[4] is not None:
        raise UnsupportedError(f"{kind} with a length for each sequence")
    if len(values) > 7 and values[7] is not None:
        raise UnsupportedError(f"{kind} with peepholes")
    return relu


def _weights(kind: str, values: Values, direction: int) -> list[Tensor]:
    weights, recurrent, bias = (*values[1:4], None)[:3]
    gates = _GATES[kind]
    if bias is None:
        bias = weights.new_zeros((weights.shape[0], 2 * weights.shape[1]))
    halves = bias[direction].chunk(2)
    return [_ordered(part, gates) for part in (weights[direction], recurrent[direction], *halves)]


def _ordered(part: Tensor, gates: tuple[int, ...]) -> Tensor:
    blocks = part.chunk(len(gates))
    return torch.cat([blocks[gate] for gate in gates])


def _gru_reset_first(values: Values, attributes: Attributes) -> tuple[Tensor, ...]:
    """The GRU of the first paper, which resets the state before it is multiplied: PyTorch has none, so step by step."""
    _check("GRU", values, attributes)
    data, weights, recurrent, bias, _, first = (*values, *(None,) * 6)[:6]
    directions, size = weights.shape[0], attributes["hidden_size"]
    outputs, states = [], []
    for direction in range(directions):
        backwards = direction == 1 or text(attributes, "direction", "forward") == "reverse"
        given = bias[direction] if bias is not None else weights.new_zeros(6 * size)
        forward = data @ weights[direction].t() + given[: 3 * size]
        state = data.new_zeros((data.shape[1], size)) if first is None else first[direction]
        gates, hidden = recurrent[direction][: 2 * size].t(), recurrent[direction][2 * size :].t()
        gate_bias, hidden_bias = given[3 * size : 5 * size], given[5 * size :]
        steps = []
        for step in forward.flip(0) if backwards else forward:
            update, reset = torch.sigmoid(step[:, : 2 * size] + state @ gates + gate_bias).chunk(2, 1)
            new = torch.tanh(step[:, 2 * size :] + (reset * state) @ hidden + hidden_bias)
            state = (1 - update) * new + update * state
            steps.append(state)
        outputs.append(torch.stack(steps[::-1] if backwards else steps))
        states.append(state)
    return torch.stack(outputs, 1), torch.stack(states)


RECURRENT: dict[str, Operator] = {"GRU": _gru, "LSTM": _lstm, "RNN": _rnn}
