"""Caffe's files: its rules of rounding and counting by hand in NumPy, real networks, and the refusal of what is not."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from chipwise.core.errors import NetworkError
from chipwise.core.layer import totals
from chipwise.core.network import Network
from chipwise.networks import caffe_file, onnx_file
from chipwise.networks.caffe import schema
from chipwise.networks.caffe.prototxt import parse
from chipwise.networks.layers import layer_rows
from chipwise.networks.load import load

Array = NDArray[Any]
HEAD = 'name: "n" input: "x" input_shape { dim: 2 dim: 4 dim: 7 dim: 6 }\n'
X = np.random.default_rng(0).normal(size=(2, 4, 7, 6)).astype(np.float32)


# Types of layers before 2014: those with a node of their own, and those that inference leaves out.
OLD_TYPES = {
    "ABSVAL", "BNLL", "CONCAT", "CONVOLUTION", "DECONVOLUTION", "ELTWISE", "FLATTEN", "INNER_PRODUCT", "LRN", "POOLING",
    "RELU", "SIGMOID", "SLICE", "SOFTMAX", "TANH",
}  # fmt: skip
NO_PART = {
    "ACCURACY", "CONTRASTIVE_LOSS", "DROPOUT", "EUCLIDEAN_LOSS", "HINGE_LOSS", "INFOGAIN_LOSS",
    "MULTINOMIAL_LOGISTIC_LOSS", "POWER", "SIGMOID_CROSS_ENTROPY_LOSS", "SILENCE", "SOFTMAX_LOSS", "SPLIT",
}  # fmt: skip


def layer(kind: str, body: str = "", *, bottom: str = "x", top: str = "y", name: str = "l") -> str:
    return f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{top}" {body} }}\n'


def network(tmp_path: Path, text: str, blobs: dict[str, list[Array]] | None = None, *, legacy: bool = False) -> Network:
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    weights = None
    if blobs is not None:
        weights = tmp_path / "net.caffemodel"
        weights.write_bytes(caffemodel(blobs, legacy=legacy))
    return caffe_file.load(path, weights)


def caffemodel(blobs: dict[str, list[Array]], *, legacy: bool = False) -> bytes:
    net = schema.network()
    for name, arrays in blobs.items():
        made = net.layers.add(name=name) if legacy else net.layer.add(name=name)
        for array in arrays:
            blob = made.blobs.add(data=array.astype("<f4").tobytes())
            if legacy:
                blob.num, blob.channels, blob.height, blob.width = (1,) * (4 - array.ndim) + array.shape
            else:
                blob.shape.dim.extend(array.shape)
    data: bytes = net.SerializeToString()
    return data


def run(made: Network, x: Array = X) -> list[Array]:
    session = ort.InferenceSession(onnx_file.serialize(made), providers=["CPUExecutionProvider"])
    given: list[Array] = session.run(None, {made.inputs[0].name: x})
    for spec, array in zip(made.outputs, given, strict=True):
        assert spec.shape == ("batch", *array.shape[1:])
    return given


def pooled(x: Array, kernel: int, stride: int, pad: int, kind: str) -> Array:
    """As PoolingLayer::Forward_cpu: rounds up, clips, and divides by the window with its border but not beyond."""
    counts = []
    for size in x.shape[2:]:
        count = -(-(size + 2 * pad - kernel) // stride) + 1
        counts.append(count - 1 if pad and (count - 1) * stride >= size + pad else count)
    out = np.zeros((*x.shape[:2], *counts), np.float32)
    for i in range(counts[0]):
        for j in range(counts[1]):
            starts = [i * stride - pad, j * stride - pad]
            ends = [min(start + kernel, size + pad) for start, size in zip(starts, x.shape[2:], strict=True)]
            area = (ends[0] - starts[0]) * (ends[1] - starts[1])
            rows, columns = (slice(max(start, 0), end) for start, end in zip(starts, ends, strict=True))
            window = x[:, :, rows, columns]
            out[:, :, i, j] = window.max((2, 3)) if kind == "MAX" else window.sum((2, 3)) / area
    return out


@pytest.mark.parametrize("kind", ["MAX", "AVE"])
@pytest.mark.parametrize(
    ("kernel", "stride", "pad"), [(3, 2, 0), (3, 2, 1), (2, 2, 0), (2, 2, 1), (3, 1, 1), (5, 3, 2), (4, 3, 1)]
)
def test_pooling_rounds_up(tmp_path: Path, kind: str, kernel: int, stride: int, pad: int) -> None:
    body = f"pooling_param {{ pool: {kind} kernel_size: {kernel} stride: {stride} pad: {pad} }}"
    (given,) = run(network(tmp_path, HEAD + layer("Pooling", body)))
    np.testing.assert_allclose(given, pooled(X, kernel, stride, pad, kind), rtol=1e-5, atol=1e-6)


def test_convolution_of_every_option(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    w, b = rng.normal(size=(6, 2, 3, 2)).astype(np.float32), rng.normal(size=6).astype(np.float32)
    facts = "num_output: 6 group: 2 kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 1 pad_h: 2 pad_w: 1 dilation: 2"
    for legacy in (False, True):
        made = network(
            tmp_path, HEAD + layer("Convolution", f"convolution_param {{ {facts} }}"), {"l": [w, b]}, legacy=legacy
        )
        wanted = torch.nn.functional.conv2d(*map(torch.tensor, (X, w, b)), (2, 1), (2, 1), 2, 2)
        np.testing.assert_allclose(run(made)[0], wanted.numpy(), rtol=1e-4, atol=1e-5)
    w = rng.normal(size=(4, 3, 4, 4)).astype(np.float32)
    facts = "num_output: 3 kernel_size: 4 stride: 2 pad: 1 bias_term: false"
    made = network(tmp_path, HEAD + layer("Deconvolution", f"convolution_param {{ {facts} }}"), {"l": [w]})
    wanted = torch.nn.functional.conv_transpose2d(torch.tensor(X), torch.tensor(w), None, 2, 1)
    np.testing.assert_allclose(run(made)[0], wanted.numpy(), rtol=1e-4, atol=1e-5)


def test_normalization_divides_by_its_factor(tmp_path: Path) -> None:
    mean, variance, factor = np.arange(4.0), np.arange(4.0) + 1, np.array([2.0])
    gain, shift = np.array([1.0, 2, 3, 4]), np.array([0.5, 0, -1, 1])
    m, v, g, s = (value.reshape(4, 1, 1) for value in (mean / 2, variance / 2, gain, shift))
    norm = (X - m) / np.sqrt(v + 1e-5)
    blobs = {"b": [mean, variance, factor], "l": [gain, shift]}
    text = layer("BatchNorm", top="h", name="b") + layer("Scale", "scale_param { bias_term: true }", bottom="h")
    made = network(tmp_path, HEAD + text, blobs)
    np.testing.assert_allclose(run(made)[0], g * norm + s, rtol=1e-4, atol=1e-5)
    assert [row.op for row in layer_rows(made)] == ["BatchNormalization"]  # both are one node
    shared = text + layer("Power", "power_param { scale: 2 }", bottom="h", top="z", name="p")
    first, second = run(network(tmp_path, HEAD + shared, blobs))
    np.testing.assert_allclose(first, g * norm + s, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(second, 2 * norm, rtol=1e-4, atol=1e-5)
    zero = run(network(tmp_path, HEAD + layer("BatchNorm", name="b"), {"b": [mean, variance, np.zeros(1)]}))[0]
    np.testing.assert_allclose(zero, X / np.sqrt(np.float32(1e-5)), rtol=1e-4)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (layer("ReLU", "relu_param { negative_slope: 0.1 }"), np.where(X > 0, X, 0.1 * X)),
        (layer("ReLU", top="x"), np.maximum(X, 0)),
        (layer("Power", "power_param { power: 2 scale: 3 shift: 1 }"), (1 + 3 * X) ** 2),
        (layer("TanH"), np.tanh(X)),
        (layer("Sigmoid"), 1 / (1 + np.exp(-X))),
        (layer("AbsVal"), np.abs(X)),
        (layer("BNLL"), np.log1p(np.exp(X))),
        (layer("ELU"), np.where(X > 0, X, np.expm1(X))),
        (layer("Dropout") + layer("TanH", bottom="y", top="z", name="t"), np.tanh(X)),
        (layer("Permute", "permute_param { order: 0 order: 2 }"), X.transpose(0, 2, 1, 3)),
        (layer("Flatten"), X.reshape(2, -1)),
        (layer("Flatten", "flatten_param { axis: 2 }"), X.reshape(2, 4, 42)),
        (layer("Reshape", "reshape_param { shape { dim: 2 dim: -1 dim: 2 } }"), X.reshape(2, 84, 2)),
        (layer("Reshape", "reshape_param { shape { dim: -1 } axis: 1 num_axes: 2 }"), X.reshape(2, 28, 6)),
        (layer("Concat", 'bottom: "x" concat_param { axis: -1 }'), np.concatenate((X, X), -1)),
        (layer("Eltwise", 'bottom: "x" eltwise_param { coeff: 1 coeff: -2 }'), X - 2 * X),
        (layer("Eltwise", 'bottom: "x" eltwise_param { operation: PROD }'), X * X),
        (layer("Eltwise", 'bottom: "x" eltwise_param { operation: MAX }'), X),
        (layer("Softmax", "softmax_param { axis: 2 }"), np.exp(X) / np.exp(X).sum(2, keepdims=True)),
        (layer("Pooling", "pooling_param { pool: AVE global_pooling: true }"), X.mean((2, 3))),
    ],
)
def test_layers_without_weights(tmp_path: Path, text: str, wanted: Array) -> None:
    np.testing.assert_allclose(run(network(tmp_path, HEAD + text))[0], wanted, rtol=1e-4, atol=1e-5)
    assert run(network(tmp_path, HEAD + text), X[:1])[0].shape[0] == 1  # the declared batch does not bind


def test_layers_with_weights(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    w, b, s = rng.normal(size=(5, 168)), rng.normal(size=5), rng.normal(size=4)
    text = HEAD + layer("InnerProduct", "inner_product_param { num_output: 5 }")
    np.testing.assert_allclose(
        run(network(tmp_path, text, {"l": [w, b]}))[0], X.reshape(2, -1) @ w.T + b, rtol=1e-4, atol=1e-4
    )
    old = network(tmp_path, text, {"l": [w, b]}, legacy=True)
    np.testing.assert_allclose(run(old)[0], X.reshape(2, -1) @ w.T + b, rtol=1e-4, atol=1e-4)
    turned = text.replace("num_output: 5", "num_output: 5 transpose: true bias_term: false")
    np.testing.assert_allclose(
        run(network(tmp_path, turned, {"l": [w.T]}))[0], X.reshape(2, -1) @ w.T, rtol=1e-4, atol=1e-4
    )
    slopes = s.reshape(4, 1, 1)
    np.testing.assert_allclose(
        run(network(tmp_path, HEAD + layer("PReLU"), {"l": [s]}))[0], np.where(X > 0, X, slopes * X), rtol=1e-4
    )
    unit = X / np.sqrt((X * X).sum(1, keepdims=True) + 1e-10)
    body = "norm_param { across_spatial: false channel_shared: false }"
    np.testing.assert_allclose(
        run(network(tmp_path, HEAD + layer("Normalize", body), {"l": [s]}))[0], slopes * unit, rtol=1e-4
    )


def test_local_response_normalization(tmp_path: Path) -> None:
    body = "lrn_param { local_size: 3 alpha: 0.5 beta: 0.75 k: 2 }"
    square = np.pad(X * X, ((0, 0), (1, 1), (0, 0), (0, 0)))
    total = square[:, :-2] + square[:, 1:-1] + square[:, 2:]
    np.testing.assert_allclose(
        run(network(tmp_path, HEAD + layer("LRN", body)))[0], X / (2 + 0.5 / 3 * total) ** 0.75, rtol=1e-4
    )


def test_slices_and_their_sum(tmp_path: Path) -> None:
    text = (
        HEAD + layer("Slice", 'top: "z" slice_param { slice_point: 1 }') + layer("TanH", bottom="z", top="t", name="t")
    )
    first, second = run(network(tmp_path, text))
    np.testing.assert_allclose(first, X[:, :1])
    np.testing.assert_allclose(second, np.tanh(X[:, 1:]), rtol=1e-5)


def test_what_training_alone_runs_is_left_out(tmp_path: Path) -> None:
    train = layer("Data", "include { phase: TRAIN }", top="q", name="d") + layer(
        "SoftmaxWithLoss", bottom="y", top="loss", name="s"
    )
    never = layer("TanH", "exclude { phase: TEST }", bottom="y", top="y", name="e")
    made = network(tmp_path, HEAD + layer("ReLU") + never + train)
    assert [spec.name for spec in made.outputs] == ["y"]
    assert [row.op for row in layer_rows(made)] == ["Relu"]


def test_silence_swallows_what_it_reads(tmp_path: Path) -> None:
    text = HEAD + layer("Slice", name="s", top='a" top: "b') + layer("ReLU", bottom="b", name="r")
    silence = 'layer { name: "q" type: "Silence" bottom: "a" }\n'
    assert [spec.name for spec in network(tmp_path, text).outputs] == ["a", "y"]
    net = network(tmp_path, text + silence)
    assert [spec.name for spec in net.outputs] == ["y"]
    assert np.array_equal(run(net)[0], np.maximum(X[:, 2:], 0))
    with pytest.raises(NetworkError, match="no layer's result is left over"):
        network(tmp_path, text + silence.replace('"a"', '"a" bottom: "y"'))


def test_the_old_spelling(tmp_path: Path) -> None:
    text = HEAD.replace(
        "input_shape { dim: 2 dim: 4 dim: 7 dim: 6 }", "input_dim: 2 input_dim: 4 input_dim: 7 input_dim: 6"
    )
    facts = "blobs_lr: 1 inner_product_param { num_output: 3 }"
    text += f'layers {{ name: "l" type: INNER_PRODUCT bottom: "x" top: "y" {facts} }}'
    text += (
        'layers { name: "r" type: RELU bottom: "y" top: "y" } layers { name: "s" type: SOFTMAX bottom: "y" top: "p" }'
    )
    assert network(tmp_path, text).outputs[0].shape == ("batch", 3)


@pytest.mark.parametrize("number", range(41))
def test_every_old_type_is_drawn_or_refused_by_name(tmp_path: Path, number: int) -> None:
    facts = {
        "CONVOLUTION": "convolution_param { num_output: 3 kernel_size: 1 }",
        "DECONVOLUTION": "convolution_param { num_output: 3 kernel_size: 1 }",
        "ELTWISE": 'bottom: "x"',
        "INNER_PRODUCT": "inner_product_param { num_output: 3 }",
        "POOLING": "pooling_param { kernel_size: 1 }",
    }
    kind = schema.type_name(number)
    old = f'layers {{ name: "l" type: {kind} bottom: "x" top: "y" {facts.get(kind, "")} }}'
    text = HEAD + old + layer("ReLU", top="z", name="last")
    if kind in NO_PART:
        assert [spec.name for spec in network(tmp_path, text).outputs] == ["z"]
    elif kind in OLD_TYPES:
        assert [spec.name for spec in network(tmp_path, text).outputs] == ["y", "z"]
    else:
        says = r"layer 'l' \(\w+\) (is not supported|reads files)|no prototxt: .*LayerType"
        with pytest.raises(NetworkError, match=says):
            network(tmp_path, text)


def test_names_that_many_layers_share(tmp_path: Path) -> None:
    """Each asks for what an earlier one was given: numbers are found one after another, not by recursion."""
    count = 3000
    text = HEAD + "".join(layer("ReLU", top="x", name=f"l_{number}") for number in range(2, count))
    text += layer("Power", "power_param { scale: 2 shift: 3 power: 2 }", top="y", name="l")
    made = network(tmp_path, text)
    assert [spec.name for spec in made.outputs] == ["y"]
    names = [value.name for node in made.graph.graph for value in node.outputs]
    assert len(names) == len(set(names)) == count + 1


def test_results_take_the_names_of_their_blobs(tmp_path: Path) -> None:
    """Also where a layer is called so: a, whose blob is b, beside b, whose blob is a."""
    text = HEAD + layer("ReLU", top="b", name="a") + layer("Sigmoid", top="a", name="b") + layer("TanH", top="l.n")
    made = network(tmp_path, text)
    assert [spec.name for spec in made.outputs] == ["b", "a", "l.n"]
    np.testing.assert_allclose(run(made)[0], np.maximum(X, 0))
    np.testing.assert_allclose(run(made)[1], 1 / (1 + np.exp(-X)), rtol=1e-5)


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "".join(layer("ReLU", name=f"l{number}", top=f"y{number}") for number in range(4097)),
        HEAD + layer("Slice", "".join(f'top: "{number}"' for number in range(30_000))),
        "".join(f'input: "{number}" input_shape {{ dim: 1 }} ' for number in range(30_000)) + layer("ReLU", bottom="1"),
    ],
)
def test_endless_descriptions_are_refused(tmp_path: Path, text: str) -> None:
    text = text.replace("dim: 4", "dim: 30001")
    with pytest.raises(NetworkError, match=r"too large|has 4,097 layers"):
        network(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (HEAD + layer("Python"), r"layer 'l' \(Python\) is not supported"),
        (HEAD + layer("Data"), "reads files"),
        (HEAD + layer("ReLU", bottom="none"), "reads 'none', which no layer before it makes"),
        (HEAD + layer("Pooling", "pooling_param { kernel_size: 3 pad: 3 }"), "a border of 3 around a window of 3"),
        (HEAD + layer("Convolution", "convolution_param { num_output: 3 kernel_size: 9 }"), "leaves nothing"),
        (HEAD + layer("Convolution", "convolution_param { num_output: 3 kernel_size: 1 group: 2 }"), "in 2 groups"),
        (HEAD + layer("Reshape", "reshape_param { shape { dim: 5 dim: -1 } }"), "cannot make"),
        (HEAD + layer("Concat", 'bottom: "x" concat_param { axis: 7 }'), "along axis 7"),
        (HEAD + layer("InnerProduct", "inner_product_param { num_output: 900000000 }"), "num_output"),
        (HEAD + layer("InnerProduct", "inner_product_param { num_output: 9000000 }"), r"has weight \[9000000, 168\]"),
        (HEAD, "no layer"),
        (layer("ReLU"), "no input"),
        ("not a net {", "no prototxt"),
        (HEAD.replace("dim: 7", "dim: 999999999"), "has the shape"),
    ],
)
def test_what_cannot_be_built_is_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(NetworkError, match=says) as caught:
        network(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    text = HEAD + layer("InnerProduct", "inner_product_param { num_output: 5 }")
    with pytest.raises(NetworkError, match=r"has the shape \[4, 168\], the network needs \[5, 168\]"):
        network(tmp_path, text, {"l": [np.ones((4, 168)), np.ones(5)]})
    with pytest.raises(NetworkError, match="has 1 blobs, the network needs 2"):
        network(tmp_path, text, {"l": [np.ones((5, 168))]})
    with pytest.raises(NetworkError, match="no weights for layer 'l'"):
        network(tmp_path, text, {"k": [np.ones((5, 168))]})
    with pytest.raises(NetworkError, match="not a number"):
        network(tmp_path, text, {"l": [np.full((5, 168), np.nan), np.ones(5)]})
    data = caffemodel({"l": [np.ones((5, 168)), np.ones(5)]})
    for broken in (data[:-40], b"", b"text", data.replace(b"\0\0\x80?" * 5, b"")):
        (tmp_path / "b.caffemodel").write_bytes(broken)
        with pytest.raises(NetworkError):
            caffe_file.load(tmp_path / "net.prototxt", tmp_path / "b.caffemodel")
    with pytest.raises(NetworkError, match="cannot read"):
        caffe_file.load(tmp_path / "net.prototxt", tmp_path / "none.caffemodel")


def test_untrained_weights_are_drawn_late_and_the_same(tmp_path: Path) -> None:
    text = HEAD + layer("InnerProduct", "inner_product_param { num_output: 5 }")
    one, two = run(network(tmp_path, text))[0], run(network(tmp_path, text))[0]
    np.testing.assert_array_equal(one, two)
    assert np.abs(one).max() > 0
    assert network(tmp_path, text).digest == network(tmp_path, text).digest != ""


_WORDS = [
    "dim: 0",
    "dim: -1",
    "pad: 9",
    "stride: 0",
    "group: 0",
    "axis: -9",
    'top: "x"',
    "}",
    "{",
    "kernel_size: 999999999999",
    "MAX",
]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_mutated_text(tmp_path: Path, data: st.DataObject) -> None:
    text = HEAD + layer("Convolution", "convolution_param { num_output: 4 kernel_size: 3 }", top="c", name="c")
    text += layer("Pooling", "pooling_param { kernel_size: 2 stride: 2 }", bottom="c", top="p", name="p")
    text += layer("Reshape", "reshape_param { shape { dim: 0 dim: -1 } axis: 0 }", bottom="p")
    parts = text.split(" ")
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(parts) - 1))
        parts[place] = data.draw(st.sampled_from([*_WORDS, *parts]))
    try:
        layer_rows(network(tmp_path, " ".join(parts)))
    except NetworkError as error:
        lines = len(str(error).splitlines())
    else:
        lines = 1
    assert lines == 1


@pytest.mark.shared
def test_ultraface_equals_its_onnx_file(shared_data: Path) -> None:
    """The Caffe net gives offsets where the ONNX file gives boxes: anchors and decoding are written out here."""
    made = load(str(shared_data / "caffe" / "ultraface_RFB-320.prototxt"))  # takes the caffemodel beside it
    golden = np.load(shared_data / "golden" / "ultraface_version-RFB-320.npz")
    with pytest.raises(NetworkError, match="no weights for layer 'conv1'"):
        load(
            str(shared_data / "caffe" / "squeezenet_v1.1_deploy.prototxt"),
            weights=shared_data / "caffe" / "ultraface_RFB-320.caffemodel",
        )
    path = shared_data / "caffe" / "ultraface_RFB-320.prototxt"
    made = load(str(path), weights=path.with_suffix(".caffemodel"))
    pixels = golden["rgb_240x320_uint8"].astype(np.float32)
    answers = dict(
        zip(
            (spec.name for spec in made.outputs),
            run(made, ((pixels - 127) / 128).transpose(2, 0, 1)[None]),
            strict=True,
        )
    )
    anchors = []
    for sizes, rows, columns in (
        ((10, 16, 24), 30, 40),
        ((32, 48), 15, 20),
        ((64, 96), 8, 10),
        ((128, 192, 256), 4, 5),
    ):
        for row in range(rows):
            for column in range(columns):
                anchors += [((column + 0.5) / columns, (row + 0.5) / rows, size / 320, size / 240) for size in sizes]
    middle, extent = np.split(np.clip(np.array(anchors, np.float32), 0, 1), 2, 1)
    offsets = answers["boxes"][0]
    centres = middle + 0.1 * offsets[:, :2] * extent
    halves = np.exp(0.2 * offsets[:, 2:]) * extent / 2
    assert np.abs(answers["scores"] - golden["scores"]).max() < 2e-6
    assert np.abs(np.hstack((centres - halves, centres + halves)) - golden["boxes"][0]).max() < 1e-6


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "parameters", "classes"),
    [
        # The first convolution of ResNet-50 has a bias in Caffe: 64 more than torchvision's.
        ("ResNet-50-deploy", 25_557_032 + 64, 1000),
        ("ResNet-152-deploy", 60_192_808, 1000),
        ("squeezenet_v1.0_deploy", 1_248_424, 1000),
        ("squeezenet_v1.1_deploy", 1_235_496, 1000),
    ],
)
def test_deploy_files_without_weights(shared_data: Path, name: str, parameters: int, classes: int) -> None:
    made = load(str(shared_data / "caffe" / f"{name}.prototxt"))
    assert made.outputs[0].shape == ("batch", classes)
    assert made.task.kind == "classification"
    assert made.task.preprocess is not None
    assert made.task.preprocess.order == "BGR"
    rows = layer_rows(made, 2)
    assert totals(rows).parameters == parameters
    assert rows[0].outputs[0][0] == 2


@pytest.mark.shared
def test_layers_of_resnet_152(shared_data: Path) -> None:
    path = shared_data / "caffe" / "ResNet-152-deploy.prototxt"
    counts = Counter(layer.type for layer in parse(path.read_text(), path.name).layers)
    kinds = {"Convolution": 155, "BatchNorm": 155, "Scale": 155, "ReLU": 151, "Eltwise": 50, "Pooling": 2}
    assert counts == {**kinds, "InnerProduct": 1, "Softmax": 1}
    assert counts.total() == 670
