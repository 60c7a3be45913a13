"""Uses of translated operators against ONNX Runtime, and refusals by name; tests/conformance has all operators."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.runtime

from chipwise import runtimes  # noqa: E402
from chipwise.runtimes.inductor import build_eager  # noqa: E402
from chipwise.runtimes.onnx_to_torch import translate  # noqa: E402
from chipwise.runtimes.torch_values import UnsupportedError  # noqa: E402

RNG = np.random.default_rng(0)
IMAGE = (2, 4, 9, 11)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


CASES: list[tuple[str, tuple[int, ...], list[np.ndarray], dict[str, Any]]] = [
    ("Conv", IMAGE, [floats(6, 4, 3, 3), floats(6)], {"pads": [1, 0, 1, 0], "strides": [2, 1]}),
    ("Conv", IMAGE, [floats(6, 4, 3, 3)], {"pads": [0, 1, 2, 1], "dilations": [2, 2]}),
    ("Conv", IMAGE, [floats(4, 1, 3, 3)], {"group": 4, "auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ("Conv", IMAGE, [floats(4, 4, 2, 2)], {"auto_pad": "SAME_LOWER"}),
    ("Conv", (2, 3, 12), [floats(5, 3, 3)], {"auto_pad": "VALID"}),
    ("MaxPool", IMAGE, [], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ("MaxPool", IMAGE, [], {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0, 0, 1, 1]}),
    ("MaxPool", IMAGE, [], {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
    ("AveragePool", IMAGE, [], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ("AveragePool", IMAGE, [], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
    ("GlobalAveragePool", IMAGE, [], {}),
    ("BatchNormalization", IMAGE, [floats(4), floats(4), floats(4), np.abs(floats(4))], {"epsilon": 1e-3}),
    ("Gemm", (3, 5), [floats(7, 5), floats(7)], {"transB": 1}),
    ("Gemm", (3, 5), [floats(5, 7), floats(3, 7)], {"alpha": 0.5, "beta": 2.0}),
    ("Gemm", (5, 3), [floats(5, 7), floats(1)], {"transA": 1}),
    ("MatMul", (2, 3, 5), [floats(5, 4)], {}),
    ("Add", (3, 5), [floats(5)], {}),
    ("Sub", (3, 5), [floats(3, 1)], {}),
    ("Mul", (3, 5), [np.float32(2.5)], {}),
    ("Div", (3, 5), [np.float32(4.0)], {}),
    ("Pow", (3, 5), [np.float32(2.0)], {}),
    ("Sum", (3, 5), [floats(3, 5), floats(5)], {}),
    ("Relu", (3, 5), [], {}),
    ("Tanh", (3, 5), [], {}),
    ("Sigmoid", (3, 5), [], {}),
    ("Exp", (3, 5), [], {}),
    ("Neg", (3, 5), [], {}),
    ("Elu", (3, 5), [], {"alpha": 0.5}),
    ("LeakyRelu", (3, 5), [], {"alpha": 0.1}),
    ("LRN", IMAGE, [], {"size": 3, "alpha": 0.5, "beta": 0.6, "bias": 1.5}),
    ("LRN", IMAGE, [], {"size": 5}),
    ("Softmax", (3, 5), [], {}),
    ("LogSoftmax", (3, 5, 2), [], {"axis": 1}),
    ("Clip", (3, 5), [np.float32(-0.5), np.float32(0.5)], {}),
    ("Concat", (3, 5), [floats(3, 2)], {"axis": -1}),
    ("Flatten", IMAGE, [], {}),
    ("Flatten", IMAGE, [], {"axis": 2}),
    ("Reshape", IMAGE, [ints(0, -1, 11)], {}),
    ("Transpose", IMAGE, [], {"perm": [0, 2, 3, 1]}),
    ("Transpose", (3, 5), [], {}),
    ("Squeeze", (3, 1, 5), [ints(1)], {}),
    ("Unsqueeze", (3, 5), [ints(0, -1)], {}),
    ("ReduceMean", IMAGE, [], {"axes": [2, 3]}),
    ("ReduceMean", IMAGE, [], {"axes": [1], "keepdims": 0}),
    ("ReduceSum", IMAGE, [ints(-1)], {}),
    ("ReduceSumSquare", IMAGE, [], {"axes": [1], "keepdims": 0}),
    ("Pad", IMAGE, [ints(0, 0, 1, 2, 0, 0, 3, 0), np.float32(1.5)], {}),
    ("Pad", IMAGE, [ints(0, 0, 1, 2, 0, 0, 3, 0)], {"mode": "reflect"}),
    ("SpaceToDepth", (2, 3, 4, 6), [], {"blocksize": 2}),
    ("DepthToSpace", (2, 8, 3, 5), [], {"blocksize": 2}),
    ("DepthToSpace", (2, 8, 3, 5), [], {"blocksize": 2, "mode": "CRD"}),
    ("Slice", IMAGE, [ints(1, -4), ints(2**63 - 1, -1), ints(2, -1), ints(2, 1)], {}),
    ("Slice", IMAGE, [ints(0, 1), ints(1, 3)], {}),
    ("Gather", IMAGE, [ints(1, 0, -1)], {"axis": 1}),
    ("Gather", (4, 5), [ints(3, 0).reshape(2, 1)], {}),
    ("Identity", (3, 5), [], {}),
    ("Dropout", (3, 5), [], {}),
]


def model(
    op: str, shape: tuple[int, ...], constants: list[np.ndarray], attributes: dict[str, Any], opset: int = 17
) -> onnx.ModelProto:
    names = [f"c{number}" for number in range(len(constants))]
    made = helper.make_graph(
        [helper.make_node(op, ["x", *names], ["y"], **attributes)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in zip(names, constants, strict=True)],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@pytest.mark.parametrize(
    ("op", "shape", "constants", "attributes"), CASES, ids=[f"{case[0]}-{number}" for number, case in enumerate(CASES)]
)
def test_operator(op: str, shape: tuple[int, ...], constants: list[np.ndarray], attributes: dict[str, Any]) -> None:
    data, graph = floats(*shape), model(op, shape, constants, attributes)
    (wanted,) = runtimes.load("onnxruntime").build_default(graph.SerializeToString()).run([data])
    (result,) = translate(graph)(torch.from_numpy(data.copy()))
    assert result.shape == wanted.shape
    np.testing.assert_allclose(result.numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_constants_inside_the_graph() -> None:
    graph = model("Reshape", (2, 6), [ints(3, 4)], {})
    tensor = graph.graph.initializer.pop()
    graph.graph.node.insert(0, helper.make_node("Constant", [], ["c0"], value=tensor))
    assert translate(graph)(torch.zeros(2, 6))[0].shape == (3, 4)


@pytest.mark.parametrize(
    ("op", "opset", "named"),
    [("Loop", 17, "Loop"), ("NonZero", 17, "NonZero"), ("Relu", 6, "operator set 6")],
)
def test_what_has_no_translation_is_named(op: str, opset: int, named: str) -> None:
    with pytest.raises(UnsupportedError, match=named):
        translate(model(op, (2, 2), [], {}, opset))


def test_all_missing_operators_are_named_at_once() -> None:
    graph = model("NonZero", (2, 2), [], {})
    graph.graph.node.append(helper.make_node("Unique", ["y"], ["z"]))
    with pytest.raises(UnsupportedError, match="NonZero, Unique"):
        translate(graph)


def test_eager_peer_runs_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    engine = build_eager(model("Relu", (1, 3), [], {}).SerializeToString())
    assert engine.run([np.array([[-1, 0, 2]], np.float32)])[0].tolist() == [[0, 0, 2]]
