"""Keras files load and compute the same; what runs code or leads out of the file is refused before Keras sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras")
h5py = pytest.importorskip("h5py")
pytestmark = pytest.mark.runtime

import onnxruntime as ort  # noqa: E402

from chipwise.core.errors import MissingExtraError, NetworkError  # noqa: E402
from chipwise.core.network import Network  # noqa: E402
from chipwise.networks import keras_config, keras_export, keras_file, lazy, onnx_file  # noqa: E402
from chipwise.networks.load import load  # noqa: E402

Config = dict[str, Any]


def small() -> Any:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(4, 3, padding="same", activation="relu"),
            keras.layers.DepthwiseConv2D(3, strides=2, padding="same"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),
            keras.layers.Flatten(),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="mse")
    return model


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keras")
    model = small()
    model.save(folder / "net.keras")
    model.save(folder / "net.h5")
    x = np.random.default_rng(0).uniform(0, 255, (5, 6, 6, 3)).astype(np.float32)
    np.savez(folder / "x.npz", x=x, y=model.predict(x, verbose=0))
    return folder


def run(network: Network, x: Any) -> Any:
    session = ort.InferenceSession(onnx_file.serialize(network), providers=["CPUExecutionProvider"])
    return session.run(None, {network.inputs[0].name: x})[0]


@pytest.mark.parametrize("name", ["net.keras", "net.h5"])
def test_both_formats_compute_the_same(saved: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = np.load(saved / "x.npz")
    network = load(str(saved / name))
    assert network.inputs[0].shape == ("batch", 6, 6, 3)
    assert network.task.kind == "classification"
    assert network.task.preprocess is not None
    assert (network.task.preprocess.layout, network.task.preprocess.scale) == ("NHWC", 1.0)  # it scales itself
    np.testing.assert_allclose(run(network, arrays["x"]), arrays["y"], rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(keras_export, "export", None)  # the second time it comes from the cache
    assert load(str(saved / name)).digest == network.digest


def with_config(saved: Path, target: Path, change: Callable[[Config], None]) -> Path:
    """A .keras or .h5 with a changed description."""
    if target.suffix == ".keras":
        with zipfile.ZipFile(saved / "net.keras") as old, zipfile.ZipFile(target, "w") as new:
            for name in old.namelist():
                data = old.read(name)
                if name == "config.json":
                    config = json.loads(data)
                    change(config)
                    data = json.dumps(config).encode()
                new.writestr(name, data)
        return target
    target.write_bytes((saved / "net.h5").read_bytes())
    with h5py.File(target, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        change(config)
        file.attrs["model_config"] = json.dumps(config)
    return target


def first_layer(config: Config) -> Config:
    layer: Config = config["config"]["layers"][1]
    return layer


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"class_name": "Lambda"}, "of type Lambda, which runs code"),
        ({"class_name": "TorchModuleWrapper"}, "which runs code"),
        ({"class_name": "TFSMLayer"}, "which runs code"),
        ({"class_name": "__lambda__"}, "which runs code"),
        ({"class_name": "Mine", "module": "mine.layers"}, "Mine, which is not Keras' own"),
        ({"class_name": "Mine", "module": None}, "Mine, which is not Keras' own"),
        ({"class_name": "TFOpLambda", "module": None}, "TFOpLambda, which is not Keras' own"),
        ({"registered_name": "mine>Rescaling"}, "not Keras' own"),
        ({"class_name": "system", "module": "os"}, "not Keras' own"),
        ({"class_name": "get_file", "module": "keras.utils"}, "not Keras' own"),
        ({"class_name": "function", "module": "subprocess"}, "not Keras' own"),
    ],
)
def test_what_runs_code_is_refused_before_keras(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, changes: Config, says: str
) -> None:
    def opened(*_: Any, **__: Any) -> None:
        raise AssertionError("Keras opened it")

    monkeypatch.setattr(keras.saving, "load_model", opened)
    path = with_config(saved, tmp_path / f"bad{suffix}", lambda config: first_layer(config).update(changes))
    with pytest.raises(NetworkError, match=says) as caught:
        load(str(path))
    assert "\n" not in str(caught.value)


def test_a_lambda_deep_inside_is_found() -> None:
    config: Config = {
        "class_name": "TimeDistributed",
        "config": {"layer": [{"x": {"class_name": "Lambda", "config": {}}}]},
    }
    with pytest.raises(NetworkError, match="holds a Lambda, which runs code"):
        keras_config.allowed(config, frozenset({"TimeDistributed"}), "net.h5")


def test_groups_of_old_depthwise_layers_and_training_are_taken_out() -> None:
    layer = {"class_name": "DepthwiseConv2D", "config": {"groups": 1, "strides": [1, 1]}}
    other = {"class_name": "Conv2D", "config": {"groups": 2}}
    config = {"config": {"layers": [layer, other]}, "compile_config": {"optimizer": "x"}}
    assert keras_config.mended(config) == {
        "config": {"layers": [{"class_name": "DepthwiseConv2D", "config": {"strides": [1, 1]}}, other]}
    }
    assert layer["config"]["groups"] == 1  # type: ignore[index]  # the original is left alone


def test_links_out_of_the_file_are_refused(saved: Path, tmp_path: Path) -> None:
    data = (saved / "net.h5").read_bytes()
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["a"] = np.ones(3)
    changes: dict[str, Callable[[Any], None]] = {
        "is a link": lambda group: group.__setitem__("z", h5py.ExternalLink("other.h5", "a")),
        "z is a link": lambda group: group.__setitem__("z", h5py.SoftLink("/model_weights")),
        "lies in another file": lambda group: group.create_dataset("z", (3,), "f4", external=[("/etc/passwd", 0, 12)]),
        "bytes": lambda group: group.create_dataset("z", (10**11,), "f4", chunks=(1000,)),
    }
    for says, change in changes.items():
        path = tmp_path / "bad.h5"
        path.write_bytes(data)
        with h5py.File(path, "r+") as file:
            change(file["model_weights"])
        with pytest.raises(NetworkError, match=says):
            load(str(path))


@pytest.mark.parametrize("name", ["net.keras", "net.h5"])
def test_damaged_files(saved: Path, tmp_path: Path, name: str) -> None:
    data = (saved / name).read_bytes()
    for broken in (b"", b"text", data[:100], data[: len(data) // 2], b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"):
        (tmp_path / name).write_bytes(broken)
        with pytest.raises(NetworkError) as caught:
            load(str(tmp_path / name))
        assert "\n" not in str(caught.value)
    with pytest.raises(NetworkError, match="cannot read"):
        keras_file.load(tmp_path / "none.h5")


def test_weights_or_description_alone(saved: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file["a"] = np.ones(3)
    with pytest.raises(NetworkError, match="without a description"):
        load(str(tmp_path / "weights.h5"))
    with zipfile.ZipFile(tmp_path / "half.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(NetworkError, match="lacks"):
        load(str(tmp_path / "half.keras"))
    with zipfile.ZipFile(saved / "net.keras") as old, zipfile.ZipFile(tmp_path / "list.keras", "w") as new:
        for member in old.namelist():
            new.writestr(member, b"[1]" if member == "config.json" else old.read(member))
    with pytest.raises(NetworkError, match="no JSON object"):
        load(str(tmp_path / "list.keras"))


def test_inputs_of_free_size_are_named(tmp_path: Path) -> None:
    keras.Sequential([keras.Input((None, 3)), keras.layers.Dense(2)]).save(tmp_path / "free.keras")
    with pytest.raises(NetworkError, match="free sizes beside the batch"):
        load(str(tmp_path / "free.keras"))


def test_another_backend_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(NetworkError, match="backend 'jax'") as caught:
        keras_export.export(b"", tmp_path / "net.keras")
    assert "KERAS_BACKEND=torch" in caught.value.hint


def test_keras_missing_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> None:
        raise ModuleNotFoundError("No module named 'keras'", name="keras")

    monkeypatch.setattr(lazy.importlib, "import_module", missing)
    with pytest.raises(MissingExtraError) as caught:
        lazy.late("keras_export")
    assert "chipwise[keras]" in caught.value.hint


def test_the_light_modules_do_not_import_keras() -> None:
    code = "import sys, chipwise.networks.load, chipwise.networks.keras_file; print('keras' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "golden"),
    [
        ("ic_resnet8", "ic_resnet8_float"),
        pytest.param("vww_mobilenet_v1_025_96", "vww_96_float", marks=pytest.mark.slow),
    ],
)
def test_published_files_of_keras_2(shared_data: Path, name: str, golden: str) -> None:
    """ResNet-8 takes pixels 0..255, person detection 0..1; the files do not say so."""
    arrays = np.load(shared_data / "golden" / f"{golden}.npz")
    scores = run(load(str(shared_data / "mlperf_tiny" / f"{name}.h5")), arrays["input"])
    np.testing.assert_allclose(scores, arrays["output"], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(scores.argmax(1), arrays["output"].argmax(1))


def test_files_that_the_hdf5_library_chokes_on_end_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from chipwise.networks import hdf5_probe

    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=np.arange(5000.0), chunks=(500,), compression="gzip")
    hdf5_probe.require_readable(path, "w.h5")
    data = bytearray(path.read_bytes())
    data[-3000:-1000] = bytes(2000)
    path.write_bytes(data)
    with pytest.raises(NetworkError, match="no Keras file"):
        hdf5_probe.require_readable(path, "w.h5")
    monkeypatch.setattr(hdf5_probe, "_SECONDS", 0.001)  # as if the library hung
    with pytest.raises(NetworkError, match="cannot be read within"):
        hdf5_probe.require_readable(path, "w.h5")
