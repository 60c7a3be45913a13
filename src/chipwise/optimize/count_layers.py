"""Count a graph's layers by the rule of published counts, as they are and as they are left by vertical fusion.

Published counts of fusion (NVIDIA's for TensorRT: VGG-19 43 to 27, Inception v3 309 to 113, ResNet-152 670 to 159) come
out of this rule, which `chipwise.core.layer_counts` spells out. They say how many kernels are launched, not how long
these take.

>>> import onnx.parser
>>> text = '<ir_version: 8, opset_import: ["": 17]> g (float[1] x) => (float[1] y) { a = MatMul(x, w)  y = Relu(a) }'
>>> model = ir.serde.deserialize_model(onnx.parser.parse_model(text))
>>> sum(count(model).values()), fused(model)
(2, 1)
"""

from __future__ import annotations

from collections import Counter

import onnx_ir as ir

from chipwise.optimize.rewrite import constant, is_op, only_reader

_KINDS = {
    "convolution": ("Conv", "ConvTranspose"),
    "product": ("Gemm", "MatMul"),
    "batch-norm": ("BatchNormalization",),
    "normalization": ("InstanceNormalization", "LayerNormalization", "LRN", "RMSNormalization"),
    "activation": (
        "Relu", "Clip", "LeakyRelu", "PRelu", "Sigmoid", "Tanh", "Elu", "Selu", "HardSwish", "HardSigmoid", "Gelu",
        "Mish", "Softplus", "Swish",
    ),
    "pooling": ("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean"),
    "sum": ("Add", "Sum"),
    "join": ("Concat",),
    "softmax": ("Softmax", "LogSoftmax"),
}  # fmt: skip
_KIND_OF = {op: kind for kind, ops in _KINDS.items() for op in ops}
_UNCOUNTED = (
    "Cast", "Constant", "ConstantOfShape", "Dropout", "Expand", "Flatten", "Gather", "Identity", "Pad", "Range",
    "Reshape", "Shape", "Size", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze",
)  # fmt: skip
_ROOTS = ("convolution", "product")
_TAKEN_IN = ("activation", "batch-norm", "sum", "")


def count(model: ir.Model) -> Counter[str]:
    """Layers by kind; operators without a kind count under their own name."""
    return Counter(kind for node in model.graph if (kind := _kind(node)))


def fused(model: ir.Model) -> int:
    """Layers that are left when those behind a convolution or product become part of it, and joins of nothing."""
    roots: dict[ir.Value, ir.Node] = {}  # values that a layer may still take further operators into
    left = 0
    for node in model.graph:
        kind = _kind(node)
        fed = next((value for value in node.inputs if value in roots and only_reader(value)), None)
        if kind in _ROOTS:
            roots[node.outputs[0]] = node
        elif fed is not None and kind in _TAKEN_IN:
            roots[node.outputs[0]] = roots[fed]
            continue
        left += kind not in ("", "join")
    return left


def _kind(node: ir.Node) -> str:
    """What a node counts as; "" where it is no layer: it changes shapes only, or adds a product's bias."""
    if is_op(node, *_UNCOUNTED):
        return ""
    if is_op(node, "Add") and any(constant(value) is not None for value in node.inputs):
        makers = [value.producer() for value in node.inputs if value is not None]
        if any(is_op(maker, "MatMul") for maker in makers):
            return ""
    return _KIND_OF.get(node.op_type, node.op_type)
