"""What ONNX files hold beside plain layers: functions, branches and loops, half-precision weights; and large files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_graphs import convolution, parsed

from chipwise.core.errors import NetworkError
from chipwise.core.layer import Layer, totals
from chipwise.core.network import Network
from chipwise.networks import onnx_file
from chipwise.networks.layers import layer_rows


def network_of(model: onnx.ModelProto) -> Network:
    return onnx_file.from_bytes(model.SerializeToString(), "net")


def rows_of(model: onnx.ModelProto, batch: int = 1) -> tuple[Layer, ...]:
    return layer_rows(network_of(model), batch)


FUNCTION = """<ir_version: 8, opset_import: ["": 17, "own": 1]>
g (float[N, 4] x) => (float[N, 2] y) <float[4, 2] w = {1,2,3,4,5,6,7,8}> { h = own.twice(x, w) y = Relu(h) }
<opset_import: ["": 17], domain: "own"> twice (a, b) => (c) { m = MatMul(a, b) c = Add(m, m) }"""


def test_functions_are_shown_as_their_layers() -> None:
    network = network_of(onnx.parser.parse_model(FUNCTION))
    onnx_file.check_runnable(network)
    rows = layer_rows(network, 3)
    assert [(row.op, row.activation) for row in rows] == [("MatMul", ""), ("Add", "Relu")]
    assert [row.parameters for row in rows] == [8, 0]
    assert rows[0].flops == 2 * 3 * 4 * 2
    assert rows[0].outputs == ((3, 2),)


def test_a_function_that_calls_itself_is_refused() -> None:
    text = FUNCTION.replace("m = MatMul(a, b) c = Add(m, m)", "c = own.twice(a, b)")
    with pytest.raises(NetworkError, match="must not be recursive"):
        network_of(onnx.parser.parse_model(text))


BRANCH = """g (float[N, 4] x) => (float[N, 2] y) <float[4, 2] w = {1,2,3,4,5,6,7,8}, float z = {0.0}>
{ t = Exp(x) s = ReduceSum<keepdims=0>(t) c = Greater(s, z)
  y = If(c) <then_branch = a () => (float[N, 2] u) { u = MatMul(t, w) },
             else_branch = b () => (float[N, 2] v) { i = MatMul(t, w) v = Neg(i) }> }"""


def test_a_branch_is_one_opaque_row_with_the_weights_inside() -> None:
    rows = rows_of(parsed(BRANCH))
    (branch,) = (row for row in rows if row.op == "If")
    assert not branch.known
    assert branch.parameters == 8
    assert branch.inputs[-1] == (1, 4)
    assert rows[0].name in branch.after
    assert totals(rows).unknown_ops == ("If",)


def test_a_branch_about_shapes_only_is_not_shown() -> None:
    body = """g (float[N, 4] x) => (float[N, 4] y) <int64[1] one = {1}>
    { s = Shape(x) r = Size(s) n = Squeeze(one) c = Equal(r, n)
      t = If(c) <then_branch = a () => (int64[k] u) { u = Identity(s) },
                 else_branch = b () => (int64[k] v) { v = Abs(s) }>
      z = Reshape(x, t) y = Relu(z) }"""
    assert "If" not in [row.op for row in rows_of(parsed(body))]


@pytest.mark.parametrize("operator", ["Loop", "Scan"])
def test_loops_are_opaque_rows(operator: str) -> None:
    weight = numpy_helper.from_array(np.ones((4, 4), np.float32), "w")
    value = helper.make_tensor_value_info
    product = helper.make_node("MatMul", ["s", "w"], ["t"])
    if operator == "Loop":
        ends = [
            value("i", TensorProto.INT64, []),
            value("k", TensorProto.BOOL, []),
            value("s", TensorProto.FLOAT, None),
        ]
        same = helper.make_node("Identity", ["k"], ["o"])
        body = helper.make_graph(
            [product, same], "body", ends, [value("o", TensorProto.BOOL, []), value("t", TensorProto.FLOAT, None)]
        )
        node = helper.make_node("Loop", ["n", "", "x"], ["y"], name="again", body=body)
        constants = [weight, numpy_helper.from_array(np.array(3), "n")]
    else:
        out = helper.make_node("Identity", ["e"], ["p"])
        ends = [value("s", TensorProto.FLOAT, [2, 4]), value("e", TensorProto.FLOAT, [2, 4])]
        body = helper.make_graph(
            [product, out], "body", ends, [value("t", TensorProto.FLOAT, [2, 4]), value("p", TensorProto.FLOAT, [2, 4])]
        )
        node = helper.make_node("Scan", ["x", "q"], ["y", ""], name="again", body=body, num_scan_inputs=1)
        constants = [weight, numpy_helper.from_array(np.ones((3, 2, 4), np.float32), "q")]
    graph = helper.make_graph(
        [node], "g", [value("x", TensorProto.FLOAT, [2, 4])], [value("y", TensorProto.FLOAT, [2, 4])], constants
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (row,) = rows_of(model)
    assert (row.name, row.op, row.known, row.parameters) == ("again", operator, False, 16)


def test_half_precision_weights() -> None:
    model = convolution()
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    full, half = rows_of(convolution()), rows_of(model)
    assert totals(half).parameters == totals(full).parameters
    assert 2 * totals(half).moved_bytes == totals(full).moved_bytes
    assert network_of(model).inputs[0].dtype == "float16"


def test_initializers_that_are_inputs_and_outputs() -> None:
    model = convolution(ir_version=3)
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    assert totals(rows_of(model)) == totals(rows_of(convolution()))


_LOOK = """
import sys, time
start = time.perf_counter()
from chipwise.networks.load import load
from chipwise.networks.layers import layer_rows
from chipwise.core.layer import totals
print(totals(layer_rows(load(sys.argv[1]))).parameters, "torch" in sys.modules)
print(f"{time.perf_counter() - start:.2f} s", file=sys.stderr)
"""


def test_a_file_of_100_mb_is_looked_at_without_torch(tmp_path: Path) -> None:
    """How long it takes is printed, not asserted."""
    nodes, weights, name = [], [], "x"
    for index in range(100):
        weight = TensorProto(name=f"w{index}", dims=[256, 1024], data_type=TensorProto.FLOAT)
        weight.raw_data = bytes(4 * 256 * 1024)
        weights.append(weight)
        nodes.append(
            helper.make_node("MatMul" if index else "Gemm", [name, f"w{index}"], [f"h{index}"], name=f"n{index}")
        )
        nodes.append(helper.make_node("Slice", [f"h{index}", "from", "to", "axis"], [f"s{index}"]))
        name = f"s{index}"
    weights += [numpy_helper.from_array(np.array([n]), key) for key, n in (("from", 0), ("to", 256), ("axis", 1))]
    ends = [helper.make_tensor_value_info(key, TensorProto.FLOAT, ["n", 256]) for key in ("x", name)]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    path = tmp_path / "large.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    assert path.stat().st_size > 100_000_000
    done = subprocess.run([sys.executable, "-c", _LOOK, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(100 * 256 * 1024), "False"]
    print(done.stderr)
