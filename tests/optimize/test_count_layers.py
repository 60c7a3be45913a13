"""Layer counts come out as published, by the rule that is printed beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from random_networks import parse

import chipwise
from chipwise.optimize.count_layers import count, fused

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


def test_vgg19() -> None:
    """43 layers, and 27 after fusion by TensorRT; activations behind products go, too."""
    model = ir.serde.deserialize_model(onnx.load(LIGHT / "light_vgg19.onnx"))
    assert count(model) == {"convolution": 16, "activation": 18, "pooling": 5, "product": 3, "softmax": 1}
    assert sum(count(model).values()) == 43
    assert fused(model) == 25


@pytest.mark.shared
def test_resnet152(shared_data: Path) -> None:
    """670 layers as Caffe writes them, and 159 after fusion."""
    found = chipwise.count_layers(shared_data / "caffe" / "ResNet-152-deploy.prototxt")
    assert found.as_caffe == 670
    assert found.fused == 159
    assert any("not latency" in line for line in found.rule)


@pytest.mark.slow
def test_inception_v3() -> None:
    """309 layers, and 113 after fusion by TensorRT; the softmax is not in the graph and counts."""
    found = chipwise.count_layers("inception-v3")
    assert sum(found.source.values()) == 309
    assert found.fused == 110


W = np.ones((4, 4, 1, 1))
CASES = {
    "norm and activation": ("c = Conv(x, w)  n = BatchNormalization(c, s, s, s, s)  y = Relu(n)", 3, 1),
    "a sum that two feed": ("a = Conv(x, w)  b = Conv(x, w)  s1 = Add(a, b)  y = Relu(s1)", 4, 2),
    "read twice": ("c = Conv(x, w)  r = Relu(c)  y = Add(c, r)", 3, 3),
    "behind a pool": ("p = GlobalMaxPool(x)  y = Relu(p)", 2, 2),
    "a join": ("a = Conv(x, w)  b = Relu(a)  y = Concat<axis = 1>(b, x)", 3, 1),
    "shapes only": ("t = Transpose(x)  y = Identity(t)", 0, 0),
    "a bias": ("m = MatMul(x, w)  y = Add(m, w)", 1, 1),
    "no kind": ("y = Sin(x)", 1, 1),
}


@pytest.mark.parametrize("name", CASES)
def test_what_counts(name: str) -> None:
    body, layers, left = CASES[name]
    weights = {each: value for each, value in (("w", W), ("s", np.ones(4))) if f" {each}" in body}
    model = parse(f"g (double[1, 4, 4, 4] x) => (double[A, B, C, D] y) {{ {body} }}", **weights)
    assert sum(count(model).values()) == layers
    assert fused(model) == left
