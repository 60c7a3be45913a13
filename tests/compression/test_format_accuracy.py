"""Modules under number formats: every product is done in the format, and nothing else changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from chipwise.compression.format_accuracy import Answers, _Rounding, calibrated, evaluate, layer_names
from chipwise.compression.number_formats import number_formats
from chipwise.core.errors import InputError

FORMATS = number_formats()


def scores(module: nn.Module, inputs: torch.Tensor, name: str) -> torch.Tensor:
    names = layer_names(module)
    largest = calibrated(module, inputs.numpy(), names)
    with torch.inference_mode(), _Rounding(FORMATS[name], {}, names, largest):
        return module(inputs)


def answers_of(module: nn.Module, inputs: Any, name: str, batch: int = 50) -> Answers:
    names = layer_names(module)
    return evaluate(
        module, inputs, FORMATS[name], names, largest=calibrated(module, inputs, names, batch=batch), batch=batch
    )


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
    answers = answers_of(module, np.ones((4, 2), np.float32), "posit-8-0", batch=2)
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

    answers = answers_of(Difference(), inputs, "fp16")
    assert answers.predicted.tolist()[0] == -1


@pytest.mark.parametrize("name", ["fp32", "fp16-sums", "fp8-e4m3", "mxfp4-e2m1", "mxint8", "int8", "int8-shift",
                                  "fixed-8-4", "log-8-1-5-5-7", "posit-8-1"])  # fmt: skip
def test_what_is_not_finite_between_layers_spoils_its_own_sample_alone(name: str) -> None:
    class Overflowing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, given: torch.Tensor) -> torch.Tensor:
            return self.second(torch.exp(50 * self.first(given)))

    module = Overflowing().eval()
    with torch.no_grad():
        module.first.weight.copy_(torch.eye(2))
        module.second.weight.copy_(torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))
        module.first.bias.zero_()
        module.second.bias.zero_()
    inputs = np.array([[4.0, 4.0], [0.03125, 0.0], [0.0, 0.03125]], np.float32)
    found = answers_of(module, inputs, name)
    assert found.predicted[0] == -1
    usual = answers_of(module, inputs[1:], name)
    if FORMATS[name].scaling == "none":  # else the first sample's finite inputs set the scale of the first layer
        np.testing.assert_array_equal(found.predicted[1:], usual.predicted)
    largest = calibrated(module, inputs, layer_names(module))
    alone = evaluate(module, inputs[1:], FORMATS[name], layer_names(module), largest=largest)
    np.testing.assert_array_equal(found.predicted[1:], alone.predicted)
    assert (found.predicted[1:] >= 0).all()


@pytest.mark.parametrize("name", ["fp32", "int8", "mxint8", "posit-8-1", "log-8-1-5-5-7"])
def test_two_activations_that_are_not_finite(name: str) -> None:
    class Squares(nn.Module):
        def forward(self, given: torch.Tensor) -> torch.Tensor:
            return given @ given.transpose(-1, -2)

    inputs = torch.ones(2, 2, 3)
    inputs[0, 1, 1] = torch.nan
    made = scores(Squares(), inputs, name)
    assert made[0].isnan().tolist() == [[False, True], [True, True]]
    assert made[1].isfinite().all()


def test_calibration_passes_over_what_is_not_finite() -> None:
    module = nn.Linear(2, 1)
    assert calibrated(module, np.array([[np.inf, -3.0], [np.nan, 2.0]], np.float32), {}) == {1: 3.0}


def test_weights_of_groups_are_counted_once_whatever_the_batch() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4, bias=False), nn.Flatten())
    inputs = torch.randn(6, 4, 5, 5).numpy()
    whole, parts = (answers_of(module, inputs, "int8", batch=batch).layers[0] for batch in (6, 2))
    assert parts.weights == whole.weights
    assert whole.weights.count == 4 * 9
    assert parts.inputs == whole.inputs


@pytest.mark.parametrize(
    ("module", "shape", "said"),
    [
        (nn.Conv1d(1, 1, 1), (1, 1, 3), "conv1d"),
        (nn.RNN(2, 3), (1, 4, 2), "rnn_tanh"),
        (nn.RNN(2, 3, nonlinearity="relu"), (1, 4, 2), "rnn_relu"),
        (nn.LSTM(2, 3), (1, 4, 2), "lstm"),
        (nn.GRU(2, 3), (1, 4, 2), "gru"),
        (nn.RNNCell(2, 3), (1, 2), "rnn_tanh_cell"),
        (nn.MultiheadAttention(2, 1), (1, 1, 2), "multi_head_attention_forward"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_what_is_not_known_is_refused(module: nn.Module, shape: tuple[int, ...], said: str) -> None:
    class Whole(nn.Module):
        def forward(self, given: torch.Tensor) -> Any:
            return module(given, given, given) if isinstance(module, nn.MultiheadAttention) else module(given)

    inputs = np.ones(shape, np.float32)
    with pytest.raises(InputError, match=f"{said} has no arithmetic"):
        calibrated(Whole().eval(), inputs, {})
    with pytest.raises(InputError, match=f"{said} has no arithmetic"):
        evaluate(Whole().eval(), inputs, FORMATS["fp32"], {}, largest={})


@pytest.mark.parametrize("product", [torch.mv, torch.Tensor.mv, torch.inner])
def test_products_with_vectors_are_refused(product: Any) -> None:
    class Vector(nn.Module):
        def forward(self, given: torch.Tensor) -> torch.Tensor:
            return product(given, given[0])

    with pytest.raises(InputError, match="has no arithmetic"):
        calibrated(Vector(), np.ones((2, 2), np.float32), {})


def test_a_module_without_products_is_refused() -> None:
    with pytest.raises(InputError, match="no convolution"):
        calibrated(nn.ReLU(), np.ones((1, 3), np.float32), {})
