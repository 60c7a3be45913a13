"""Which number format a graph computes in by itself."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from chipwise.core.errors import NetworkError
from chipwise.runtimes.formats import declared, own_format, parse


def model(op: str, weight: np.ndarray, *, listed: bool = False) -> onnx.ModelProto:
    kind = helper.np_dtype_to_tensor_dtype(weight.dtype)
    inputs = [helper.make_tensor_value_info("x", kind, ["n", None, 4])]
    if listed:  # graphs before IR version 4 list their weights as inputs
        inputs.append(helper.make_tensor_value_info("w", kind, weight.shape))
    output = helper.make_tensor_value_info("y", kind, ["n", None, 4])
    tensors = [numpy_helper.from_array(weight, "w")]
    return helper.make_model(
        helper.make_graph([helper.make_node(op, ["x", "w"], ["y"])], "g", inputs, [output], tensors)
    )


@pytest.mark.parametrize(
    ("dtype", "op", "wanted"),
    [
        ("float32", "MatMul", "fp32"),
        ("float16", "MatMul", "fp16"),
        ("float64", "MatMul", "fp64"),
        ("float32", "QuantizeLinear", "int8"),
    ],
)
def test_own_format(dtype: str, op: str, wanted: str) -> None:
    assert own_format(model(op, np.zeros((4, 4), dtype)).SerializeToString()) == wanted


def test_the_format_of_most_weights_counts() -> None:
    mixed = model("MatMul", np.zeros((4, 4), np.float16))
    mixed.graph.initializer.append(numpy_helper.from_array(np.zeros(3, np.float32), "scales"))
    assert own_format(mixed.SerializeToString()) == "fp16"


def test_declared_leaves_out_weights_and_names_free_dimensions() -> None:
    inputs, outputs = declared(model("MatMul", np.zeros((4, 4), np.float32), listed=True))
    assert [spec.name for spec in inputs] == ["x"]
    assert inputs[0].shape == ("n", "free_x_1", 4)
    assert outputs[0].dtype == "float32"


@pytest.mark.parametrize("data", [b"", b"not a graph at all", b"\x08\x08"])
def test_what_is_no_graph(data: bytes) -> None:
    with pytest.raises(NetworkError, match=f"{len(data)} bytes"):
        parse(data)


def test_elements_are_those_of_the_graph() -> None:
    graph = model("MatMul", np.zeros((4, 4), np.float32))
    graph.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    assert declared(graph)[0][0].dtype == "int64"
