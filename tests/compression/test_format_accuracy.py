"""Modules under number formats: every product is done in the format, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from chipwise.compression.format_accuracy import _Layer, _Rounding, evaluate, layer_names
from chipwise.compression.number_formats import number_formats
from chipwise.core.errors import InputError

FORMATS = number_formats()


def scores(module: nn.Module, inputs: torch.Tensor, name: str) -> torch.Tensor:
    layers: dict[int, _Layer] = {}
    with torch.inference_mode():
        for form in (None, FORMATS[name]):
            with _Rounding(form, layers, layer_names(module)):
                made = module(inputs)
    return made


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 6, 3),
        nn.Conv2d(4, 6, (3, 1), stride=(2, 1), padding=(1, 0), bias=False),
        nn.Conv2d(4, 8, 3, padding="same", dilation=2, groups=2),
        nn.Conv2d(4, 4, 3, groups=4, padding=1),
    ],
    ids=str,
)
def test_convolutions_are_laid_out_right(layer: nn.Conv2d) -> None:
    torch.manual_seed(0)
    inputs = torch.randn(3, 4, 9, 8)
    made = scores(layer, inputs, "fp32")
    torch.testing.assert_close(made, layer(inputs).detach(), rtol=1e-5, atol=1e-5)
    half = scores(layer, inputs, "posit-16-1")
    assert 0 < (half - layer(inputs)).abs().max() < 0.01


def test_products_of_matrices() -> None:
    class Attention(nn.Module):
        def forward(self, given: torch.Tensor) -> torch.Tensor:
            return functional.linear(given, torch.eye(5)) @ given.transpose(-1, -2)

    inputs = torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(scores(Attention(), inputs, "fp32"), inputs @ inputs.transpose(-1, -2))


def test_a_linear_layer_in_posits_by_hand() -> None:
    layer, posit = nn.Linear(3, 2), FORMATS["posit-8-0"].table
    inputs = torch.randn(5, 3)
    operands = [posit.quantize(each.detach().numpy()) for each in (inputs, layer.weight, layer.bias)]
    wanted = posit.quantize(operands[0] @ operands[1].T + operands[2])
    np.testing.assert_array_equal(scores(layer, inputs, "posit-8-0").numpy(), wanted.astype(np.float32))


def test_a_linear_layer_in_int8_by_hand() -> None:
    layer, inputs = nn.Linear(3, 2), torch.randn(5, 3)
    weight, given = layer.weight.detach().numpy().astype(np.float64), inputs.numpy().astype(np.float64)
    scale, other = np.abs(given).max() / 127, np.abs(weight).max(axis=1) / 127
    sums = np.rint(given / scale) @ np.rint(weight / other[:, None]).T
    wanted = sums * scale * other + layer.bias.detach().numpy()
    np.testing.assert_allclose(scores(layer, inputs, "int8").numpy(), wanted, rtol=1e-6)


def test_counts_by_layer() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[1000.0, 0.0], [1e-9, 1.0]]))
        module[0].bias.zero_()
    answers = evaluate(module, np.ones((4, 2), np.float32), FORMATS["posit-8-0"], layer_names(module), batch=2)
    first, second = answers.layers
    assert (first.layer, second.layer) == ("0", "2")
    assert (first.weights.count, first.weights.saturated, first.weights.tiny) == (6, 1, 1)
    assert (first.inputs.count, first.outputs.count) == (8, 8)
    assert second.inputs.saturated == 0


def test_scores_that_are_no_numbers_give_no_class() -> None:
    layer = nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[6e4, 6e4], [0.0, -6e4]]))
    inputs = np.array([[6e4, 6e4], [1.0, 0.0]], np.float32)

    class Difference(nn.Module):
        def forward(self, given: torch.Tensor) -> torch.Tensor:
            made = layer(given)
            return made - made[:, :1]

    answers = evaluate(Difference(), inputs, FORMATS["fp16"], {})
    assert answers.predicted.tolist()[0] == -1


def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(InputError, match="conv1d has no arithmetic"):
        evaluate(nn.Conv1d(1, 1, 1), np.ones((1, 1, 3), np.float32), FORMATS["fp32"], {})
    with pytest.raises(InputError, match="no convolution"):
        evaluate(nn.ReLU(), np.ones((1, 3), np.float32), FORMATS["fp32"], {})
