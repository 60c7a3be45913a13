"""Small graphs that learn, for the tests of compression."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as ir_passes
import torch

from chipwise.compression.finetune import Lecture
from chipwise.training.feed import Feed
from chipwise.training.settings import Settings

QUICK = Settings(epochs=5, batch_size=32, learning_rate=2e-2, augment="none", weight_decay=0.0, threads=1)


def two_layers(width: int = 16, inputs: int = 8, classes: int = 3, seed: int = 0) -> ir.Model:
    """Gemm, Relu, MatMul, Add, with weights drawn by seed."""
    random = np.random.default_rng(seed)
    shapes = {"w": (width, inputs), "b": (width,), "v": (width, classes), "c": (classes,)}
    told = ", ".join(f"float[{','.join(map(str, shape))}] {name}" for name, shape in shapes.items())
    model = ir.from_onnx_text(
        f'<ir_version: 8, opset_import: ["": 18]> g (float[N, {inputs}] x, {told}) => (float[N, {classes}] y) {{'
        " h = Gemm<transB = 1>(x, w, b)  r = Relu(h)  m = MatMul(r, v)  y = Add(m, c) }"
    )
    for value in list(model.graph.inputs)[1:]:
        array = random.normal(0, 0.5, shapes[str(value.name)]).astype(np.float32)
        value.const_value = ir.tensor(array, name=value.name)
        model.graph.inputs.remove(value)
        model.graph.register_initializer(value)
    return model


def lecture(inputs: int = 8, classes: int = 3, count: int = 1024, seed: int = 0) -> Lecture:
    """Samples whose class is the largest of the first values."""
    random = torch.Generator().manual_seed(seed)
    feeds = []
    for size in (count, count // 2):
        values = torch.randn(size, inputs, generator=random)
        feeds.append(Feed(values, values[:, :classes].argmax(dim=1)))
    return Lecture(feeds[0], feeds[1])


def residual(width: int = 16, inner: int = 16, places: int = 8, classes: int = 3, seed: int = 0) -> ir.Model:
    """A convolution, a residual block of two more, pooling, and a matrix, with weights drawn by seed."""
    random = np.random.default_rng(seed)
    shapes = {
        "w": (width, 3, 3, 3),
        "wb": (width,),
        "u": (inner, width, 3, 3),
        "ub": (inner,),
        "v": (width, inner, 3, 3),
        "vb": (width,),
        "m": (classes, width),
    }
    told = ", ".join(f"float[{','.join(map(str, shape))}] {name}" for name, shape in shapes.items())
    same = "<pads = [1, 1, 1, 1]>"
    model = ir.from_onnx_text(
        f'<ir_version: 8, opset_import: ["": 18]> g (float[N, 3, {places}, {places}] x, {told}) => '
        f"(float[N, {classes}] y) {{ h = Conv{same}(x, w, wb)  r = Relu(h)  a = Conv{same}(r, u, ub)  s = Relu(a) "
        f" b = Conv{same}(s, v, vb)  t = Add(b, r)  z = Relu(t)  p = GlobalAveragePool(z)  f = Flatten(p) "
        " y = Gemm<transB = 1>(f, m) }"
    )
    for value in list(model.graph.inputs)[1:]:
        array = random.normal(0, 0.2, shapes[str(value.name)]).astype(np.float32)
        value.const_value = ir.tensor(array, name=value.name)
        model.graph.inputs.remove(value)
        model.graph.register_initializer(value)
    ir_passes.ShapeInferencePass(check_type=False, strict_mode=False)(model)
    return model
