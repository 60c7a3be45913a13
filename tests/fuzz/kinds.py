"""Every kind of file that chipwise reads: small good ones to damage, and the code that reads them."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from small_graphs import convolution, parsed

from chipwise.codec.plan_file import read_plan
from chipwise.compiler.run import read_array
from chipwise.datasets import load as load_data
from chipwise.networks.layers import layer_rows
from chipwise.networks.load import load
from chipwise.networks.onnx_file import check_runnable, serialize
from chipwise.tasks.describe import read_labels
from chipwise.tasks.pictures import open_picture, picture_shape

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
Seeds = list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file: how many of all examples it gets, its seeds as (file name, bytes), and what reads a file."""

    name: str
    share: int
    seeds: Callable[[Path], Seeds]
    read: Callable[[Path], object]
    text: bool = False


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


def plan_seeds(folder: Path) -> Seeds:
    from chipwise.api import compile

    path = folder / "seed.onnx"
    path.write_bytes(convolution().SerializeToString())
    plan = folder / "seed.plan"
    compile(path, output=plan, budget_s=1.0, runtimes=("onnxruntime",))
    return [("damaged.plan", plan.read_bytes())]


KINDS = (
    Kind("onnx", 6, onnx_seeds, read_network),
    Kind("picture", 5, picture_seeds, read_picture),
    Kind("labels", 1, label_seeds, read_labels, text=True),
    Kind("array", 2, array_seeds, read_arrays),
    Kind("plan", 1, plan_seeds, read_plan),
)
