"""Activations, losses and penalties: the closed form, autograd, finite differences and every portable runtime agree.

The closed forms are written here in NumPy; torch's operators are what zoo networks and training use; what our export
makes of them is run by the reference evaluator and by ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from chipwise import runtimes
from chipwise.networks.export_module import export_module

pytestmark = pytest.mark.runtime
Values = NDArray[np.float64]
# Both sides of every kink, none on it: a finite difference across a kink is no derivative.
POINTS = np.array([-3.0, -1.5, -0.7, -0.1, 0.2, 0.9, 1.6, 4.0])
STEP = 1e-6


class Maxout(nn.Module):
    """max(w1.x + b1, w2.x + b2)."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.pieces = nn.ModuleList(nn.Linear(4, 3) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return torch.maximum(self.pieces[0](x), self.pieces[1](x))


def sigmoid(x: Values) -> Values:
    return 1 / (1 + np.exp(-x))


# Name: torch's module, the closed form, and its derivative.
ACTIVATIONS: dict[str, tuple[nn.Module, Callable[[Values], Values], Callable[[Values], Values]]] = {
    "sigmoid": (nn.Sigmoid(), sigmoid, lambda x: sigmoid(x) * (1 - sigmoid(x))),
    "tanh": (nn.Tanh(), np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "relu": (nn.ReLU(), lambda x: np.maximum(x, 0), lambda x: (x > 0).astype(float)),
    "leaky relu": (nn.LeakyReLU(0.1), lambda x: np.maximum(0.1 * x, x), lambda x: np.where(x > 0, 1, 0.1)),
    "elu": (nn.ELU(), lambda x: np.where(x > 0, x, np.exp(x) - 1), lambda x: np.where(x > 0, 1, np.exp(x))),
}


class Together(nn.Module):
    """All activations side by side, so that one export is enough."""

    def __init__(self) -> None:
        super().__init__()
        self.modules_in_order = nn.ModuleList(module for module, _, _ in ACTIVATIONS.values())
        self.maxout = Maxout()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return *(module(x) for module in self.modules_in_order), self.maxout(x)


Answers = dict[str, list[NDArray[np.float32]]]


def run(module: nn.Module, *arrays: NDArray[np.generic]) -> Answers:
    """What each portable runtime makes of the exported module."""
    model = export_module(module, [torch.tensor(array) for array in arrays])
    engines = {name: runtimes.load(name).build_default(model) for name in ("reference", "onnxruntime")}
    return {name: engine.run(list(arrays)) for name, engine in engines.items()}


@pytest.fixture(scope="module")
def answers() -> Answers:
    return run(Together(), POINTS.astype(np.float32).reshape(2, 4))


def differences(function: Callable[[Values], float], at: Values) -> Values:
    """Central differences of a function with one result, by each of its arguments."""
    made = np.zeros_like(at)
    for place in np.ndindex(at.shape):
        ahead, back = at.copy(), at.copy()
        ahead[place] += STEP
        back[place] -= STEP
        made[place] = (function(ahead) - function(back)) / (2 * STEP)
    return made


def gradient(function: Callable[[Tensor], Tensor], at: Values) -> tuple[float, Values]:
    """The value of a torch function with one result, and its gradient by autograd."""
    tensor = torch.tensor(at, requires_grad=True)
    value = function(tensor)
    value.backward()
    assert tensor.grad is not None
    return float(value.detach()), tensor.grad.numpy()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name: str, answers: Answers) -> None:
    module, closed, derivative = ACTIVATIONS[name]
    _, by_autograd = gradient(lambda x: module(x).sum(), POINTS)
    np.testing.assert_allclose(module(torch.tensor(POINTS)).numpy(), closed(POINTS), rtol=1e-12)
    np.testing.assert_allclose(by_autograd, derivative(POINTS), rtol=1e-12)
    np.testing.assert_allclose(differences(lambda x: closed(x).sum(), POINTS), derivative(POINTS), atol=1e-8)
    for runtime, got in answers.items():
        made = got[list(ACTIVATIONS).index(name)].ravel()
        np.testing.assert_allclose(made, closed(POINTS), rtol=1e-5, atol=1e-6, err_msg=runtime)


def test_maxout(answers: Answers) -> None:
    module = Maxout().double()
    x = np.random.default_rng(1).standard_normal((2, 4))
    w, b = zip(*((piece.weight.detach().numpy(), piece.bias.detach().numpy()) for piece in module.pieces), strict=True)

    def closed(at: Values) -> Values:
        return np.maximum(at @ w[0].T + b[0], at @ w[1].T + b[1])

    first = x @ w[0].T + b[0] > x @ w[1].T + b[1]
    wanted = first @ w[0] + ~first @ w[1]  # the gradient is that of the piece that won
    assert 0 < first.mean() < 1, "both pieces must win somewhere"
    value, by_autograd = gradient(lambda at: module(at).sum(), x)
    np.testing.assert_allclose(value, closed(x).sum(), rtol=1e-12)
    np.testing.assert_allclose(by_autograd, wanted, rtol=1e-12)
    np.testing.assert_allclose(differences(lambda at: closed(at).sum(), x), wanted, atol=1e-7)
    for runtime, got in answers.items():
        np.testing.assert_allclose(got[-1], closed(POINTS.reshape(2, 4)), rtol=1e-5, atol=1e-6, err_msg=runtime)


SCORES = np.random.default_rng(2).standard_normal((5, 4)) * 2
CLASSES = np.array([0, 3, 1, 1, 2])
TARGETS = np.random.default_rng(3).standard_normal((5, 4))
ROWS = np.arange(len(CLASSES))


def shares(scores: Values) -> Values:
    grown = np.exp(scores - scores.max(axis=1, keepdims=True))
    return grown / grown.sum(axis=1, keepdims=True)


def margins(scores: Values) -> Values:
    """max(0, s_j - s_y + 1) for the wrong classes, 0 for the right one."""
    made = np.maximum(scores - scores[ROWS, CLASSES][:, None] + 1, 0)
    made[ROWS, CLASSES] = 0
    return made


def hinge_gradient(scores: Values) -> Values:
    over = (margins(scores) > 0).astype(float)
    over[ROWS, CLASSES] = -over.sum(axis=1)
    return over / len(scores)


def cross_entropy_gradient(scores: Values) -> Values:
    made = shares(scores)
    made[ROWS, CLASSES] -= 1
    return made / len(scores)


def torch_hinge(scores: Tensor) -> Tensor:
    """torch divides by the number of classes, the closed form of the lecture does not."""
    return functional.multi_margin_loss(scores, torch.tensor(CLASSES)) * scores.shape[1]


# Name: in torch, the closed form, and its gradient.
LOSSES: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Values], float], Callable[[Values], Values]]] = {
    "mean squared error": (
        lambda s: functional.mse_loss(s, torch.tensor(TARGETS, dtype=s.dtype)),
        lambda s: ((s - TARGETS) ** 2).mean(),
        lambda s: 2 * (s - TARGETS) / s.size,
    ),
    "cross-entropy": (
        lambda s: functional.cross_entropy(s, torch.tensor(CLASSES)),
        lambda s: -np.log(shares(s)[ROWS, CLASSES]).mean(),
        cross_entropy_gradient,
    ),
    "hinge": (torch_hinge, lambda s: margins(s).sum(axis=1).mean(), hinge_gradient),
    "L1": (lambda w: 0.1 * w.abs().sum(), lambda w: 0.1 * np.abs(w).sum(), lambda w: 0.1 * np.sign(w)),
    "L2": (lambda w: 0.1 * (w**2).sum(), lambda w: 0.1 * (w**2).sum(), lambda w: 0.2 * w),
}


class Losses(nn.Module):
    """The losses and penalties that ONNX has operators for."""

    def forward(self, scores: Tensor, targets: Tensor, classes: Tensor) -> tuple[Tensor, ...]:
        squared, entropy = functional.mse_loss(scores, targets), functional.cross_entropy(scores, classes)
        return squared, entropy, 0.1 * scores.abs().sum(), 0.1 * (scores**2).sum()


@pytest.mark.parametrize("name", LOSSES)
def test_loss(name: str) -> None:
    in_torch, closed, derivative = LOSSES[name]
    value, by_autograd = gradient(in_torch, SCORES)
    np.testing.assert_allclose(value, closed(SCORES), rtol=1e-12)
    np.testing.assert_allclose(by_autograd, derivative(SCORES), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(differences(closed, SCORES), derivative(SCORES), atol=1e-8)


def test_losses_in_a_runtime() -> None:
    wanted = [LOSSES[name][1](SCORES) for name in ("mean squared error", "cross-entropy", "L1", "L2")]
    for runtime, got in run(Losses(), SCORES.astype(np.float32), TARGETS.astype(np.float32), CLASSES).items():
        np.testing.assert_allclose([float(each) for each in got], wanted, rtol=1e-5, err_msg=runtime)


def test_a_penalty_is_weight_decay() -> None:
    """L2 with half the rate, and SGD's weight decay, make the same step."""
    start = torch.tensor(SCORES)
    penalised, decayed = (nn.Parameter(start.clone()) for _ in range(2))
    (0.5 * 0.3 * (penalised**2).sum()).backward()
    decayed.grad = torch.zeros_like(decayed)
    torch.optim.SGD([penalised], lr=0.1).step()
    torch.optim.SGD([decayed], lr=0.1, weight_decay=0.3).step()
    torch.testing.assert_close(penalised, decayed)
