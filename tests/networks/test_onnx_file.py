"""ONNX files in and out, and the refusal of damaged ones."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from small_graphs import convolution, parsed

from chipwise.core.errors import ChipwiseError, NetworkError
from chipwise.core.task import Preprocess, Task
from chipwise.networks import onnx_file
from chipwise.networks.layers import layer_rows


def refuse(data: bytes, said: str, folder: Path | None = None) -> None:
    started = time.process_time()
    with pytest.raises(NetworkError, match=said) as caught:
        onnx_file.from_bytes(data, "bad", folder=folder)
    assert time.process_time() - started < 1
    assert len(str(caught.value).splitlines()) == 1


def test_serialize_is_deterministic_and_round_trips() -> None:
    network = onnx_file.from_bytes(convolution().SerializeToString(), "net")
    data = onnx_file.serialize(network)
    again = onnx_file.from_bytes(data, "net")
    assert onnx_file.serialize(again) == data
    assert again.digest == network.digest
    assert (again.inputs, again.outputs) == (network.inputs, network.outputs)


def test_shapes_are_inferred() -> None:
    network = onnx_file.from_bytes(convolution().SerializeToString(), "net")
    assert network.graph is not None
    hidden = {value.name: value.shape for node in network.graph.graph for value in node.outputs}
    assert list(hidden["h"])[1:] == [4, 6, 6]


@pytest.mark.parametrize("opset", [7, 9, 13, 18, 21])
def test_operator_sets(opset: int) -> None:
    assert onnx_file.from_bytes(convolution(opset).SerializeToString(), "net").outputs[0].shape == ("batch", 3)


def test_initializers_that_are_inputs_too() -> None:
    model = convolution(7, ir_version=3)
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    network = onnx_file.from_bytes(model.SerializeToString(), "old")
    assert [spec.name for spec in network.inputs] == ["x"]
    kept = onnx.load_model_from_string(onnx_file.serialize(network)).graph.input
    assert [value.name for value in kept] == [value.name for value in model.graph.input], "runtimes fold less then"
    assert layer_rows(network) == layer_rows(onnx_file.from_bytes(convolution(7).SerializeToString(), "old"))


def test_ir_version_1_without_operator_set_or_attribute_types() -> None:
    model = convolution(7, ir_version=3)
    model.ir_version = 1
    del model.opset_import[:]
    for node in model.graph.node:
        for attribute in node.attribute:
            attribute.ClearField("type")
    network = onnx_file.from_bytes(model.SerializeToString(), "old")
    assert network.graph is not None
    assert network.graph.opset_imports[""] == 7


def test_external_data_is_inlined(tmp_path: Path) -> None:
    model = convolution()
    plain = onnx_file.from_bytes(model.SerializeToString(), "net")
    onnx.save(model, tmp_path / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0)
    network = onnx_file.load(tmp_path / "net.onnx")
    assert network.digest == plain.digest
    (tmp_path / "net.data").write_bytes((tmp_path / "net.data").read_bytes()[:-8])
    with pytest.raises(NetworkError, match=r"net\.data"):
        onnx_file.load(tmp_path / "net.onnx")
    (tmp_path / "net.data").unlink()
    with pytest.raises(NetworkError, match="not there"):
        onnx_file.load(tmp_path / "net.onnx")


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "", "a/../../b", "link"])
def test_external_data_outside_the_folder(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "net"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"\0" * 144)
    (folder / "link").symlink_to(tmp_path / "secret")
    model = convolution()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    refuse(model.SerializeToString(), "outside", folder)


def test_task_travels_in_the_file() -> None:
    task = Task(labels=("a", "b", "c"), preprocess=Preprocess(8, 8, mean=(0.5,)))
    network = onnx_file.from_bytes(convolution().SerializeToString(), "net", task=task)
    again = onnx_file.from_bytes(onnx_file.serialize(network, with_task=True), "net")
    assert again.task == task
    assert onnx_file.from_bytes(onnx_file.serialize(network), "net").task.labels == ()


def test_task_is_guessed() -> None:
    network = onnx_file.from_bytes(convolution().SerializeToString(), "net")
    assert network.task.kind == "classification"
    assert network.task.preprocess is not None
    body = "g (float[N, 3] x) => (float[N, 3] y) { y = Relu(x) }"
    assert onnx_file.from_bytes(parsed(body).SerializeToString(), "echo").task.kind == "tensor"


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n" + b"\1" * 64, b"hello", b"\0" * 100])
def test_what_is_no_onnx_file(data: bytes) -> None:
    refuse(data, "empty|not an ONNX|no ONNX graph")


def test_every_truncation_is_refused() -> None:
    data = convolution().SerializeToString()
    for size in range(1, len(data) - 1, 37):
        with pytest.raises(NetworkError):
            onnx_file.from_bytes(data[:size], "cut")


def test_tensor_that_declares_more_than_it_holds() -> None:
    """10^12 elements are refused from the declaration, without room for them."""
    model = convolution()
    model.graph.initializer[0].dims[:] = [10**6, 10**6]
    data = model.SerializeToString()
    tracemalloc.start()
    refuse(data, "1,000,000,000,000 elements")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


@pytest.mark.parametrize("where", ["input", "constant"])
def test_values_of_impossible_size(where: str) -> None:
    if where == "input":
        model = parsed("g (float[1000000, 1000000] x) => (float[1000000, 1000000] y) { y = Relu(x) }")
    else:
        model = parsed(
            "g () => (float[n] y) { s = Constant<value_ints=[1000000000000]>() z = ConstantOfShape(s) y = Relu(z) }"
        )
    refuse(model.SerializeToString(), "1,000,000,000,000")


def test_negative_shape_and_unknown_type() -> None:
    model = convolution()
    model.graph.initializer[0].dims[0] = -4
    refuse(model.SerializeToString(), "shape")
    model = convolution()
    model.graph.initializer[0].data_type = 99
    refuse(model.SerializeToString(), "type|declares")


def test_negative_input_dimension_is_free() -> None:
    model = convolution()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1
    assert onnx_file.from_bytes(model.SerializeToString(), "net").inputs[0].dynamic_batch


def test_versions_from_the_future() -> None:
    model = convolution()
    model.opset_import[0].version = 999
    refuse(model.SerializeToString(), "operator set 999")
    model = convolution()
    model.ir_version = 99
    refuse(model.SerializeToString(), "IR version 99")


def test_graph_that_does_not_hang_together() -> None:
    model = convolution()
    model.graph.node[1].input[0] = "nowhere"
    refuse(model.SerializeToString(), "'nowhere'")
    model = convolution()
    model.graph.output[0].name = "other"
    refuse(model.SerializeToString(), "'other'")
    model = convolution()
    del model.graph.node[1].output[:]
    refuse(model.SerializeToString(), "computes nothing|nothing computed")


def test_deep_nesting_is_refused() -> None:
    inner = helper.make_graph([], "leaf", [], [])
    for _ in range(40):
        node = helper.make_node("If", ["c"], ["o"], then_branch=inner, else_branch=inner)
        inner = helper.make_graph([node], "g", [], [])
        if len(inner.SerializeToString()) > 100_000:
            break
    model = helper.make_model(inner)
    refuse(model.SerializeToString(), "bad")


@pytest.mark.parametrize(("operator", "domain"), [("Frobnicate", ""), ("Relu", "my.domain")])
def test_unknown_operators_are_named(operator: str, domain: str) -> None:
    model = convolution()
    node = model.graph.node[1]
    node.op_type, node.domain = operator, domain
    if domain:
        model.opset_import.add(domain=domain, version=1)
    network = onnx_file.from_bytes(model.SerializeToString(), "net")  # it can still be looked at
    with pytest.raises(NetworkError, match=operator):
        onnx_file.check_runnable(network)


def test_standard_operators_are_runnable() -> None:
    onnx_file.check_runnable(onnx_file.from_bytes(convolution().SerializeToString(), "net"))


def test_too_large_for_one_file(tmp_path: Path) -> None:
    path = tmp_path / "huge.onnx"
    with path.open("wb") as file:
        file.truncate(2**31)  # a hole: takes no disk
    with pytest.raises(NetworkError, match="more than 2,147,483,647 bytes"):
        onnx_file.load(path)


def test_sequences_are_not_supported() -> None:
    graph = helper.make_graph(
        [helper.make_node("SequenceConstruct", ["x"], ["s"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, None)],
    )
    refuse(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString(), "only tensors")


def test_typed_fields_are_measured() -> None:
    model = convolution()
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4, 1, 3, 3], float_data=[1.0] * 35)
    model.graph.initializer[0].CopyFrom(tensor)
    refuse(model.SerializeToString(), "holds 35 values")
    tensor.float_data.append(1.0)
    model.graph.initializer[0].CopyFrom(tensor)
    assert onnx_file.from_bytes(model.SerializeToString(), "net").graph is not None


def test_half_precision_and_packed_types() -> None:
    for value in (np.zeros((3, 5), np.float16), np.zeros((3, 5), np.int8), np.zeros((3, 5), bool)):
        model = convolution()
        model.graph.initializer.append(numpy_helper.from_array(value, "extra"))
        onnx_file.from_bytes(model.SerializeToString(), "net")
    model = convolution()
    model.graph.initializer.append(helper.make_tensor("four", TensorProto.INT4, [5], [1, 2, 3, 4, 5]))
    onnx_file.from_bytes(model.SerializeToString(), "net")


def test_network_without_a_graph_cannot_be_serialized() -> None:
    from chipwise.networks.load import load

    with pytest.raises(ChipwiseError, match="no graph"):
        onnx_file.serialize(load("lenet5"))


def test_a_branch_that_gives_an_outer_value() -> None:
    branches = (
        "then_branch = a () => (float[N, 3] u) { u = Tanh(x) }, else_branch = b () => (float[N, 3] x) { d = Exp(x) }"
    )
    model = parsed(f"g (float[N, 3] x, bool c) => (float[N, 3] y) {{ y = If(c) <{branches}> }}")
    network = onnx_file.from_bytes(model.SerializeToString(), "net")
    assert network.graph is not None
    network.graph.clone()
    feeds = {"x": np.ones((1, 3), np.float32), "c": np.array(False)}
    np.testing.assert_array_equal(ReferenceEvaluator(onnx_file.proto(network)).run(None, feeds)[0], feeds["x"])
