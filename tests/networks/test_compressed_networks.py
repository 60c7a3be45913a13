"""Compressed files as networks: the same answers, the task, the way to train, and the published file coded anew."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from chipwise import api
from chipwise.codec.small_file import SmallFile, SmallReader, encode_small, ledger, open_small, write_small
from chipwise.codec.small_tensor import from_symbols
from chipwise.core.errors import InputError, NetworkError, StorageError
from chipwise.core.network import Network
from chipwise.core.task import Preprocess, Task
from chipwise.networks import onnx_file, small_file, small_graph
from chipwise.networks.load import load

PUBLISHED = Path(__file__).resolve().parents[3] / "shared" / "data" / "imagenet" / "models"


def convolution(**changes: object) -> Network:
    """A convolution, a reshape and a product, with attributes that say the default."""
    draw = np.random.default_rng(0)
    weights = {
        "conv.weight": np.round(draw.normal(size=(4, 1, 3, 3)).astype(np.float32)) * np.float32(0.3) + np.float32(0),
        "conv.bias": draw.normal(size=4).astype(np.float32),
        "shape": np.array([0, -1]),
        "fc.weight": np.round(draw.normal(size=(3, 144)).astype(np.float32)) + np.float32(0),
    }
    nodes = [
        helper.make_node("Conv", ["x", "conv.weight", "conv.bias"], ["first"], "named", kernel_shape=[3, 3],
                         strides=[1, 1], pads=[0, 0, 0, 0], dilations=[1, 1], group=1),
        helper.make_node("Relu", ["first"], ["second"], doc_string="positive"),
        helper.make_node("Reshape", ["second", "shape"], ["third"]),
        helper.make_node("Gemm", ["third", "fc.weight"], ["y"], transB=1, alpha=1.0),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return replace(onnx_file.from_bytes(model.SerializeToString(), "net"), **changes)  # type: ignore[arg-type]


def answers(network: Network) -> np.ndarray:
    session = onnxruntime.InferenceSession(onnx_file.serialize(network), providers=["CPUExecutionProvider"])
    inputs = np.random.default_rng(1).normal(size=(2, *network.inputs[0].shape[1:])).astype(np.float32)
    return np.asarray(session.run(None, {network.inputs[0].name: inputs})[0])


def test_a_network_comes_back_with_the_same_answers(tmp_path: Path) -> None:
    network = convolution()
    size = small_file.save(tmp_path / "net.cwz", network)
    back = load(str(tmp_path / "net.cwz"))
    assert (back.inputs, back.outputs, back.task, back.name) == (
        network.inputs,
        network.outputs,
        network.task,
        "net",
    )
    assert answers(back).tobytes() == answers(network).tobytes()
    assert back.graph is not None
    assert back.graph.graph.initializers["conv.weight"].shape == (4, 1, 3, 3)
    assert size < 420
    held = open_small(tmp_path / "net.cwz")
    assert held.facts == b""  # the shapes say what it is for
    assert [tensor.name for tensor, _ in held.tensors()] == [
        "conv.weight",
        "conv.bias",
        "fc.weight",
    ]  # by use
    assert b"named" not in held.graph
    assert b"dilations" not in held.graph
    assert b"first" not in held.graph


def test_the_task_travels(tmp_path: Path) -> None:
    task = Task("classification", ("cat", "dög", "owl"), Preprocess(8, 8, mean=(0.5,), fit="crop", resize=9))
    network = convolution(task=task)
    small_file.save(tmp_path / "net.cwz", network)
    assert load(str(tmp_path / "net.cwz")).task == task
    assert ledger(tmp_path / "net.cwz").task < 90


def test_given_tensors_take_the_place_of_the_graphs(tmp_path: Path) -> None:
    network = convolution()
    symbols = np.ones((3, 144), int)
    given = {"fc.weight": from_symbols("any", symbols, step=0.5)}
    small_file.save(tmp_path / "net.cwz", network, given)
    graph = load(str(tmp_path / "net.cwz")).graph
    assert graph is not None
    assert (graph.graph.initializers["fc.weight"].const_value.numpy() == 0.5).all()  # type: ignore[union-attr]
    with pytest.raises(InputError, match="shape"):
        small_file.to_small(network, {"fc.weight": from_symbols("w", symbols[:2], step=1.0)})
    with pytest.raises(InputError, match="no weight named other"):
        small_file.to_small(network, {"other": from_symbols("w", symbols, step=1.0)})


@pytest.mark.parametrize(
    "text",
    [
        "{ y = Abs(x) }",
        "{ a = Relu(x) b = Neg(a) c = Add(a, b) y = Mul(c, x) }",
        "{ a, b = Split<axis=1, num_outputs=2>(x) c = Concat<axis=1>(b, a) y = Sub(c, x) }",
        "{ y = Relu(x) z = Neg(y) w = Add(z, y) }",
    ],
)
def test_graphs_come_back_whatever_is_named_in_them(text: str) -> None:
    outputs = "float[N, 4] y, float[N, 4] w" if " w =" in text else "float[N, 4] y"
    model = onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["": 18]> g (float[N, 4] x) => ({outputs}) {text}')
    short, weights = small_graph.pack(model)
    whole = small_graph.unpack(short, weights)
    inputs = {"x": np.arange(8, dtype=np.float32).reshape(2, 4) - 3}
    found = [
        onnxruntime.InferenceSession(each, providers=["CPUExecutionProvider"]).run(None, inputs)
        for each in (model.SerializeToString(), whole)
    ]
    assert all((one == other).all() for one, other in zip(*found, strict=True))
    assert small_graph.pack(onnx.load_from_string(whole))[0] == short


@pytest.mark.parametrize("which", ["input", "value", "unused", "weight"])
def test_names_that_the_format_keeps_for_itself_are_refused(which: str) -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["": 18]> g (float[N, 2] x, float[N, 2] input, float[N, 2] unused) => '
        "(float[N, 2] y) <float[2] weight={1, 2}> { value = Relu(x) a = Add(value, input) y = Add(a, weight) }"
    )
    places = [names for node in model.graph.node for names in (node.input, node.output)]
    for names in places:
        names[:] = ["!1" if name == which else name for name in names]
    for each in (*model.graph.input, *model.graph.initializer):
        each.name = "!1" if each.name == which else each.name
    with pytest.raises(NetworkError, match="begins with '!'") as caught:
        small_graph.pack(model)
    assert caught.value.hint == "export the network again with other names"


def test_restored_names_are_not_those_of_weights() -> None:
    """Weights and whole numbers that no node uses, by the names that values are given."""
    model = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["": 18]> g (float[N, 2] x) => (float[N, 2] y) '
        "<float[2] v0={1, 2}, int64[1] v1={3}> { a = Relu(x) b = Neg(a) y = Abs(b) }"
    )
    whole = small_graph.unpack(*small_graph.pack(model))
    onnx.checker.check_model(onnx.load_from_string(whole), full_check=True)
    made = [name for node in onnx.load_from_string(whole).graph.node for name in node.output]
    assert made == ["v2", "v3", "y"]


def test_a_long_chain_without_weights_comes_back(tmp_path: Path) -> None:
    """It codes so well that its text is more than a file of that size may hold, without padding."""
    names = ["x", *(f"r{number}" for number in range(900)), "y"]
    graph = helper.make_graph(
        [helper.make_node("Relu", [one], [other]) for one, other in pairwise(names)], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    network = onnx_file.from_bytes(model.SerializeToString(), "chain")
    small_file.save(tmp_path / "net.cwz", network)
    back = load(str(tmp_path / "net.cwz"))
    assert back.graph is not None
    assert len(list(back.graph.graph)) == 901
    assert answers(back).tobytes() == answers(network).tobytes()


def test_graphs_inside_of_nodes_keep_their_names() -> None:
    branch = helper.make_graph(
        [helper.make_node("Neg", ["inner"], ["o"])], "b", [], [helper.make_tensor_value_info("o", 1, None)]
    )
    nodes = [
        helper.make_node("Relu", ["x"], ["inner"]),
        helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "g", [info("x", 1, [2]), info("c", TensorProto.BOOL, [])], [info("y", 1, [2])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    session = onnxruntime.InferenceSession(small_graph.unpack(*small_graph.pack(model)))
    got = session.run(None, {"x": np.float32([1, 2]), "c": np.array(True)})[0]
    assert got.tolist() == [-1, -2]


def test_a_damaged_graph_is_refused_in_one_line(tmp_path: Path) -> None:
    small = small_file.to_small(convolution())
    far = onnx.load_from_string(small.graph)
    far.graph.node[1].input[0] = "!" + "9" * 4400  # more digits than Python takes for a number
    bad = [small.graph.replace(old, new) for old, new in ((b"!1", b"!9"), (b"!1", b"\xff1"), (b"Relu", b"Rexu"))]
    for graph in (b"\xff\xff", *bad, far.SerializeToString(), b""):
        write_small(tmp_path / "net.cwz", replace(small, graph=graph))
        with pytest.raises(NetworkError) as caught:
            onnx_file.check_runnable(load(str(tmp_path / "net.cwz")))
        assert len(str(caught.value).splitlines()) == 1
    write_small(tmp_path / "net.cwz", replace(small, facts=b'{"task":3}'))
    with pytest.raises(NetworkError, match="task"):
        load(str(tmp_path / "net.cwz"))


def test_a_file_under_another_name_is_recognised(tmp_path: Path) -> None:
    small_file.save(tmp_path / "net.onnx", convolution())
    with pytest.raises(NetworkError, match="compressed network"):
        load(str(tmp_path / "net.onnx"))


def test_a_file_cannot_choose_code(tmp_path: Path) -> None:
    small = small_file.to_small(convolution())
    write_small(tmp_path / "net.cwz", replace(small, facts=b'{"zoo":"lenet:torch.load"}'))
    for read in (load, lambda spec: small_file.trainable(Path(spec))):
        with pytest.raises(NetworkError, match="no network of this zoo"):
            read(str(tmp_path / "net.cwz"))


def test_inspect_shows_the_ledger(tmp_path: Path) -> None:
    small_file.save(tmp_path / "net.cwz", convolution())
    record = api.inspect(tmp_path / "net.cwz")
    assert record.ledger == ledger(tmp_path / "net.cwz")
    assert record.ledger is not None
    assert record.ledger.total == (tmp_path / "net.cwz").stat().st_size
    assert api.inspect("lenet5-caffe").ledger is None


def test_export_there_and_back(tmp_path: Path) -> None:
    source = convolution(task=Task("classification", ("a", "b", "c")))
    (tmp_path / "net.onnx").write_bytes(onnx_file.serialize(source, with_task=True))
    api.export(tmp_path / "net.onnx", output=tmp_path / "net.cwz")
    api.export(tmp_path / "net.cwz", output=tmp_path / "back.onnx")
    back = load(str(tmp_path / "back.onnx"))
    assert back.task == source.task
    assert answers(back).tobytes() == answers(source).tobytes()
    with pytest.raises(InputError, match=r"a network becomes \.onnx"):
        api.export(tmp_path / "net.cwz", output=tmp_path / "net.xml")


def test_export_says_when_weights_are_random(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    with pytest.warns(UserWarning, match="no weights were given: they are random"):
        api.export("lenet-300-100", output=tmp_path / "net.onnx")
    assert (tmp_path / "net.onnx").is_file()


def test_export_finds_out_first_whether_it_can_write(tmp_path: Path) -> None:
    (tmp_path / "net.cwz").mkdir()
    with pytest.raises(StorageError, match="folder"):
        api.export(tmp_path / "missing.onnx", output=tmp_path / "net.cwz")


def test_scalars_stay_scalars_in_safetensors(tmp_path: Path) -> None:
    numpy = pytest.importorskip("safetensors.numpy")
    text = "g (float[N, 2] x) => (float[N, 2] y) <float s={2}> { y = Mul(x, s) }"
    model = onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["": 18]> {text}')
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    api.export(tmp_path / "net.onnx", output=tmp_path / "net.safetensors")
    assert numpy.load_file(tmp_path / "net.safetensors")["s"].shape == ()


def test_export_to_safetensors(tmp_path: Path) -> None:
    numpy = pytest.importorskip("safetensors.numpy")
    small_file.save(tmp_path / "net.cwz", convolution())
    api.export(tmp_path / "net.cwz", output=tmp_path / "net.safetensors")
    graph = load(str(tmp_path / "net.cwz")).graph
    assert graph is not None
    found = numpy.load_file(tmp_path / "net.safetensors")
    assert found.keys() == graph.graph.initializers.keys()
    assert (found["conv.bias"] == graph.graph.initializers["conv.bias"].const_value.numpy()).all()  # type: ignore[union-attr]


@pytest.mark.runtime
def test_what_was_made_of_the_zoo_can_be_trained(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from chipwise.networks.export import with_graph
    from chipwise.networks.torch_source import build_module
    from chipwise.networks.weights_file import read_tensors

    small_file.save(tmp_path / "lenet.cwz", with_graph(load("lenet5")), mode="small")
    network = small_file.trainable(tmp_path / "lenet.cwz")
    assert network.source is not None
    assert network.source.weights == tmp_path / "lenet.cwz"
    state = build_module(network.source).state_dict()
    held = read_tensors(tmp_path / "lenet.cwz")
    assert all(torch.equal(value, held[name]) for name, value in state.items())
    done = api.train(tmp_path / "lenet.cwz", "digits", folder=tmp_path / "run", epochs=1)
    assert len(done.history) == 1


def test_what_no_zoo_network_fits_is_trained_as_a_graph(tmp_path: Path) -> None:
    small_file.save(tmp_path / "net.cwz", convolution())
    network = small_file.trainable(tmp_path / "net.cwz")
    assert network.source is None
    assert network == replace(small_file.load(tmp_path / "net.cwz"), graph=network.graph)


PROTOTXT = """name: "n" input: "x" input_shape { dim: 1 dim: 1 dim: 6 dim: 6 }
layer { name: "conv1" type: "Convolution" bottom: "x" top: "c" convolution_param { num_output: 2 kernel_size: 3 } }
layer { name: "ip" type: "InnerProduct" bottom: "c" top: "y" inner_product_param { num_output: 3 } }"""


def deep_compression(folder: Path) -> tuple[np.ndarray, np.ndarray, bytes]:
    """A small .net file: a convolution of 8 bits, a product of 4, fillers in both."""
    draw, pieces, counts, dense = np.random.default_rng(3), [], [], []
    for shape, bits in (((2, 1, 3, 3), 8), ((3, 32), 4)):
        book = np.concatenate([[0], draw.normal(size=2**bits - 1)]).astype("<f4")
        runs = draw.integers(0, 3, 8) if bits == 8 else np.array([15, 15, 0, 3, 9])
        symbols = draw.integers(1, 2**bits, len(runs))
        symbols[1] = 0
        flat = np.zeros(int(np.prod(shape)), int)
        flat[(np.cumsum(runs + 1) - 1)[: len(runs)] % len(flat)] = symbols
        packed = [np.append(each, 0)[: len(each) + len(each) % 2].astype(np.uint8) for each in (symbols, runs)]
        halves = [each[::2] | each[1::2] << 4 for each in packed]
        bias = draw.normal(size=shape[0]).astype("<f4")
        pieces += [
            book.tobytes(),
            bias.tobytes(),
            symbols.astype(np.uint8).tobytes() if bits == 8 else halves[0].tobytes(),
        ]
        pieces.append(halves[1].tobytes())
        counts.append(len(runs))
        dense.append(book[flat].reshape(shape))
    data = np.array(counts, "<u4").tobytes() + b"".join(pieces)
    (folder / "n.prototxt").write_text(PROTOTXT)
    (folder / "n.net").write_bytes(data)
    return dense[0], dense[1], data


def test_deep_compressions_file_is_read(tmp_path: Path) -> None:
    kernel, matrix, data = deep_compression(tmp_path)
    graph = load(str(tmp_path / "n.prototxt"), weights=tmp_path / "n.net").graph
    assert graph is not None
    held = {name: value.const_value.numpy() for name, value in graph.graph.initializers.items()}  # type: ignore[union-attr]
    assert (held["conv1.weight"] == kernel).all()
    assert (held["ip.weight"] == matrix).all()
    for bad, words in (
        (data[:-1], "shorter"),
        (data + b"\0", "1 bytes more"),
        (data[:8] + b"\xff" * 4 + data[12:], "not a number"),
    ):
        (tmp_path / "n.net").write_bytes(bad)
        with pytest.raises(NetworkError, match=words):
            load(str(tmp_path / "n.prototxt"), weights=tmp_path / "n.net")


@pytest.mark.shared
def test_the_published_squeezenet_is_smaller_and_the_same() -> None:
    pytest.importorskip("constriction")
    source = PUBLISHED / "squeezenet_v1.0_deep_compressed.net"
    if not source.is_file():
        pytest.skip("no reference data")
    network = load(str(PUBLISHED / "squeezenet_v1.0_dc_deploy.prototxt"), weights=source)
    assert network.graph is not None
    oracle = onnx.load(PUBLISHED / "derived_squeezenet_v1.0_deepcompressed_fp32.onnx")
    mine = [v.const_value.numpy() for v in network.graph.graph.initializers.values() if v.const_value is not None]
    theirs = [numpy_helper.to_array(tensor) for tensor in oracle.graph.initializer]
    assert all(one.tobytes() == other.tobytes() for one, other in zip(mine, theirs, strict=False))
    small = small_file.to_small(network)
    assert isinstance(small, SmallFile)
    data = encode_small(small)
    assert len(data) < 0.8 * source.stat().st_size
    back = {tensor.name: values for tensor, values in SmallReader(data).tensors()}
    floats = [each for each in mine if each.dtype == np.float32]
    assert all(one.tobytes() == other.tobytes() for one, other in zip(back.values(), floats, strict=True))
