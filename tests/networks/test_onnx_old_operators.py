"""What old operators meant, as numbers that were computed by hand in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from chipwise.core.errors import NetworkError
from chipwise.core.network import Network
from chipwise.networks import onnx_file

pytestmark = pytest.mark.runtime

Array = NDArray[Any]
X = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
B = np.array([1.0, 2.0, 4.0], np.float32)


def model_of(nodes: list[Any], opset: int, weights: dict[str, Array] | None = None) -> ModelProto:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy"]
    ends[0] = helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)
    held = [numpy_helper.from_array(value, key) for key, value in (weights or {}).items()]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=3)


def result(nodes: list[Any], opset: int, weights: dict[str, Array] | None = None) -> Array:
    network = onnx_file.from_bytes(model_of(nodes, opset, weights).SerializeToString(), "old")
    onnx_file.check_runnable(network)
    given = run(network, x=X)
    assert network.outputs[0].shape in ((), given.shape)
    return given


def run(network: Network, **feeds: Array) -> Array:
    session = ort.InferenceSession(onnx_file.serialize(network), providers=["CPUExecutionProvider"])
    given: Array = session.run(None, feeds)[0]
    return given


def node(operator: str, *inputs: str, **attributes: Any) -> Any:
    return helper.make_node(operator, ["x", *inputs], ["y"], name="n", **attributes)


@pytest.mark.parametrize(
    ("operator", "attributes", "expected"),
    [
        ("Affine", {"alpha": 2.0, "beta": 0.5}, lambda x: 2 * x + 0.5),
        ("Affine", {}, lambda x: x),
        (
            "ImageScaler",
            {"scale": 2.0, "bias": [1.0, 2.0, 3.0]},
            lambda x: 2 * x + np.array([1, 2, 3]).reshape(3, 1, 1),
        ),
        ("ParametricSoftplus", {"alpha": 2.0, "beta": 0.5}, lambda x: 2 * np.log(1 + np.exp(0.5 * x))),
        ("ScaledTanh", {"alpha": 2.0, "beta": 0.5}, lambda x: 2 * np.tanh(0.5 * x)),
        ("Scale", {"scale": 3.0}, lambda x: 3 * x),
        ("ThresholdedRelu", {"alpha": 0.5}, lambda x: np.where(x > 0.5, x, 0)),
        ("Crop", {"border": [1, 2, 0, 1]}, lambda x: x[:, :, 2:3, 1:]),
        ("Crop", {"border": [1, 0, 0, 0], "scale": [2, 3]}, lambda x: x[:, :, :2, 1:4]),
    ],
)
@pytest.mark.parametrize("opset", [1, 7, 9, 11, 13])
def test_experimental_operators(
    operator: str, attributes: dict[str, Any], expected: Callable[[Array], Array], opset: int
) -> None:
    np.testing.assert_allclose(result([node(operator, **attributes)], opset), expected(X), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("opset", [1, 6])
@pytest.mark.parametrize(
    ("attributes", "operand", "shape"),
    [
        ({"broadcast": 1, "axis": 1}, B, (3, 1, 1)),
        ({"broadcast": 1, "axis": -3}, B, (3, 1, 1)),
        ({"broadcast": 1, "axis": 0}, X[:, :, 0, 0].copy(), (2, 3, 1, 1)),
        ({"broadcast": 1}, X[0, 0, 0].copy(), (5,)),
        ({"broadcast": 1, "axis": 3}, X[0, 0, 0].copy(), (5,)),
        ({}, X, X.shape),
    ],
)
def test_broadcasting_along_an_axis(opset: int, attributes: dict[str, int], operand: Array, shape: Any) -> None:
    for operator, expected in (("Add", np.add), ("Mul", np.multiply), ("Sub", np.subtract), ("Div", np.divide)):
        given = result([node(operator, "b", **attributes)], opset, {"b": operand})
        np.testing.assert_allclose(given, expected(X, operand.reshape(shape)), rtol=1e-6)


def test_the_axis_of_a_constant_and_of_a_chain() -> None:
    """The second sum's rank is known only once the first is."""
    nodes = [
        helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(B)),
        helper.make_node("Add", ["x", "c"], ["h"], broadcast=1, axis=1),
        helper.make_node("Mul", ["h", "c"], ["y"], broadcast=1, axis=1),
    ]
    wide = B.reshape(3, 1, 1)
    np.testing.assert_allclose(result(nodes, 1), (X + wide) * wide, rtol=1e-6)


def test_an_operand_that_is_an_input_is_widened() -> None:
    model = model_of([node("Add", "b", broadcast=1, axis=1)], 6)
    model.graph.input.append(helper.make_tensor_value_info("b", TensorProto.FLOAT, [3]))
    network = onnx_file.from_bytes(model.SerializeToString(), "old")
    given = run(network, x=X, b=B)
    np.testing.assert_allclose(given, X + B.reshape(3, 1, 1))


def test_attributes_that_became_inputs_or_went_away() -> None:
    np.testing.assert_array_equal(result([node("Reshape", shape=[2, -1])], 1), X.reshape(2, -1))
    np.testing.assert_array_equal(result([node("Relu", consumed_inputs=[0])], 1), np.maximum(X, 0))
    np.testing.assert_array_equal(result([node("Dropout", is_test=1)], 6), X)
    whole = [helper.make_node("Cast", ["x"], ["i"], to="INT32"), helper.make_node("Cast", ["i"], ["y"], to="FLOAT")]
    np.testing.assert_array_equal(result(whole, 1), X.astype(np.int32))
    np.testing.assert_array_equal(result([node("Concat", "x")], 1), np.concatenate((X, X), 1))
    pads = [0, 0, 1, 0, 0, 0, 0, 2]
    np.testing.assert_array_equal(result([node("Pad", paddings=pads)], 1), np.pad(X, ((0, 0), (0, 0), (1, 0), (0, 2))))
    slope = result([node("PRelu", "s")], 6, {"s": B})
    np.testing.assert_allclose(slope, np.where(X > 0, X, X * B.reshape(3, 1, 1)), rtol=1e-6)
    larger = result([node("Upsample", width_scale=2.0, height_scale=3.0, mode="nearest")], 1)
    np.testing.assert_array_equal(larger, X.repeat(3, 2).repeat(2, 3))


def test_normalization_and_products_of_old() -> None:
    statistics = {"s": B, "b": -B, "m": B / 2, "v": B}
    nodes = [
        helper.make_node(
            "BatchNormalization", ["x", *statistics], ["y", "m2", "v2", "m3", "v3"],
            is_test=1, spatial=1, epsilon=1e-5, consumed_inputs=[0, 0, 0, 1, 1],
        )
    ]  # fmt: skip
    s, b, m, v = (value.reshape(3, 1, 1) for value in statistics.values())
    np.testing.assert_allclose(result(nodes, 1, statistics), s * (X - m) / np.sqrt(v + 1e-5) + b, rtol=1e-4, atol=1e-5)
    dense = [
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("Gemm", ["f", "w", "b"], ["y"], broadcast=1, transB=1),
    ]
    w = np.ones((3, 60), np.float32)
    np.testing.assert_allclose(result(dense, 6, {"w": w, "b": B}), X.reshape(2, 60) @ w.T + B, rtol=1e-5)


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (node("Cast", to="FLOOT"), "casts to 'FLOOT'"),
        (node("Add", "b", broadcast=1, axis=9), "lays 1 axes from axis 9 of 4"),
        (node("Crop", border=[1]), "has the border"),
        (node("Tile", "b", "b"), "repeats along one axis"),
        (node("Add", "b", broadcast=1, axis="one"), "cannot be read|axis"),
    ],
)
def test_what_cannot_be_rewritten_is_named(made: Any, says: str) -> None:
    with pytest.raises(NetworkError, match=says) as caught:
        onnx_file.from_bytes(model_of([made], 1, {"b": B}).SerializeToString(), "old")
    assert "\n" not in str(caught.value)


def test_half_precision_stays_half() -> None:
    model = model_of([node("Affine", alpha=2.0)], 7)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    network = onnx_file.from_bytes(model.SerializeToString(), "old")
    assert network.outputs[0].dtype == "float16"
    assert run(network, x=X.astype(np.float16)).dtype == np.float16
