"""A graph that learns computes what the graph computes, and gives its weights back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator

pytest.importorskip("torch")
import torch

from chipwise.compression.finetune import Lecture, finetune
from chipwise.core.errors import NetworkError
from chipwise.training.evaluate import Score
from chipwise.training.feed import Feed
from chipwise.training.trainable import put_back, trainable

from .graphs import QUICK, lecture, two_layers

pytestmark = pytest.mark.runtime


def computed(model: ir.Model, x: np.ndarray) -> np.ndarray:
    return np.asarray(ReferenceEvaluator(ir.to_proto(model)).run(None, {"x": x})[0])


def test_it_computes_what_the_graph_computes_before_and_after_learning() -> None:
    graph = two_layers()
    made = trainable(graph)
    assert made.weights == {"w": 0, "v": 1}
    assert made.biases == ("b", "c")
    x = np.random.default_rng(1).normal(size=(5, 8)).astype(np.float32)
    np.testing.assert_allclose(made.module(torch.from_numpy(x)).detach().numpy(), computed(graph, x), rtol=1e-5)
    before = made.values()
    tuned = finetune(made.module, lecture(), QUICK)
    assert tuned.accuracy > 0.6
    after = put_back(graph, made.values())
    assert all((before[name] != made.values()[name]).any() for name in before), "everything learns"
    np.testing.assert_allclose(
        made.module(torch.from_numpy(x)).detach().numpy(), computed(after, x), rtol=1e-5, atol=1e-5
    )
    np.testing.assert_array_equal(graph.graph.initializers["w"].const_value.numpy(), before["w"])


def test_a_graph_without_weights_is_refused() -> None:
    with pytest.raises(NetworkError, match="no convolution or matrix product"):
        trainable(
            ir.from_onnx_text('<ir_version: 8, opset_import: ["": 18]> g (float[N] x) => (float[N] y) { y = Relu(x) }')
        )


def test_a_graph_that_ends_in_a_softmax_learns_by_its_logarithms() -> None:
    """Losses take the softmax of scores: twice, it would hardly move."""
    text = '<ir_version: 8, opset_import: ["": 18]> g (float[N, 2] x) => (float[N, 2] y) '
    graph = ir.from_onnx_text(text + "<float[2, 2] w = {1, 2, 3, 4}> { h = MatMul(x, w) y = Softmax(h) }")
    made = trainable(graph)
    scores = made.module(torch.ones(1, 2))
    assert torch.allclose(scores, torch.log_softmax(torch.tensor([[4.0, 6.0]]), dim=1))
    assert torch.allclose(torch.softmax(scores, dim=1), torch.softmax(torch.tensor([[4.0, 6.0]]), dim=1))
    back = put_back(made.graph, made.values())
    assert [node.op_type for node in back.graph] == ["MatMul", "Softmax"]


def test_kernels_lie_in_memory_as_pictures_do() -> None:
    text = '<ir_version: 8, opset_import: ["": 18]> g (float[N, 3, 4, 4] x) => (float[N, 2] y) '
    kernels = ", ".join(str(number % 7 - 3) for number in range(2 * 3 * 4 * 4))
    graph = ir.from_onnx_text(text + f"<float[2, 3, 4, 4] w = {{{kernels}}}> {{ h = Conv(x, w) y = Flatten(h) }}")
    seen: list[bool] = []
    for nhwc in (False, True):
        made = trainable(graph)
        feed = Feed(torch.rand(40, 3, 4, 4), torch.arange(40) % 2)
        before = made.values()["w"]
        weight = getattr(made.module.inner, made.place("w"))
        finetune(made.module, Lecture(feed, feed), replace(QUICK, channels_last=nhwc, epochs=1))
        seen.append(weight.is_contiguous(memory_format=torch.channels_last))
        assert made.values()["w"].shape == before.shape
    assert seen == [False, True]


@pytest.mark.parametrize(
    ("right", "kept"),
    [
        ((300, 310, 308, 309), 4),
        ((300, 390, 300, 310), 2),
        ((390, 300, 392, 300), 3),
        ((0, 0, 0, 0), 4),
        ((400, 399), 1),
    ],
)
def test_the_last_weights_that_are_not_worse_are_kept(
    right: tuple[int, ...], kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 400: where 310 is best, a standard error is eight; where all are right, it is nothing."""
    scores = iter([Score(0.0, each / 400, torch.zeros(0)) for each in right])
    monkeypatch.setattr("chipwise.compression.finetune.evaluate", lambda *_: next(scores))
    tuned = finetune(trainable(two_layers()).module, lecture(count=800), replace(QUICK, epochs=len(right)))
    assert tuned.kept == kept
    assert tuned.accuracy == right[kept - 1] / 400
