"""Values and gradients at every operation of a small formula."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import torch
from torch import Tensor, nn

from chipwise import api
from chipwise.core.errors import NetworkError
from chipwise.networks.computation import tiny_computation, trace_computation
from chipwise.networks.load import load
from chipwise.views.computation_picture import computation_html, computation_svg

pytestmark = pytest.mark.runtime


def test_repeated_use_adds_gradients() -> None:
    traced = trace_computation(lambda x: x * x + 3 * x, {"x": torch.tensor(2.0)}, "f")
    assert [step.label for step in traced.steps] == ["x", "×", "× 3", "+"]
    assert traced.steps[0].gradient == (7.0,)
    assert traced.steps[1].reads == (0, 0)
    ET.fromstring(computation_svg(traced))


@pytest.mark.parametrize(
    ("function", "label"),
    [
        (lambda x: 1 / x, "1 ÷ x"),
        (lambda x: 2 - x, "2 − x"),
        (lambda x: x - 2, "− 2"),
        (lambda x: x**2, "x ^ 2"),
        (lambda x: -x, "−x"),
        (torch.exp, "exp"),
        (torch.relu, "relu"),
        (nn.Sigmoid(), "sigmoid"),
    ],
)
def test_labels(function: object, label: str) -> None:
    assert trace_computation(function, {"x": torch.tensor(0.5)}).steps[-1].label == label  # type: ignore[arg-type]


def test_what_the_result_does_not_need_is_left_out() -> None:
    def function(x: Tensor, y: Tensor) -> Tensor:
        torch.exp(y)
        return x + 1

    traced = trace_computation(function, {"x": torch.tensor(1.0), "y": torch.tensor(1.0)})
    assert [step.label for step in traced.steps] == ["x", "+ 1"]


def test_a_module_shows_its_parameters_and_keeps_them() -> None:
    module = nn.Linear(2, 1)
    before = module.weight.detach().clone()
    traced = trace_computation(module, {"x": torch.ones(1, 2)})
    assert [step.label for step in traced.steps] == ["x", "weight", "bias", "linear"]
    assert traced.steps[1].gradient == (1.0, 1.0)
    assert module.weight.grad is None
    assert torch.equal(module.weight, before)


def test_no_gradient_is_refused() -> None:
    with pytest.raises(NetworkError, match="without a gradient"):
        trace_computation(lambda x: x.detach() + 1, {"x": torch.tensor(1.0)})


SOURCE = """
import torch
from torch import nn

class Neuron(nn.Module):
    example_input = torch.tensor([[-1.0, -2.0]])

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([2.0, -3.0]))
        self.b = nn.Parameter(torch.tensor(-3.0))

    def forward(self, x):
        return torch.sigmoid((x * self.w).sum() + self.b).reshape(1, 1)

class Wide(nn.Linear):
    example_input = torch.zeros(1, 30)

    def __init__(self):
        super().__init__(30, 2)

class Any(nn.Module):
    example_input = tuple(torch.tensor([value]) for value in (2.0, 3.0, 5.0))

    def forward(self, first, *xs):
        return first * xs[0] + xs[1]
"""


def test_inspect_draws_a_tiny_factory_with_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny_neuron.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "tiny_neuron", raising=False)
    api.inspect("tiny_neuron:Neuron", graph="f.svg")
    said = "".join(ET.parse("f.svg").getroot().itertext())
    assert "sigmoid" in said
    assert "0.73" in said
    assert "[-0.20, -0.39]" in said  # by w
    api.inspect("tiny_neuron:Neuron", graph="f.html")
    assert "0.73" in Path("f.html").read_text()
    api.inspect("tiny_neuron:Wide", graph="wide.svg")
    assert "full bar" in Path("wide.svg").read_text()  # too wide for values: the picture of its layers


def test_arguments_that_have_no_names_are_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny_neuron.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "tiny_neuron", raising=False)
    traced = tiny_computation(load("tiny_neuron:Any"))
    assert traced is not None
    assert [step.label for step in traced.steps] == ["first", "input_1", "input_2", "×", "+"]
    assert traced.steps[-1].value == (11.0,)


def test_the_page_is_whole() -> None:
    page = computation_html(trace_computation(torch.exp, {"<x>": torch.tensor(1.0)}, "a < b"))
    assert "<x>" not in page
    assert page.rstrip().endswith("</html>")
