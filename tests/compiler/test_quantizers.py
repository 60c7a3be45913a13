"""Each recipe makes a graph that both runtimes run, near the float one; what is kept stays in float."""

from __future__ import annotations

import logging
import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import TensorProto, helper, numpy_helper
from outliers import outlier_network, pictures

from chipwise import runtimes
from chipwise.compiler import quantizers
from chipwise.compiler.blocks import layers, name_nodes, nodes_of
from chipwise.compiler.opset import quantizable, rounds
from chipwise.compiler.sensitivity import noise
from chipwise.core.device import Machine
from chipwise.core.errors import RuntimeUnavailableError, UnknownNameError
from chipwise.runtimes.engine import EngineOptions

VNNI = Machine(cpu="a", architecture="x86_64", isa=("avx2", "avx512_vnni"), cores=2, logical_cpus=2)
OLD = replace(VNNI, isa=("avx2",))
ARM = replace(VNNI, architecture="aarch64", isa=("asimd",))
STATIC = [name for name, recipe in quantizers.QUANTIZERS.items() if recipe.needs_data]
Q, DQ = "QuantizeLinear", "DequantizeLinear"


@pytest.fixture(scope="module")
def model() -> bytes:
    return outlier_network(1.0)


@pytest.fixture(scope="module")
def calibration() -> np.ndarray:
    return pictures(32, seed=1)[:, None]


def matrices(*, gemm: bool = True, size: int = 96) -> bytes:
    """Two products with a ReLU between, on x [N, size]."""
    rng = np.random.default_rng(0)
    weights = {f"w{n}": rng.normal(size=(size, size)).astype(np.float32) / 10 for n in range(2)}
    weights["b"] = rng.normal(size=size).astype(np.float32)
    if gemm:
        nodes = [helper.make_node("Gemm", ["x", "w0", "b"], ["h"], name="first", transB=1)]
    else:
        nodes = [helper.make_node("MatMul", ["x", "w0"], ["h"], name="first")]
    nodes += [
        helper.make_node("Relu", ["h"], ["r"], name="relu"),
        helper.make_node("MatMul", ["r", "w1"], ["y"], name="second"),
    ]
    graph = helper.make_graph(
        nodes,
        "matrices",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", size])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


def graph_of(model: bytes) -> onnx.GraphProto:
    return onnx.load_model_from_string(model).graph


def makers(model: bytes) -> dict[str, str]:
    """Operator that makes each value."""
    return {output: node.op_type for node in graph_of(model).node for output in node.output}


def reads_int8(model: bytes, name: str) -> bool:
    """True when a node's data and weights both come from DequantizeLinear."""
    (node,) = (node for node in graph_of(model).node if node.name == name)
    made = makers(model)
    return all(made.get(value) == DQ for value in node.input[:2])


def answers(model: bytes, x: np.ndarray, runtime: str = "onnxruntime") -> np.ndarray:
    return runtimes.load(runtime).build(model, EngineOptions(precision="int8")).run([x])[0]


def weights_in(model: bytes) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph_of(model).initializer}


@pytest.mark.runtime
@pytest.mark.parametrize("name", STATIC)
def test_every_recipe_runs_on_both_runtimes_near_the_float_graph(
    name: str, model: bytes, calibration: np.ndarray
) -> None:
    if quantizers.QUANTIZERS[name].library:
        pytest.importorskip(quantizers.QUANTIZERS[name].library)
    made = quantizers.quantize(name, model, calibration, VNNI)
    onnx.checker.check_model(made)
    if name in ("onnxruntime", "nncf"):  # the same bytes each time
        assert made == quantizers.quantize(name, model, calibration, VNNI)
    assert all(reads_int8(made, f"conv{number}") for number in range(1, 5))
    x = pictures(64, seed=2)
    want = answers(model, x)
    assert 0 < noise([want], [answers(made, x)]) < 0.01
    assert 0 < noise([want], [answers(made, x, "openvino")]) < 0.01


@pytest.mark.parametrize("name", ["onnxruntime", pytest.param("nncf", marks=pytest.mark.runtime)])
def test_kept_layers_stay_in_float_with_what_follows_them(name: str, model: bytes, calibration: np.ndarray) -> None:
    pytest.importorskip(quantizers.QUANTIZERS[name].library or "onnxruntime")
    made = quantizers.quantize(name, model, calibration, VNNI, keep=("conv1", "fc"))
    assert [reads_int8(made, layer) for layer in ("conv0", "conv1", "conv2", "fc")] == [True, False, True, False]
    source, kept = weights_in(model), weights_in(made)
    np.testing.assert_array_equal(source["w1"], kept["w1"])
    assert "w2" not in kept
    assert {"relu1", "flatten"} <= {node.name for node in graph_of(made).node}  # not merged into a rounding


@pytest.mark.parametrize("name", ["onnxruntime", "weights-int8"])
def test_a_layer_that_does_not_exist_cannot_be_kept(name: str, model: bytes, calibration: np.ndarray) -> None:
    with pytest.raises(UnknownNameError, match="conv9"):
        quantizers.quantize(name, model, calibration, VNNI, keep=("conv9",))


def test_scales_are_per_channel_unless_asked_otherwise(model: bytes, calibration: np.ndarray) -> None:
    shapes = {}
    for name in ("onnxruntime", "onnxruntime-per-tensor"):
        made = quantizers.quantize(name, model, calibration, VNNI)
        shapes[name] = weights_in(made)["w1_scale"].shape
    assert shapes == {"onnxruntime": (8,), "onnxruntime-per-tensor": ()}


def test_signedness_and_zero_points(model: bytes, calibration: np.ndarray) -> None:
    for name, dtype in (("onnxruntime", np.uint8), ("onnxruntime-s8s8", np.int8)):
        zero = weights_in(quantizers.quantize(name, model, calibration, VNNI))["x_zero_point"]
        assert zero.dtype == dtype
        assert bool(zero) == (name == "onnxruntime")


@pytest.mark.parametrize("name", ["onnxruntime", pytest.param("nncf", marks=pytest.mark.runtime)])
def test_weights_keep_seven_bits_without_vnni(name: str, model: bytes, calibration: np.ndarray) -> None:
    pytest.importorskip(quantizers.QUANTIZERS[name].library or "onnxruntime")
    largest = {}
    for kind, machine in {"vnni": VNNI, "old": OLD, "arm": ARM}.items():
        arrays = weights_in(quantizers.quantize(name, model, calibration, machine)).values()
        largest[kind] = max(int(np.abs(array.astype(int)).max()) for array in arrays if array.ndim == 4)
    assert largest["old"] <= 64
    assert min(largest["vnni"], largest["arm"]) >= 127


def test_answers_are_not_rounded(model: bytes, calibration: np.ndarray) -> None:
    made = quantizers.quantize("onnxruntime", model, calibration, VNNI)
    assert makers(made)["y"] == "Gemm"
    assert reads_int8(made, "fc")
    assert len(np.unique(answers(made, pictures(64, seed=2)))) > 256


def test_calibration_is_done_once_for_many_graphs(model: bytes, calibration: np.ndarray) -> None:
    prepared = quantizers.prepare("onnxruntime", model, calibration, VNNI)
    for keep in ((), ("conv2",), ("conv0", "fc")):
        assert prepared(keep) == quantizers.quantize("onnxruntime", model, calibration, VNNI, keep)


def test_nodes_without_names_are_kept_by_the_names_they_are_given(calibration: np.ndarray) -> None:
    model = outlier_network(1.0, named=False)
    names = list(layers(quantizable(model)))
    assert names[:2] == ["Conv_0", "Conv_2"]
    made = quantizers.quantize("onnxruntime", model, calibration, VNNI, keep=("Conv_2",))
    assert reads_int8(made, "Conv_0")
    assert not reads_int8(made, "Conv_2")


def test_a_graph_with_two_inputs(calibration: np.ndarray) -> None:
    pair = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in ("a", "b")]
    nodes = [
        helper.make_node("Add", ["a", "b"], ["sum"], name="add"),
        helper.make_node("MatMul", ["sum", "w"], ["y"], name="product"),
    ]
    weight = numpy_helper.from_array(np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32), "w")
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])
    graph = helper.make_graph(nodes, "pair", pair, [output], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    rng = np.random.default_rng(1)
    samples = (rng.normal(size=(16, 1, 4)).astype(np.float32), 10 * rng.normal(size=(16, 1, 4)).astype(np.float32))
    made = quantizers.quantize("onnxruntime", model, samples, VNNI)
    scales = weights_in(made)
    assert scales["b_scale"] > 3 * scales["a_scale"]
    engine = runtimes.load("onnxruntime").build(made, EngineOptions(precision="int8"))
    a, b = samples[0][:, 0], samples[1][:, 0]
    want = (a + b) @ numpy_helper.to_array(weight)
    assert noise([want], [engine.run([a, b])[0]]) < 0.01


def test_layers_own_what_follows_and_the_first_what_comes_before() -> None:
    nodes = [
        helper.make_node("Neg", ["x"], ["n"], name="neg"),
        helper.make_node("MatMul", ["n", "w"], ["a"], name="left"),
        helper.make_node("MatMul", ["n", "w"], ["b"], name="right"),
        helper.make_node("Relu", ["a"], ["r"], name="relu"),
        helper.make_node("Add", ["r", "b"], ["y"]),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 2]) for name in ("x", "y")]
    weight = numpy_helper.from_array(np.eye(2, dtype=np.float32), "w")
    proto = helper.make_model(helper.make_graph(nodes, "g", values[:1], values[1:], [weight]))
    name_nodes(proto)
    assert layers(proto) == {"left": ("left", "relu", "neg"), "right": ("right", "Add_4")}
    assert nodes_of(proto, ["relu", "right"]) == ("relu", "right", "Add_4")


@pytest.mark.runtime
@pytest.mark.parametrize("gemm", [True, False])
@pytest.mark.parametrize(("name", "most"), [("weights-int8", 1e-3), ("weights-int4", 2e-2)])
def test_weights_alone_on_both_runtimes(name: str, most: float, gemm: bool) -> None:
    model = matrices(gemm=gemm)
    made = quantizers.quantize(name, model, None, VNNI)
    onnx.checker.check_model(made)
    assert [node.op_type for node in graph_of(made).node].count("MatMulNBits") == 2
    assert len(made) < len(model) * (0.4 if name == "weights-int8" else 0.25)
    x = np.random.default_rng(3).normal(size=(5, 96)).astype(np.float32)
    want = answers(model, x)
    assert 0 < noise([want], [answers(made, x)]) < most
    assert 0 < noise([want], [answers(made, x, "openvino")]) < most


def test_kept_and_small_matrices_keep_their_weights() -> None:
    made = quantizers.quantize("weights-int4", matrices(), None, VNNI, keep=("first",))
    assert [node.op_type for node in graph_of(made).node] == ["Gemm", "Relu", "MatMulNBits"]
    with pytest.raises(RuntimeUnavailableError, match="4096"):
        quantizers.quantize("weights-int4", matrices(size=32), None, VNNI)


def test_two_products_of_one_matrix() -> None:
    proto = onnx.load_model_from_string(matrices(gemm=False))
    proto.graph.node[2].input[1] = "w0"
    made = quantizers.quantize("weights-int8", proto.SerializeToString(), None, VNNI)
    x = np.random.default_rng(3).normal(size=(5, 96)).astype(np.float32)
    assert noise([answers(proto.SerializeToString(), x)], [answers(made, x)]) < 1e-3


@pytest.mark.runtime
def test_depthwise_convolutions_read_one_scale(model: bytes, calibration: np.ndarray) -> None:
    """Of several, which NNCF gives them unless told otherwise, ONNX Runtime has no int8 kernel."""
    pytest.importorskip("nncf")
    proto = onnx.load_model_from_string(model)
    weight = next(tensor for tensor in proto.graph.initializer if tensor.name == "w2")
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight)[:, :1].copy(), "w2"))
    next(node for node in proto.graph.node if node.name == "conv2").attribute.append(helper.make_attribute("group", 8))
    made = quantizers.quantize("nncf", proto.SerializeToString(), calibration, VNNI)
    assert reads_int8(made, "conv2")
    scales = [weights_in(made)[node.input[1]] for node in graph_of(made).node if node.op_type == Q]
    assert scales
    assert {scale.size for scale in scales} == {1}


def dense_block() -> bytes:
    """What a layer of a DenseNet makes of its input is joined to it, and a norm reads both."""
    rng, weights = np.random.default_rng(0), {}
    for name, shape in (("a", (16, 8, 1, 1)), ("b", (8, 16, 3, 3)), ("c", (8, 16, 1, 1)), ("first", (8, 3, 3, 3))):
        weights[name] = (rng.normal(size=shape) * 0.2).astype(np.float32)
    for name, size in (("n8", 8), ("n16", 16)):
        weights |= {f"{name}_{part}": rng.uniform(0.5, 1.5, size).astype(np.float32) for part in "sbmv"}
    proto = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["": 17]>
      dense (float[1,3,16,16] x) => (float[1,8,16,16] y) {
        f = Conv <pads = [1,1,1,1]> (x, first)  r0 = Relu (f)
        n1 = BatchNormalization (r0, n8_s, n8_b, n8_m, n8_v)  r1 = Relu (n1)  c1 = Conv (r1, a)  r2 = Relu (c1)
        c2 = Conv <pads = [1,1,1,1]> (r2, b)  joined = Concat <axis = 1> (r0, c2)
        n2 = BatchNormalization (joined, n16_s, n16_b, n16_m, n16_v)  r3 = Relu (n2)  y = Conv (r3, c) }""")
    proto.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in weights.items())
    return bytes(proto.SerializeToString())


def test_norms_read_what_was_not_rounded() -> None:
    """OpenVINO ends the process where a norm reads a rounded concatenation."""
    pytest.importorskip("openvino")
    model, inputs = dense_block(), np.random.default_rng(1).random((4, 1, 3, 16, 16), np.float32)
    made = quantizers.quantize("onnxruntime", model, inputs, VNNI)
    graph = graph_of(made)
    norms = [node for node in graph.node if node.op_type == "BatchNormalization"]
    assert norms
    assert not {makers(made)[node.input[0]] for node in norms} & {"DequantizeLinear"}
    read = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    assert {node.output[0] for node in graph.node} <= read
    for runtime in ("onnxruntime", "openvino"):
        exact = answers(model, inputs[0], runtime)
        error = np.abs(answers(made, inputs[0], runtime) - exact).max()
        assert error < 0.2 * np.abs(exact).max()  # three layers in a row in 8 bits


def test_weights_that_are_stored_in_8_bits_are_quantized_too(model: bytes, calibration: np.ndarray) -> None:
    """Networks converted from TensorFlow Lite come so: the weights' rounding is theirs, activations are float."""
    proto = onnx.load_model_from_string(model)
    weight = next(tensor for tensor in proto.graph.initializer if tensor.name == "w1")
    stored = np.round(numpy_helper.to_array(weight) / 0.01).astype(np.int8)
    weight.CopyFrom(numpy_helper.from_array(stored, "w1"))
    proto.graph.initializer.append(numpy_helper.from_array(np.float32(0.01), "scale"))
    proto.graph.node.insert(0, helper.make_node(DQ, ["w1", "scale"], ["unpacked"]))
    next(node for node in proto.graph.node if node.name == "conv1").input[1] = "unpacked"
    packed = proto.SerializeToString()
    assert quantizers.weights_of(packed) == quantizers.weights_of(model)
    x = pictures(64, seed=2)
    for keep in ((), ("conv1",)):
        made = quantizers.quantize("onnxruntime", packed, calibration, VNNI, keep)
        assert reads_int8(made, "conv1") == (not keep)
        assert weights_in(made)["unpacked_quantized" if not keep else "unpacked"].shape == (8, 8, 3, 3)
        assert noise([answers(packed, x)], [answers(made, x)]) < 0.01


def test_importing_a_quantizer_leaves_logging_alone() -> None:
    script = "import logging, chipwise.compiler.quantize_weights; print(logging.root.handlers, logging.root.level)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", str(logging.WARNING)]


def test_usable_recipes_by_machine_data_and_network() -> None:
    plain = quantizers.Weights(convolutions=10**6, matrices=10**4, layers=20)
    heavy = quantizers.Weights(convolutions=0, matrices=10**8, layers=3)
    assert quantizers.usable(VNNI, True, plain)[0] == "onnxruntime"
    assert quantizers.usable(ARM, True, plain)[0] == "onnxruntime-s8s8"
    assert quantizers.usable(OLD, True, plain)[-2:] == ("onnxruntime-per-tensor", "onnxruntime-s8s8")
    assert quantizers.usable(VNNI, True, heavy)[:2] == ("weights-int8", "weights-int4")
    assert quantizers.usable(VNNI, False, heavy) == ("weights-int8", "weights-int4")
    assert quantizers.usable(VNNI, False, plain) == ()
    assert quantizers.usable(VNNI, True, quantizers.Weights(0, 0, 0)) == ()


def test_libraries_that_are_missing_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantizers.importlib.util, "find_spec", lambda name: None)
    names = quantizers.usable(VNNI, True, quantizers.Weights(10**6, 0, 9))
    assert names == ("onnxruntime", "onnxruntime-percentile", "onnxruntime-per-tensor")


def test_weights_are_counted(model: bytes) -> None:
    assert quantizers.weights_of(model) == quantizers.Weights(8 * 3 * 9 + 4 * 8 * 8 * 9, 80, 6)
    assert quantizers.weights_of(matrices()) == quantizers.Weights(0, 2 * 96 * 96, 2)


def test_refusals(model: bytes) -> None:
    with pytest.raises(UnknownNameError, match="gptq"):
        quantizers.quantize("gptq", model, None, VNNI)
    with pytest.raises(RuntimeUnavailableError, match="calibration"):
        quantizers.quantize("onnxruntime", model, None, VNNI)
    with pytest.raises(RuntimeUnavailableError, match="ONNX Runtime's quantizer refuses this graph"):
        quantizers.quantize("onnxruntime", model, np.zeros((4, 1, 1, 8, 8), np.float32), VNNI)  # one channel for three


def test_stored_weights_alone_are_no_rounding() -> None:
    head = (
        '<ir_version: 8, opset_import: ["": 17]> g (float[N, 4] x, float s, int8 z, int8[4, 2] q) => (float[N, 2] y) {'
    )
    stored = onnx.parser.parse_model(f"{head} w = DequantizeLinear(q, s, z)  y = MatMul(x, w) }}")
    whole = onnx.parser.parse_model(
        f"{head} w = DequantizeLinear(q, s, z)  r = QuantizeLinear(x, s, z)  a = DequantizeLinear(r, s, z)"
        "  y = MatMul(a, w) }"
    )
    assert not rounds(stored.SerializeToString())
    assert rounds(whole.SerializeToString())
