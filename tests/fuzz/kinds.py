"""Every kind of file that chipwise reads: small good ones to damage, and the code that reads them."""

from __future__ import annotations

import io
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from mutate import mutated
from PIL import Image
from plans import changed_plan, open_and_ask, plan_seeds
from small_files import changed_small, small_seeds
from small_graphs import convolution, parsed

from chipwise.compiler.feeds import read_array
from chipwise.core.network import Source
from chipwise.datasets import load as load_data
from chipwise.networks.caffe import schema
from chipwise.networks.layers import layer_rows
from chipwise.networks.load import load
from chipwise.networks.onnx_file import check_runnable, serialize
from chipwise.networks.torch_source import build_module
from chipwise.tasks.audio import read_wave
from chipwise.tasks.describe import read_labels
from chipwise.tasks.pictures import open_picture, picture_shape

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
Seeds = list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file: how many of all examples it gets, its seeds as (file name, bytes), and what reads a file.

    `change` makes a damaged file of a seed and a number; bytes, and in text numbers and lines, where it is None.
    """

    name: str
    share: int
    seeds: Callable[[Path], Seeds]
    read: Callable[[Path], object]
    text: bool = False
    change: Callable[[bytes, int], bytes] | None = None

    def damaged(self, seed: bytes, number: int) -> bytes:
        """Mutation `number` of a seed."""
        return self.change(seed, number) if self.change else mutated(seed, number, text=self.text)


def onnx_seeds(_: Path) -> Seeds:
    recurrent = parsed(
        "g (float[N, 5, 3] x) => (float[5, 1, N, 4] y) <float[1, 16, 3] w, float[1, 16, 4] r>"
        "{ t = Transpose<perm=[1,0,2]>(x) y = LSTM<hidden_size=4>(t, w, r) }"
    )
    return [(f"{n}.onnx", each.SerializeToString()) for n, each in enumerate((convolution(), recurrent))]


def read_network(path: Path) -> None:
    network = load(str(path))
    layer_rows(network)
    if network.graph is not None:
        check_runnable(network)
        serialize(network)


_CFG = b"""[net]
width=32
height=32
channels=3
[convolutional]
batch_normalize=1
filters=8
size=3
stride=2
pad=1
activation=leaky
[maxpool]
size=2
stride=2
[convolutional]
filters=8
size=1
activation=mish
[route]
layers=-1,-2
groups=2
group_id=1
[shortcut]
from=-2
activation=linear
[upsample]
stride=2
[convolutional]
filters=18
size=1
activation=linear
[yolo]
mask=0,1,2
anchors=3,4, 5,6, 7,8
classes=1
"""


def cfg_seeds(_: Path) -> Seeds:
    more = b"""[net]
inputs=12
[connected]
output=6
activation=relu
[lstm]
output=4
[softmax]
groups=2
"""
    local = b"""[net]
width=16
height=16
channels=4
[crop]
crop_width=14
crop_height=14
[reorg]
stride=2
[local]
filters=3
size=3
activation=leaky
[avgpool]
[dropout]
probability=.5
[connected]
output=5
activation=linear
[softmax]
"""
    return [("a.cfg", _CFG), ("b.cfg", more), ("c.cfg", local)]


def weights_seeds(folder: Path) -> Seeds:
    (folder / "net.cfg").write_bytes(_CFG)
    values = 8 * 4 + 27 * 8 + 8 + 8 * 8 + 18 + 18 * 8
    head = np.array([0, 2, 5], np.int32).tobytes() + np.array([64], np.uint64).tobytes()
    return [("net.weights", head + np.full(values, 0.1, np.float32).tobytes())]


def read_weights(path: Path) -> object:
    return load(str(path.with_name("net.cfg")), weights=path)


def torch_seeds(_: Path) -> Seeds:
    state = build_module(Source("chipwise.networks.zoo.lenet:lenet5_keras")).state_dict()
    pickled, old = io.BytesIO(), io.BytesIO()
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, pickled)
    torch.save(state, old, _use_new_zipfile_serialization=False)
    return [
        ("w.safetensors", safetensors.torch.save(state)),
        ("w.pth", pickled.getvalue()),
        ("old.th", old.getvalue()),
    ]


def read_torch(path: Path) -> object:
    return build_module(Source("chipwise.networks.zoo.lenet:lenet5_keras", {}, path))


_PROTOTXT = b"""name: "n" input: "x" input_shape { dim: 2 dim: 4 dim: 7 dim: 6 }
layer { name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param { num_output: 4 kernel_size: 3 pad: 1 } }
layer { name: "b" type: "BatchNorm" bottom: "c" top: "c" } layer { name: "r" type: "ReLU" bottom: "c" top: "c" }
layer { name: "s" type: "Scale" bottom: "c" top: "s" scale_param { bias_term: true } }
layer { name: "p" type: "Pooling" bottom: "s" top: "p" pooling_param { pool: AVE kernel_size: 2 stride: 2 pad: 1 } }
layer { name: "e" type: "Eltwise" bottom: "p" bottom: "p" top: "e" eltwise_param { coeff: 1 coeff: -1 } }
layer { name: "l" type: "Slice" bottom: "e" top: "l" top: "m" slice_param { slice_point: 1 } }
layer { name: "h" type: "Reshape" bottom: "m" top: "h" reshape_param { shape { dim: 2 dim: -1 dim: 3 } } }
layer { name: "f" type: "InnerProduct" bottom: "h" top: "f" inner_product_param { num_output: 3 } }
layer { name: "o" type: "Softmax" bottom: "f" top: "o" include { phase: TEST } }"""


def prototxt_seeds(_: Path) -> Seeds:
    return [("net.prototxt", _PROTOTXT)]


def caffemodel_seeds(folder: Path) -> Seeds:
    (folder / "caffe.prototxt").write_bytes(_PROTOTXT)
    shapes = {"c": ((4, 4, 3, 3), (4,)), "b": ((4,), (4,), (1,)), "s": ((4,), (4,)), "f": ((3, 48), (3,))}
    net = schema.network()
    for name, each in shapes.items():
        layer = net.layer.add(name=name)
        for shape in each:
            blob = layer.blobs.add(data=np.full(shape, 0.1, "<f4").tobytes())
            blob.shape.dim.extend(shape)
    return [("caffe.caffemodel", net.SerializeToString())]


def read_caffemodel(path: Path) -> object:
    return load(str(path.with_name("caffe.prototxt")), weights=path)


def keras_seeds(folder: Path) -> Seeds:
    from chipwise.networks.keras_export import keras

    layers = keras.layers
    model = keras.Sequential([layers.Input((4, 4, 1)), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(2)])
    seeds = []
    for name in ("net.keras", "net.h5"):
        model.save(folder / name)
        seeds.append((name, (folder / name).read_bytes()))
    return seeds


def read_keras(path: Path) -> object:
    """All but the export, which takes seconds and sees only what Keras has built."""
    from chipwise.networks import keras_export

    keras_export.export_module = lambda *_: convolution().SerializeToString()
    return keras_export.export(path.read_bytes(), path)


def sound_seeds(_: Path) -> Seeds:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(np.arange(2000, dtype=np.int16).tobytes())
    return [("a.wav", buffer.getvalue())]


def picture_seeds(_: Path) -> Seeds:
    pixels = np.random.default_rng(0).integers(0, 255, (24, 31, 3), np.uint8)
    made: Seeds = []
    for suffix in ("png", "jpeg", "gif", "bmp", "tiff", "webp", "ppm"):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, format=suffix)
        made.append((f"picture.{suffix}", buffer.getvalue()))
    return made


def read_picture(path: Path) -> None:
    picture_shape(path)
    open_picture(path)


def label_seeds(_: Path) -> Seeds:
    return [("names.txt", b"tench\ngoldfish\n\ngreat white shark\ncaf\xc3\xa9\n")]


def array_seeds(_: Path) -> Seeds:
    plain, packed = io.BytesIO(), io.BytesIO()
    np.save(plain, np.arange(24, dtype=np.float32).reshape(2, 3, 4))
    np.savez(packed, x_train=np.zeros((4, 8, 8), np.uint8), y_train=np.arange(4), x_test=np.zeros((2, 8, 8), np.uint8))
    return [("a.npy", plain.getvalue()), ("a.npz", packed.getvalue())]


def read_arrays(path: Path) -> object:
    return read_array(path) if path.suffix == ".npy" else load_data(f"npz:{path}")


KINDS = (
    Kind("onnx", 6, onnx_seeds, read_network),
    Kind("cfg", 4, cfg_seeds, read_network, text=True),
    Kind("weights", 3, weights_seeds, read_weights),
    Kind("torch", 2, torch_seeds, read_torch),
    Kind("prototxt", 2, prototxt_seeds, read_network, text=True),
    Kind("caffemodel", 1, caffemodel_seeds, read_caffemodel),
    Kind("keras", 1, keras_seeds, read_keras),
    Kind("sound", 1, sound_seeds, read_wave),
    Kind("picture", 5, picture_seeds, read_picture),
    Kind("labels", 1, label_seeds, read_labels, text=True),
    Kind("array", 2, array_seeds, read_arrays),
    Kind("plan", 1, plan_seeds, open_and_ask),
    Kind("manifest", 2, plan_seeds, open_and_ask, change=changed_plan),
    Kind("small", 1, small_seeds, read_network),
    Kind("coded", 1, small_seeds, read_network, change=changed_small),
)
