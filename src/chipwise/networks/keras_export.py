"""Keras models as ONNX graphs, through Keras 3 on torch: checked, built, exported. Takes seconds; see `keras_file`.

>>> import tempfile
>>> path = Path(tempfile.mkdtemp()) / "one.keras"
>>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
>>> model.save(path); onnx_file.from_bytes(export(path.read_bytes(), path), "one").outputs[0].shape
('batch', 3)
"""

from __future__ import annotations

import json
import os
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

# Keras reads this when it is imported, once and for all.
os.environ["KERAS_BACKEND"] = "torch"

import h5py  # type: ignore[import-untyped]
import keras  # type: ignore[import-untyped]
import torch
from torch import Tensor, nn

from chipwise.core.errors import NetworkError, first_line
from chipwise.networks import keras_config, onnx_file
from chipwise.networks.export_module import export_module
from chipwise.networks.hdf5_probe import require_readable
from chipwise.networks.parameters import LIMIT_BYTES

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
# What Keras raises for files that it does not like.
_ERRORS = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    IndexError,
    NotImplementedError,
    RuntimeError,
    OSError,
    AssertionError,
    ImportError,
    UnicodeDecodeError,
    zipfile.BadZipFile,
)


def export(data: bytes, path: Path) -> bytes:
    """Check a Keras model, build it, and give its graph as ONNX; what it is for lies in the metadata.

    Args:
        data: the file's bytes.
        path: where they came from, for messages.

    Raises:
        NetworkError: when it cannot be read, holds what is refused, or torch cannot export it.
    """
    if keras.backend.backend() != "torch":
        raise NetworkError(
            f"Keras was imported with the backend {keras.backend.backend()!r} before {path} was loaded",
            hint="set KERAS_BACKEND=torch before the first import of keras",
        )
    with tempfile.TemporaryDirectory() as folder:  # the copy that is checked is the one that Keras opens
        copy, config = _checked(data, path, Path(folder))
        network = onnx_file.from_bytes(_exported(copy, path), path.stem)
    task = network.task
    if task.preprocess is not None and keras_config.scales_itself(config):
        task = replace(task, preprocess=replace(task.preprocess, scale=1.0))
    return onnx_file.serialize(replace(network, task=task), with_task=True)


def _checked(data: bytes, path: Path, folder: Path) -> tuple[Path, dict[str, Any]]:
    """Check a file's description and weights, and write the mended copy that Keras may open."""
    zipped = data.startswith(b"PK")
    copy = folder / ("model.keras" if zipped else "model.h5")
    original = folder / "original"
    original.write_bytes(data)
    try:
        config = _copy_zip(original, copy, path) if zipped else _copy_hdf5(original, copy, path)
    except (OSError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile, NotImplementedError) as error:
        raise NetworkError(f"{path} is no Keras file, or it was cut short: {first_line(error)}") from error
    return copy, config


def _copy_zip(original: Path, copy: Path, path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(original) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
        if not {_CONFIG, _WEIGHTS} <= sizes.keys():
            raise NetworkError(f"{path} lacks {_CONFIG} or {_WEIGHTS}", hint="save it with model.save('name.keras')")
        if sizes[_CONFIG] > keras_config.LIMIT_BYTES or sizes[_WEIGHTS] > LIMIT_BYTES:
            raise NetworkError(f"{path} unpacks to {sum(sizes.values()):,} bytes", hint=f"at most {LIMIT_BYTES:,}")
        config = keras_config.mended(keras_config.parse(archive.read(_CONFIG), str(path)))
        keras_config.allowed(config, _own_classes(), str(path))
        weights = copy.with_name("weights.h5")
        weights.write_bytes(archive.read(_WEIGHTS))
    require_readable(weights, str(path))
    with h5py.File(weights, "r") as file:
        _check_links(file, path)
    with zipfile.ZipFile(copy, "w") as archive:
        archive.writestr(_CONFIG, json.dumps(config))
        archive.writestr("metadata.json", json.dumps({"keras_version": keras.__version__}))
        archive.write(weights, _WEIGHTS)
    return config


def _copy_hdf5(original: Path, copy: Path, path: Path) -> dict[str, Any]:
    require_readable(original, str(path))
    with h5py.File(original, "r") as file:
        _check_links(file, path)
        text = file.attrs.get("model_config")
        if not isinstance(text, (str, bytes)):
            raise NetworkError(
                f"{path} holds weights without a description", hint="save it with model.save, not save_weights"
            )
        config = keras_config.mended(keras_config.parse(text, str(path)))
        keras_config.allowed(config, _own_classes(), str(path))
        if "model_weights" not in file:
            raise NetworkError(f"{path} holds a description without weights", hint="save it with model.save")
        with h5py.File(copy, "w", track_order=True) as made:
            made.attrs["model_config"] = json.dumps(config)
            file.copy("model_weights", made)
    return config


def _check_links(file: h5py.File, path: Path) -> None:
    """Links out of the file, and arrays larger than anything real, are refused before their numbers are read."""
    total, seen = 0, set()
    waiting: list[Any] = [file]
    while waiting:
        group = waiting.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise NetworkError(f"{path}: {group.name}/{name} is a link, not data", hint="save the model again")
            found = group[name]
            address = h5py.h5o.get_info(found.id).addr
            if address in seen:
                continue
            seen.add(address)
            if isinstance(found, h5py.Group):
                waiting.append(found)
            elif isinstance(found, h5py.Dataset):
                total += found.nbytes if found.shape is not None else 0
                if found.external or found.is_virtual or total > LIMIT_BYTES:
                    where = "lies in another file" if found.external or found.is_virtual else f"brings {total:,} bytes"
                    raise NetworkError(f"{path}: {found.name} {where}", hint="save the model again")


def _own_classes() -> frozenset[str]:
    """Class names that files of Keras 2 may hold, which do not say where a class comes from."""
    places = (keras.layers, keras.models, keras.initializers, keras.regularizers, keras.constraints)
    return frozenset(name for place in places for name in dir(place) if name[:1].isupper()) | {"Functional"}


def _exported(copy: Path, path: Path) -> bytes:
    try:
        with keras.device("cpu"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model: Any = keras.saving.load_model(copy, compile=False, safe_mode=True)
            examples = tuple(_example(tensor, path) for tensor in model.inputs)
            return export_module(_Inference(model), examples, _names(model.inputs))
    except _ERRORS as error:
        raise NetworkError(
            f"Keras cannot load {path}: {first_line(error)}", hint="save it again with Keras 3"
        ) from error


def _names(inputs: list[Any]) -> list[str]:
    """Names that Keras gave, where they are names of their own."""
    names = [str(tensor.name) for tensor in inputs]
    return names if len(set(names)) == len(names) else []


def _example(tensor: Any, path: Path) -> Tensor:
    shape = tensor.shape[1:]
    if not all(isinstance(size, int) for size in shape):
        raise NetworkError(
            f"{path}: input {tensor.name!r} is {list(tensor.shape)}, with free sizes beside the batch",
            hint="save the model with an input of a fixed size",
        )
    return torch.zeros((2, *shape), dtype=getattr(torch, tensor.dtype))


class _Inference(nn.Module):
    """A Keras model called as inference calls it: dropout off, batch-norm with its running statistics."""

    def __init__(self, model: Callable[..., Any]) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> Any:
        """Inputs as the model has them, one or several; outputs as a tensor or a list."""
        return self.model(inputs[0] if len(inputs) == 1 else list(inputs), training=False)
