"""Small Darknet files to test with, and the network that they make."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import onnxruntime as ort

from chipwise.core.network import Network
from chipwise.networks.darknet.build import build
from chipwise.networks.darknet.cfg import parse
from chipwise.networks.darknet_file import load
from chipwise.networks.onnx_file import serialize

PICTURE = "[net]\nwidth={w}\nheight={h}\nchannels={c}\n"


def picture(layers: str, c: int = 3, h: int = 8, w: int = 8) -> str:
    """A cfg that takes a picture."""
    return PICTURE.format(c=c, h=h, w=w) + layers


def header(version: tuple[int, int, int] = (0, 2, 0)) -> bytes:
    """The start of a weights file of this version."""
    long = version[0] * 10 + version[1] >= 2 and max(version[:2]) < 1000
    return struct.pack("<iiiQ" if long else "<iiiI", *version, 64)


def numbers(text: str, seed: int = 1) -> np.ndarray:
    """Random numbers for a cfg's layers; variances are above zero."""
    rng = np.random.default_rng(seed)
    parts = []
    for parameter in build(parse(text)).parameters:
        values = rng.normal(size=parameter.count)
        positive = str(parameter.value.name).endswith((".var", ".scale"))
        parts.append(np.abs(values) + 0.5 if positive else values)
    return np.concatenate([np.zeros(0), *parts]).astype("<f4")


def written(
    folder: Path, text: str, values: np.ndarray | None = None, version: tuple[int, int, int] = (0, 2, 0)
) -> tuple[Path, Path]:
    """Write a cfg and its weights."""
    cfg, weights = folder / "net.cfg", folder / "net.weights"
    cfg.write_text(text)
    weights.write_bytes(header(version) + (numbers(text) if values is None else values).astype("<f4").tobytes())
    return cfg, weights


def network(folder: Path, text: str, values: np.ndarray | None = None) -> Network:
    """Load a cfg with weights."""
    return load(*written(folder, text, values))


def run(net: Network, *inputs: np.ndarray) -> list[np.ndarray]:
    """Run a network in ONNX Runtime."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(serialize(net), options)
    feeds = {spec.name: value.astype(np.float32) for spec, value in zip(net.inputs, inputs, strict=True)}
    return session.run(None, feeds)
