"""Every ONNX file of the reference data loads, is counted, and gives in ONNX Runtime what was published for it."""

from __future__ import annotations

import hashlib
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from PIL import Image

from chipwise.core.layer import totals
from chipwise.core.network import Network
from chipwise.networks import onnx_file
from chipwise.networks.layers import layer_rows
from chipwise.networks.load import load

pytestmark = [pytest.mark.shared, pytest.mark.runtime]

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
Array = NDArray[Any]
Run = Callable[..., list[Array]]
Golden = dict[str, Array]
# How far a number may be off, of the largest one: another runtime, another order of sums.
CLOSE = 2e-5


def one_by_one(run: Run, golden: Golden) -> Array:
    """Feed the only input array item by item, as the files with a fixed batch want it."""
    (key,) = (key for key in golden if key not in ("output", "image", "logits", "softmaxout_1"))
    return np.concatenate([run(golden[key][i : i + 1])[0] for i in range(len(golden[key]))])


def super_resolution(run: Run, golden: Golden) -> Array:
    return run((golden["y_uint8_224"] / np.float32(255))[None, None].astype(np.float32))[0]


def dtln(run: Run, _: Golden) -> Iterator[Array]:
    """200 frames of 512 samples every 128, magnitudes in, a mask out, the state carried."""
    sound, state = speech()[16000:], np.zeros((1, 2, 128, 2), np.float32)
    masks = []
    for frame in range(200):
        heard = np.abs(np.fft.rfft(sound[128 * frame :][:512])).astype(np.float32).reshape(1, 1, 257)
        mask, state = run(heard, state)
        masks.append(mask)
    yield np.concatenate(masks)
    yield state


def silero(run: Run, _: Golden) -> Iterator[Array]:
    """Pieces of 512 samples with the 64 before, the state carried."""
    sound, state = speech(), np.zeros((2, 1, 128), np.float32)
    sound = np.concatenate((np.zeros(64, np.float32), sound))
    said = []
    for start in range(0, len(sound) - 575, 512):
        share, state = run(sound[None, start : start + 576], state, np.array(16000, np.int64))
        said.append(share.ravel())
    yield np.concatenate(said)
    yield state


def style(run: Run, golden: Golden) -> Array:
    picture = Image.open(SHARED / "images" / "style_input.jpg").convert("RGB")
    factor = 720 / min(picture.size)
    width, height = (round(side * factor) for side in picture.size)
    picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (width - 720) // 2, (height - 720) // 2
    pixels = np.asarray(picture.crop((left, top, left + 720, top + 720)), np.uint8)
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == str(golden["input_sha256"])
    given = np.ascontiguousarray(pixels[:, :, ::-1].transpose(2, 0, 1)[None], np.float32)
    return run(given)[0][:, :, 232:488, 232:488]


def faces(run: Run, golden: Golden) -> Iterator[Array]:
    given = (golden["rgb_240x320_uint8"].astype(np.float32) - 127) / 128
    yield from run(given.transpose(2, 0, 1)[None])


def yolox(run: Run, golden: Golden) -> Array:
    given = golden["letterboxed_rgb_uint8"][..., ::-1].transpose(0, 3, 1, 2).astype(np.float32)
    return np.concatenate([run(given[i : i + 1])[0] for i in range(len(given))])


def yolo_fastest(run: Run, golden: Golden) -> Iterator[Array]:
    yield from run((golden["rgb_320_uint8"].transpose(2, 0, 1)[None] / 255).astype(np.float32))


def bird(run: Run, golden: Golden) -> Array:
    path = SHARED / str(golden["input_image"]).split(" ")[0]
    return run(np.asarray(Image.open(path).convert("RGB"), np.uint8)[None])[0][0]


def keywords(run: Run, _: Golden) -> Array:
    data = np.load(SHARED / "mlperf_tiny" / "kws01_750.npz")
    (key,) = (key for key in data if data[key].ndim > 1)
    return run(data[key].reshape(-1, 49, 10, 1))[0]


def speech() -> Array:
    with wave.open(str(SHARED / "audio" / "silero_test_16k.wav")) as file:
        return (np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768).astype(np.float32)


# File: (golden, its arrays, how they come about, largest difference in parts of the largest value).
GOLDEN: dict[str, tuple[str, tuple[str, ...], Callable[..., Any], float]] = {
    "cifar10/models/cifar10_tutorial_cnn": ("cifar10_tutorial_cnn", ("output",), one_by_one, CLOSE),
    "cifar10/models/derived_resnet20": ("derived_resnet20", ("output",), one_by_one, CLOSE),
    "cifar10/models/derived_resnet56": ("derived_resnet56", ("output",), one_by_one, CLOSE),
    "darknet/derived_yolo-fastest-1.1": ("yolo-fastest-1.1", ("onnx_head0", "onnx_head1"), yolo_fastest, CLOSE),
    "imagenet/models/derived_squeezenet_v1.0_deepcompressed_fp32": (
        "derived_squeezenet_v1.0_deepcompressed_fp32", ("logits",), one_by_one, CLOSE,
    ),
    "imagenet/models/squeezenet_fp16": ("squeezenet_fp16", ("softmaxout_1",), one_by_one, 1e-2),
    "mlperf_tiny/derived_ad01_float": ("ad01_float", ("output",), one_by_one, 2e-4),
    "mlperf_tiny/derived_ic_resnet8_float": ("ic_resnet8_float", ("output",), one_by_one, CLOSE),
    "mlperf_tiny/derived_ic_resnet8_int8": ("ic_resnet8_int8", ("output",), one_by_one, 0.03),
    "mlperf_tiny/derived_kws_dscnn_int8": ("kws_dscnn_int8_outputs_750", ("output",), keywords, 0.03),
    "mlperf_tiny/derived_vww_96_float": ("vww_96_float", ("output",), one_by_one, CLOSE),
    "mlperf_tiny/derived_vww_96_int8": ("vww_96_int8", ("output",), one_by_one, 0.03),
    "onnx/derived_super_resolution_op13": ("derived_super_resolution_op13", ("output",), super_resolution, CLOSE),
    "onnx/dtln_model_1": ("dtln_model_1", ("output", "final_state"), dtln, 1e-4),
    "onnx/iris_mlp": ("iris_mlp", ("output",), one_by_one, CLOSE),
    "onnx/mnist_cntk": ("mnist_cntk", ("output",), one_by_one, CLOSE),
    "onnx/opt-mnist": ("opt-mnist", ("output",), one_by_one, CLOSE),
    "onnx/silero_vad_16k_op15": ("silero_vad_16k_op15", ("prob", "final_state"), silero, 1e-3),
    "onnx/style_candy": ("style_candy", ("output_bgr_center_256",), style, 1e-4),
    "onnx/super_resolution": ("derived_super_resolution_op13", ("output",), super_resolution, CLOSE),
    "onnx/ultraface_version-RFB-320": ("ultraface_version-RFB-320", ("scores", "boxes"), faces, CLOSE),
    "onnx/yolox_nano": ("yolox_nano", ("output",), yolox, 1e-4),
    "tflite/derived_deeplabv3_mnv2_dm05_pascal_quant": (
        "deeplabv3_mnv2_dm05_pascal_quant", ("class_map",), bird, 0.0,
    ),
    **{
        f"imagenet/models/derived_{name}": (name, ("output",), one_by_one, 0.04)
        for name in ("mobilenet_v1_0.25_128_quant", "mobilenet_v1_0.5_160_quant", "mobilenet_v2_1.0_224_quant")
    },
}  # fmt: skip
FILES = sorted(str(path.relative_to(SHARED).with_suffix("")) for path in SHARED.rglob("*.onnx"))


def runner(network: Network) -> Run:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    data = onnx_file.serialize(network)
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names = [spec.name for spec in network.inputs]
    return lambda *arrays: session.run(None, dict(zip(names, arrays, strict=True)))


@pytest.mark.parametrize("name", FILES)
def test_every_file_loads_and_gives_what_was_published(name: str) -> None:
    network = load(str(SHARED / f"{name}.onnx"))
    onnx_file.check_runnable(network)
    assert totals(layer_rows(network)).parameters > 0
    run = runner(network)
    if name not in GOLDEN:
        assert all(np.isfinite(array).all() for array in run(*_zeros(network)))
        return
    file, keys, compute, limit = GOLDEN[name]
    golden = dict(np.load(SHARED / "golden" / f"{file}.npz"))
    given = compute(run, golden)
    for key, array in zip(keys, [given] if isinstance(given, np.ndarray) else given, strict=True):
        if not limit:  # a map of classes: nearly all pixels
            assert np.mean(array == golden[key]) > 0.995
            continue
        wanted = golden[key].astype(np.float64)
        error = np.abs(array.astype(np.float64).reshape(wanted.shape) - wanted).max() / np.abs(wanted).max()
        assert error <= limit, f"{key}: {error:.2e} of the largest value"


def _zeros(network: Network) -> list[Array]:
    return [np.zeros(spec.concrete(1), spec.dtype) for spec in network.inputs]


def test_no_file_is_forgotten(shared_data: Path) -> None:
    assert shared_data == SHARED
    assert set(GOLDEN) <= set(FILES)
    assert len(FILES) == 28
