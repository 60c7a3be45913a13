"""Layer rows: from torch sources, from ONNX graphs, and the ones that ship with the zoo."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from small_graphs import convolution, parsed

from chipwise.core.errors import NetworkError
from chipwise.core.layer import totals
from chipwise.core.network import Network
from chipwise.networks import onnx_file
from chipwise.networks.layers import fixed_batch, layer_rows, shipped_rows
from chipwise.networks.load import load, with_classes
from chipwise.networks.zoo import ZOO

# Parameters by row; ../shared/reference/published.md has those of lenet5-keras and the totals.
PUBLISHED = {
    "lenet5": ((156, 12, 1516, 32, 48120, 0, 10164, 0), 60_000),
    "lenet5-keras": ((60, 0, 880, 0, 0, 69240, 10164, 850), 81_194),
    "lenet5-caffe": ((520, 0, 25050, 0, 0, 400500, 5010), 431_080),
    "lenet-300-100": ((235500, 30100, 1010), 266_610),
    "mlp-4096": ((3_215_360, 16_781_312, 40_970), 20_037_642),
}


def network_of(model: onnx.ModelProto) -> Network:
    return onnx_file.from_bytes(model.SerializeToString(), "net")


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_parameters(name: str) -> None:
    rows = layer_rows(load(name))
    assert tuple(row.parameters for row in rows) == PUBLISHED[name][0]
    assert totals(rows).parameters == PUBLISHED[name][1]
    assert totals(rows).unknown_ops == ()


def test_lenet5_rows() -> None:
    """Shapes of figure 2 of the paper."""
    rows = layer_rows(load("lenet5"), 1)
    assert [row.outputs[0][1:] for row in rows] == [
        (6, 28, 28),
        (6, 14, 14),
        (16, 10, 10),
        (16, 5, 5),
        (120, 1, 1),
        (120,),
        (84,),
        (10,),
    ]
    assert [row.activation for row in rows] == ["Tanh"] * 5 + ["", "Tanh", ""]


def test_rows_scale_with_the_batch() -> None:
    one, eight = (layer_rows(load("lenet5-keras"), batch)[0] for batch in (1, 8))
    assert eight.inputs == ((8, 1, 32, 32),)
    assert eight.flops == 8 * one.flops
    assert eight.write_bytes == 8 * one.write_bytes
    assert eight.read_bytes == one.read_bytes + 7 * 32 * 32 * 4  # weights are read once
    assert eight.saved_bytes is not None


@pytest.mark.parametrize("name", ZOO)
def test_shipped_rows_are_of_this_code(name: str) -> None:
    """`python -m chipwise.networks.zoo_rows` mends this."""
    assert shipped_rows(load(name)) is not None


def test_rows_of_another_entry_are_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = ZOO["lenet5"]
    other = replace(entry, inputs=(replace(entry.inputs[0], shape=("batch", 1, 36, 36)),))
    monkeypatch.setitem(ZOO, "lenet5", other)
    assert shipped_rows(load("lenet5")) is None
    monkeypatch.setitem(ZOO, "lenet5", replace(entry, arguments={**entry.arguments, "num_classes": 11}))
    assert shipped_rows(load("lenet5")) is None


@pytest.mark.runtime
@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_shipped_rows_have_not_drifted(name: str) -> None:
    """As above; and a new version of torch may trace otherwise."""
    from chipwise.networks.zoo_rows import build

    assert shipped_rows(load(name)) == build(name)


@pytest.mark.runtime
@pytest.mark.parametrize("name", ["lenet5-keras", "lenet5-caffe", "lenet-300-100", "convnet-small"])
def test_source_and_exported_graph_agree(name: str) -> None:
    from chipwise.networks.export import with_graph

    network = load(name)
    graph = replace(with_graph(network), source=None)
    source_rows = [row for row in layer_rows(network, 3) if row.flops]
    graph_rows = [row for row in layer_rows(graph, 3) if row.flops]
    for key in ("op", "parameters", "flops", "activation", "outputs", "read_bytes", "write_bytes"):
        assert [getattr(row, key) for row in graph_rows] == [getattr(row, key) for row in source_rows], key


@pytest.mark.runtime
def test_other_classes_are_traced_and_cached() -> None:
    network = with_classes(load("lenet5-caffe"), 7)
    assert layer_rows(network)[-1].parameters == 7 * 501
    assert layer_rows(network) == layer_rows(network)


@pytest.mark.runtime
def test_functions_outside_modules_get_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_for_rows.py").write_text(
        "import torch\n"
        "class Block(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.conv = torch.nn.Conv2d(2, 2, 3, padding=1)\n"
        "        self.drop = torch.nn.Dropout()\n"
        "        self.scale = torch.nn.Parameter(torch.ones(2, 1, 1))\n"
        "    def forward(self, x):\n"
        "        y = torch.relu(self.conv(x))\n"
        "        y = torch.sigmoid(self.conv(y) * self.scale + y)\n"
        "        return torch.flatten(self.drop(y), 1)\n"
    )
    monkeypatch.chdir(tmp_path)
    rows = layer_rows(load("mine_for_rows:Block", input_shape=(2, 4, 4)))
    assert [row.op for row in rows] == ["Conv", "Conv", "Mul", "Add", "Reshape"]
    assert [row.parameters for row in rows] == [38, 0, 2, 0, 0]  # shared weights count once
    assert [row.activation for row in rows] == ["Relu", "", "", "Sigmoid", ""]
    assert len({row.name for row in rows}) == 5


@pytest.mark.runtime
def test_a_window_has_one_value_per_axis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "windows_of_mine.py").write_text(
        "from torch import nn\n"
        "def line(): return nn.Sequential(nn.MaxPool1d(3, 2), nn.Conv1d(2, 2, 5))\n"
        "def plane(): return nn.Sequential(nn.MaxPool2d(3, 2), nn.AvgPool2d((2, 1)))\n"
        "def space(): return nn.Sequential(nn.MaxPool3d(3, 2))\n"
    )
    monkeypatch.chdir(tmp_path)

    def windows(name: str, shape: tuple[int, ...]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        return [(row.kernel, row.stride) for row in layer_rows(load(f"windows_of_mine:{name}", input_shape=shape))]

    assert windows("line", (2, 16)) == [((3,), (2,)), ((5,), (1,))]
    assert windows("plane", (2, 9, 9)) == [((3, 3), (2, 2)), ((2, 1), (2, 1))]
    assert windows("space", (2, 9, 9, 9)) == [((3, 3, 3), (2, 2, 2))]


def test_rows_of_a_graph() -> None:
    rows = layer_rows(network_of(convolution()), 2)
    assert [(row.op, row.parameters, row.activation) for row in rows] == [
        ("Conv", 40, "Relu"),
        ("Flatten", 0, ""),
        ("Gemm", 435, ""),
    ]
    assert rows[0].outputs == ((2, 4, 6, 6),)
    assert rows[0].flops == 2 * 144 * 19 + 2 * 144
    assert rows[0].read_bytes == 4 * (2 * 64 + 40)


def test_activation_with_two_readers_has_its_own_row() -> None:
    body = "g (float[1, 3] x) => (float[1, 3] y) { a = Neg(x) b = Sigmoid(a) y = Add(a, b) }"
    assert [row.op for row in layer_rows(network_of(parsed(body)))] == ["Neg", "Sigmoid", "Add"]


@pytest.mark.parametrize("product", ["Mul(a, b)", "Mul(b, a)"])
def test_silu_is_one_activation(product: str) -> None:
    body = f"g (float[1, 3] x) => (float[1, 3] y) {{ a = Neg(x) b = Sigmoid(a) y = {product} }}"
    rows = layer_rows(network_of(parsed(body)))
    assert [(row.op, row.activation, row.flops) for row in rows] == [("Neg", "Swish", 6)]


@pytest.mark.parametrize("body", ["b = Sigmoid(a) c = Mul(a, b) y = Add(b, c)", "b = Sigmoid(a) y = Mul(x, b)"])
def test_a_sigmoid_read_by_others_stays(body: str) -> None:
    rows = layer_rows(network_of(parsed(f"g (float[1, 3] x) => (float[1, 3] y) {{ a = Neg(x) {body} }}")))
    assert "Sigmoid" in {row.op for row in rows} | {row.activation for row in rows}
    assert "Mul" in {row.op for row in rows}


def test_a_look_up_reads_what_it_gives() -> None:
    body = "g (int64[N] i) => (float[N, 8] y) <float[100, 8] t = {"
    graph = parsed(f"{body}{', '.join(['0.5'] * 800)}}}> {{ y = Gather(t, i) }}")
    (row,) = layer_rows(network_of(graph), 2)
    assert (row.parameters, row.flops, row.read_bytes, row.write_bytes) == (800, 0, 16 + 64, 64)


def test_shape_arithmetic_is_not_shown() -> None:
    body = """g (float[N, 2, 3] x) => (float[N, k] y)
    { s = Shape(x) i = Constant<value_ints=[0]>() n = Gather(s, i) m = Constant<value_ints=[-1]>()
      t = Concat<axis=0>(n, m) d = Dropout(x) y = Reshape(d, t) }"""
    rows = layer_rows(network_of(parsed(body)), 5)
    assert [(row.op, row.outputs) for row in rows] == [("Reshape", ((5, 6),))]


def test_batch_norm_statistics_are_not_trained() -> None:
    body = """g (float[1, 2, 3] x) => (float[1, 2, 3] y)
    <float[2] s = {1, 1}, float[2] b = {0, 0}, float[2] m = {0, 0}, float[2] v = {1, 1}>
    { y = BatchNormalization(x, s, b, m, v) }"""
    assert layer_rows(network_of(parsed(body)))[0].parameters == 4


def test_quantized_weights_count_where_they_are_used() -> None:
    model = convolution()
    weight = numpy_helper.to_array(model.graph.initializer[0])
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight.astype("int8"), "w8"))
    model.graph.initializer.append(numpy_helper.from_array(weight.max().reshape(()), "scale"))
    model.graph.node.insert(0, helper.make_node("DequantizeLinear", ["w8", "scale"], ["w"]))
    rows = layer_rows(network_of(model))
    assert (rows[0].op, rows[0].parameters) == ("Conv", 40)
    assert rows[0].read_bytes == 4 * 64 + 36 + 4 * 4  # one byte a weight


def test_unknown_operator_is_listed_as_unknown() -> None:
    model = convolution()
    model.graph.node[1].op_type = "Frobnicate"
    rows = layer_rows(network_of(model))
    assert not rows[1].known
    assert "Frobnicate" in totals(rows).unknown_ops


@pytest.mark.parametrize("batch", [0, 2**24 + 1, 10**20])
def test_batches_that_no_graph_can_have(batch: int) -> None:
    for network in (network_of(convolution()), load("lenet5")):
        with pytest.raises(NetworkError, match=f"a batch of {batch} cannot be described"):
            layer_rows(network, batch)
    assert layer_rows(network_of(convolution()), 2**24)[0].outputs[0][0] == 2**24


def test_fixed_batch() -> None:
    model = convolution()
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 4
    network = network_of(model)
    assert fixed_batch(network) == 4
    assert layer_rows(network)[0].outputs == ((4, 4, 6, 6),)
    with pytest.raises(NetworkError, match="fixed batch of 4"):
        layer_rows(network, 3)
    with pytest.raises(NetworkError, match="a batch of 0 cannot"):
        layer_rows(network, 0)


def test_unnamed_nodes_get_unique_names() -> None:
    model = convolution()
    for node in model.graph.node:
        node.name = "same"
    assert len({row.name for row in layer_rows(network_of(model))}) == 3


@pytest.mark.shared
def test_published_totals_of_real_files(shared_data: Path) -> None:
    files = {"squeezenet_v1.0_deepcompressed_fp32": 1_248_424}
    for name, parameters in files.items():
        network = load(str(shared_data / "imagenet" / "models" / f"derived_{name}.onnx"))
        assert totals(layer_rows(network)).parameters == parameters
    old = load(str(shared_data / "imagenet" / "models" / "squeezenet_fp16.onnx"))
    assert totals(layer_rows(old)).parameters == 1_235_496


def test_arithmetic_of_the_oldest_operator_sets() -> None:
    """Operator set 1 adds along a named axis, which onnx itself cannot infer."""
    model = convolution(7, ir_version=3)
    model.opset_import[0].version = 1
    model.graph.node[1].CopyFrom(helper.make_node("Add", ["h", "b"], ["r"], broadcast=1, axis=1))
    rows = layer_rows(network_of(model), 2)
    assert [(row.op, row.outputs) for row in rows][:2] == [("Conv", ((2, 4, 6, 6),)), ("Add", ((2, 4, 6, 6),))]
    onnx_file.check_runnable(network_of(model))


def test_operators_that_onnx_forgot() -> None:
    model = convolution(7)
    model.graph.node[1].CopyFrom(helper.make_node("Crop", ["h"], ["r"], border=[1, 1, 1, 1]))
    model.graph.initializer[2].CopyFrom(numpy_helper.from_array(np.zeros((3, 64), np.float32), "v"))
    network = network_of(model)
    assert layer_rows(network)[1].outputs == ((1, 4, 4, 4),)
    onnx_file.check_runnable(network)


def test_shape_arithmetic_that_onnx_does_not_follow() -> None:
    """Operator set 9 as PyTorch 1.0 wrote it: a reshape to the sizes of another value."""
    body = """g (float[N, 6, 4, 4] x) => (float[N, k, l] y)
    { t = Transpose<perm=[0, 2, 3, 1]>(x) s = Shape(t) i = Constant<value=int64 {0}>() n = Gather(s, i)
      u = Unsqueeze<axes=[0]>(n) a = Constant<value=int64[1] {-1}>() b = Constant<value=int64[1] {2}>()
      z = Concat<axis=0>(u, a, b) r = Reshape(t, z) y = Relu(r) }"""
    assert layer_rows(network_of(parsed(body, 9)), 3)[-1].outputs == ((3, 48, 2),)
