"""A network's weights as one safetensors file: named, dense, for other tools.

>>> import tempfile
>>> from chipwise.networks.onnx_file import from_bytes
>>> import onnx
>>> text = '<ir_version: 8, opset_import: ["": 17]> g (float[2] x) => (float[2] y) <float[2] w={1, 2}> {y = Add(x, w)}'
>>> path = Path(tempfile.mkdtemp()) / "w.safetensors"
>>> save(path, from_bytes(onnx.parser.parse_model(text).SerializeToString(), "sum"))
>>> safetensors.numpy.load_file(path)["w"].tolist()
[1.0, 2.0]
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import safetensors.numpy

from chipwise.codec.files import atomic_write
from chipwise.core.errors import NetworkError
from chipwise.core.network import Network


def save(path: Path, network: Network) -> None:
    """Write every initializer of a network's graph under its name, in its own element type.

    Raises:
        NetworkError: the network has no graph, or a weight of an element type that safetensors lacks.
        StorageError: the file cannot be written.
    """
    if network.graph is None:
        raise NetworkError(f"{network.name} has no graph yet")
    arrays = {
        name: np.asarray(value.const_value.numpy(), order="C")  # a scalar stays one
        for name, value in network.graph.graph.initializers.items()
        if value.const_value is not None
    }
    try:
        data = safetensors.numpy.save(arrays)
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise NetworkError(f"{network.name} holds a weight that safetensors cannot store: {error}") from error
    atomic_write(path, data)
