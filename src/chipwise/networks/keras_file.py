"""Networks from Keras files, `.keras` and `.h5`. What was exported is kept: the second time needs no Keras.

>>> load(Path("none.keras"))
Traceback (most recent call last):
    ...
chipwise.core.errors.NetworkError: cannot read Keras file none.keras: No such file or directory
"""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from chipwise.codec.cache import cache_folder
from chipwise.codec.files import atomic_write, read_bounded
from chipwise.codec.hashes import sha256_bytes
from chipwise.core.errors import InputError, NetworkError
from chipwise.core.network import Network
from chipwise.networks import onnx_file
from chipwise.networks.lazy import late
from chipwise.networks.parameters import LIMIT_BYTES

_RULES = 1  # raised when what is made of a file changes


def load(path: Path) -> Network:
    """Read a Keras model as a graph; pictures go in as Keras has them, [batch, rows, columns, channels].

    The file is checked before Keras opens it: layers that run code, classes that are not Keras' own, and links out of
    the file are refused.

    Args:
        path: .keras, or .h5 of Keras 2 or 3 with its description.

    Raises:
        NetworkError: when it cannot be read, holds what is refused, or torch cannot export it.
        MissingExtraError: when Keras or torch is not installed.
    """
    data = read_bounded(path, LIMIT_BYTES, "Keras file", NetworkError)
    key = f"{_RULES} {_version('keras')} {_version('torch')} {sha256_bytes(data)}"
    cached = cache_folder("keras") / f"{sha256_bytes(key.encode())}.onnx"
    network = _cached(cached, path)
    if network is None:
        made: bytes = late("keras_export").export(data, path)
        atomic_write(cached, made)
        network = onnx_file.from_bytes(made, path.stem)
    return replace(network, origin=str(path))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _cached(cached: Path, path: Path) -> Network | None:
    try:
        return onnx_file.from_bytes(cached.read_bytes(), path.stem)
    except (OSError, InputError):  # absent, or damaged and made again
        return None
