"""Recurrent layers after export: no shape arithmetic, no spelt-out zeros, the same answers."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

from chipwise.networks.export_module import export_module  # noqa: E402

pytestmark = pytest.mark.runtime


class Remembering(nn.Module):
    """A recurrent layer that starts from a state of its own."""

    def __init__(self, start: float, *, trained: bool) -> None:
        super().__init__()
        self.layer = nn.GRU(3, 4, batch_first=True)
        value = torch.full((1, 1, 4), start)
        self.start = nn.Parameter(value) if trained else value

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.layer(x, self.start.expand(1, x.shape[0], 4).contiguous())[0]
        return result


def exported(module: nn.Module) -> tuple[Counter[str], onnx.GraphProto]:
    """Operators and graph, once ONNX Runtime has given what torch gives, for a batch that was not exported."""
    torch.manual_seed(0)
    x = torch.randn(5, 7, 3)
    data = export_module(module, (torch.zeros(1, 7, 3),))
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    made = session.run(None, {"input": x.numpy()})[0]
    with torch.no_grad():
        expected = module.eval()(x)
    expected = expected[0] if isinstance(expected, tuple) else expected
    np.testing.assert_allclose(made, expected.numpy(), atol=1e-6)
    graph = onnx.load_from_string(data).graph
    return Counter(node.op_type for node in graph.node), graph


@pytest.mark.parametrize(("kind", "options"), [(nn.LSTM, {"num_layers": 2, "bidirectional": True}), (nn.GRU, {})])
def test_only_the_layer_is_left(kind: type[nn.Module], options: dict[str, int]) -> None:
    operators, graph = exported(kind(3, 4, batch_first=True, **options))
    assert operators[kind.__name__] == options.get("num_layers", 1)
    assert not {"Shape", "Expand", "Mul", "Squeeze"} & set(operators)
    layer = next(node for node in graph.node if node.op_type == kind.__name__)
    assert not any(layer.input[5:])


@pytest.mark.parametrize(("start", "trained", "kept"), [(0.0, False, False), (0.5, False, True), (0.0, True, True)])
def test_a_state_is_dropped_only_where_it_is_zero_for_good(start: float, trained: bool, kept: bool) -> None:
    _, graph = exported(Remembering(start, trained=trained))
    layer = next(node for node in graph.node if node.op_type == "GRU")
    assert any(layer.input[5:]) == kept
