"""The networks that compilation is measured on, as ONNX files: plain ones, and ones with work that can be removed.

Weights of the zoo and of the onnx package's `light_*` topologies are drawn by seed, and statistics of batch-norms too:
left neutral, norms would fold where trained ones cannot.

>>> sorted(REMOVABLE)[:4]
['adapter-chain', 'mobilenet-v2-half', 'mobilenet-v2-pruned', 'pointwise-chain']
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from chipwise.api.given import network_from, with_graph
from chipwise.compiler.graphs import serialized
from chipwise.networks.onnx_file import serialize
from chipwise.optimize import channels

PLAIN = (
    "resnet18", "resnet50", "mobilenet-v2", "googlenet", "densenet121", "squeezenet1.1", "darknet19", "inception-v3",
    "resnet20", "mlp-4096", "lstm-classifier",
)  # fmt: skip
LIGHT = ("bvlc_alexnet", "shufflenet", "inception_v2", "zfnet512")
_REAL = {
    "mnist-cntk": "onnx/mnist_cntk.onnx",
    "ultraface": "onnx/ultraface_version-RFB-320.onnx",
    "yolox-nano": "onnx/yolox_nano.onnx",
    "style-candy": "onnx/style_candy.onnx",
    "keyword-spotting": "mlperf_tiny/derived_kws_dscnn_float.onnx",
    "person-detection": "mlperf_tiny/derived_vww_96_float.onnx",
}
Arrays = dict[str, NDArray[np.generic]]


def zoo(name: str, folder: Path) -> Path:
    """Export a network of the zoo with random weights, and with statistics as training leaves them."""
    path = folder / f"{name}.onnx"
    model = onnx.load_model_from_string(serialize(with_graph(network_from(name))))
    settle(model)
    onnx.save(model, path)
    return path


def settle(model: onnx.ModelProto, seed: int = 0) -> None:
    """Draw scales, shifts, means and variances of batch-norms."""
    rng, tensors = np.random.default_rng(seed), {tensor.name: tensor for tensor in model.graph.initializer}
    drawn: set[str] = set()
    ranges = ((0.8, 1.2), (-0.1, 0.1), (-0.1, 0.1), (0.5, 1.5))
    for node in model.graph.node:
        if node.op_type == "BatchNormalization":
            for name, (low, high) in zip(node.input[1:], ranges, strict=True):
                if name in tensors and name not in drawn:
                    drawn.add(name)
                    values = rng.uniform(low, high, tuple(tensors[name].dims)).astype(np.float32)
                    tensors[name].CopyFrom(numpy_helper.from_array(values, name))


def light(name: str, folder: Path) -> Path:
    """A topology of the onnx package; its weights, which are constant there, are drawn He-normal.

    Biases are zero, and scales of channels are near 1.
    """
    source = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light" / f"light_{name}.onnx"
    model, rng = onnx.load(source), np.random.default_rng(0)
    kept, scales = [], _scales(model.graph)
    for tensor in model.graph.initializer:
        if tensor.name in scales:
            drawn = rng.uniform(0.8, 1.2, tuple(tensor.dims))
            tensor.CopyFrom(numpy_helper.from_array(drawn.astype(np.float32), tensor.name))
    for node in model.graph.node:
        if node.op_type == "ConstantOfShape":
            shape = next(numpy_helper.to_array(t) for t in model.graph.initializer if t.name == node.input[0])
            if node.output[0] in scales:
                drawn = rng.uniform(0.8, 1.2, tuple(shape))
            else:
                spread = np.sqrt(2 / max(int(np.prod(shape[1:])), 1)) if len(shape) > 1 else 0.0
                drawn = rng.normal(size=tuple(shape)) * spread
            values = drawn.astype(np.float32)
            model.graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
        else:
            kept.append(node)
    del model.graph.node[:]
    model.graph.node.extend(kept)
    settle(model)
    path = folder / f"light-{name}.onnx"
    onnx.save(model, path)
    return path


def _scales(graph: onnx.GraphProto) -> set[str]:
    """Weights that a product reads through a reshape: zeros there would leave nothing of a network."""
    multiplied = {value for node in graph.node if node.op_type == "Mul" for value in node.input}
    return {node.input[0] for node in graph.node if node.op_type == "Unsqueeze" and node.output[0] in multiplied}


def half(name: str, folder: Path) -> Path:
    """A network of the zoo, half of whose channels that only the next layer reads are zero, as pruning leaves them."""
    path = zoo(name, folder)
    model = onnx.load(path)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for value in node.input:
            readers.setdefault(value, []).append(node)
    for node in model.graph.node:
        if node.op_type == "Conv" and node.input[1] in tensors and _inner(node, readers):
            for value in node.input[1:]:
                array = numpy_helper.to_array(tensors[value]).copy()
                array[len(array) // 2 :] = 0
                tensors[value].CopyFrom(numpy_helper.from_array(array, value))
            _zero_norm(node, readers, tensors)
    path = folder / f"{name}-half.onnx"
    onnx.save(model, path)
    return path


def _inner(node: onnx.NodeProto, readers: dict[str, list[onnx.NodeProto]]) -> bool:
    """True when only one more convolution reads a convolution's result, through norms, activations and pools."""
    while True:
        following = readers.get(node.output[0], [])
        if len(following) != 1:
            return False
        node = following[0]
        if node.op_type == "Conv":
            return True
        if node.op_type not in ("BatchNormalization", "Relu", "LeakyRelu", "Clip", "MaxPool"):
            return False


def _zero_norm(
    node: onnx.NodeProto, readers: dict[str, list[onnx.NodeProto]], tensors: dict[str, onnx.TensorProto]
) -> None:
    """Let a norm behind a pruned convolution leave zeros zero: its shift and mean are zero there."""
    following = readers[node.output[0]][0]
    if following.op_type == "BatchNormalization":
        for name in following.input[2:4]:
            array = numpy_helper.to_array(tensors[name]).copy()
            array[len(array) // 2 :] = 0
            tensors[name].CopyFrom(numpy_helper.from_array(array, name))


def pruned(name: str, folder: Path) -> Path:
    """A network of the zoo, half of all of whose inner channels are zero: of those that residuals tie together, too."""
    model = ir.serde.deserialize_model(onnx.load(zoo(name, folder)))
    for group in channels.groups(model):
        for place in group.places:
            if place.written:
                value = model.graph.initializers[place.weight]
                tensor = ir.convenience.get_const_tensor(value)
                assert tensor is not None
                array = tensor.numpy().copy()
                np.moveaxis(array, place.axis, 0)[place.channels >= group.width // 2] = 0
                value.const_value = ir.tensor(array)
    path = folder / f"{name}-pruned.onnx"
    path.write_bytes(serialized(model))
    return path


def chain(folder: Path, *, adapters: bool) -> Path:
    """Eight rows of a 1x1 convolution to four times the channels and back; or of 3x3 ones with low-rank adapters."""
    rng, nodes, weights = np.random.default_rng(0), [], {}
    value, channels, side = "x", 64, 28

    def conv(source: str, result: str, outputs: int, inputs: int, kernel: int) -> str:
        scale = np.sqrt(2 / (inputs * kernel**2))
        weights[f"{result}.w"] = (rng.normal(size=(outputs, inputs, kernel, kernel)) * scale).astype(np.float32)
        nodes.append(helper.make_node("Conv", [source, f"{result}.w"], [result], pads=[kernel // 2] * 4))
        return result

    for number in range(8):
        if adapters:
            wide = conv(value, f"base{number}", channels, channels, 3)
            low = conv(conv(value, f"down{number}", 16, channels, 1), f"up{number}", channels, 16, 1)
            nodes.append(helper.make_node("Add", [wide, low], [f"sum{number}"]))
            value = f"sum{number}"
        else:
            value = conv(
                conv(value, f"wide{number}", 4 * channels, channels, 1), f"thin{number}", channels, 4 * channels, 1
            )
        nodes.append(helper.make_node("Relu", [value], [f"relu{number}"]))
        value = f"relu{number}"
    shape: list[str | int | None] = ["N", channels, side, side]
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(value, TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    path = folder / ("adapter-chain.onnx" if adapters else "pointwise-chain.onnx")
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path


REMOVABLE: dict[str, Callable[[Path], Path]] = {
    "resnet18-pruned": partial(pruned, "resnet18"),
    "mobilenet-v2-pruned": partial(pruned, "mobilenet-v2"),
    "resnet18-half": partial(half, "resnet18"),
    "mobilenet-v2-half": partial(half, "mobilenet-v2"),
    "repvgg-a0": partial(zoo, "repvgg-a0"),
    "pointwise-chain": partial(chain, adapters=False),
    "adapter-chain": partial(chain, adapters=True),
}


def networks(shared: Path | None) -> dict[str, tuple[bool, Callable[[Path], Path]]]:
    """Every network by name: whether it has work to remove, and what writes it into a folder.

    Args:
        shared: folder of real pretrained networks; None leaves them out.
    """
    found: dict[str, tuple[bool, Callable[[Path], Path]]] = {name: (False, partial(zoo, name)) for name in PLAIN}
    found |= {f"light-{name}": (False, partial(light, name)) for name in LIGHT}
    if shared is not None:
        found |= {name: (False, partial(_lying_at, shared / place)) for name, place in _REAL.items()}
    return found | {name: (True, write) for name, write in REMOVABLE.items()}


def _lying_at(path: Path, _folder: Path) -> Path:
    return path
