"""Weights files: headers of all versions, exact sizes, and what begins at random without them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from files import header, numbers, picture, run, written

from chipwise.core.errors import NetworkError
from chipwise.core.network import Network
from chipwise.networks import darknet_file
from chipwise.networks import parameters as parameters_module
from chipwise.networks.darknet.weights import read_header
from chipwise.networks.darknet_file import load
from chipwise.networks.layers import layer_rows
from chipwise.networks.load import load as load_any
from chipwise.networks.onnx_file import serialize

TEXT = picture(
    "[convolutional]\nfilters=4\nsize=3\npad=1\nbatch_normalize=1\nactivation=leaky\n"
    "[maxpool]\nsize=2\nstride=2\n[connected]\noutput=5\nactivation=linear"
)
FLOATS = 4 * 4 + 4 * 3 * 9 + 5 + 5 * 64


def array(network: Network, name: str) -> np.ndarray:
    assert network.graph is not None
    held = network.graph.graph.initializers[name].const_value
    assert held is not None
    return held.numpy()


@pytest.mark.parametrize(
    ("version", "size", "transposed"),
    [
        ((0, 0, 1), 16, False),
        ((0, 1, 0), 16, False),
        ((0, 2, 0), 20, False),
        ((0, 2, 5), 20, False),
        ((1, 0, 0), 20, False),
        ((1001, 0, 0), 16, True),
        ((0, 1001, 0), 16, True),
        ((-5, 0, 0), 16, False),
    ],
)
def test_headers(version: tuple[int, int, int], size: int, transposed: bool) -> None:
    read = read_header(header(version) + b"\0\0\0\0", "x.weights")
    assert (read.version, read.bytes, read.transposed) == (version, size, transposed)


@pytest.mark.parametrize("version", [(0, 1, 0), (0, 2, 0), (0, 2, 5)])
def test_numbers_come_in_darknets_order(version: tuple[int, int, int], tmp_path: Path) -> None:
    values = np.arange(FLOATS, dtype=np.float32)
    network = load(*written(tmp_path, TEXT, values, version))
    ends = np.cumsum([4, 4, 4, 4, 108, 5, 320])
    names = ("000.bn.bias", "000.bn.scale", "000.bn.mean", "000.bn.var", "000.conv.weight")
    for name, end in zip((*names, "002.connected.bias", "002.connected.weight"), ends, strict=True):
        held = array(network, name)
        assert np.array_equal(held.reshape(-1), values[end - held.size : end]), name
    assert array(network, "000.conv.weight").shape == (4, 3, 3, 3)


def test_old_versions_have_matrices_transposed(tmp_path: Path) -> None:
    values = np.arange(FLOATS, dtype=np.float32)
    network = load(*written(tmp_path, TEXT, values, (1001, 0, 0)))
    assert np.array_equal(array(network, "002.connected.weight"), values[-320:].reshape(64, 5).T)
    assert np.array_equal(array(network, "000.conv.weight").reshape(-1), values[16:124])


def test_flipped_convolutions_are_transposed(tmp_path: Path) -> None:
    text = picture("[convolutional]\nfilters=4\nsize=3\nflipped=1")
    values = np.arange(112, dtype=np.float32)
    network = load(*written(tmp_path, text, values))
    assert np.array_equal(array(network, "000.conv.weight").reshape(4, 27), values[4:].reshape(27, 4).T)


def test_a_file_beside_the_cfg_is_taken(tmp_path: Path) -> None:
    cfg, weights = written(tmp_path, TEXT)
    beside = load_any(str(cfg))
    assert np.array_equal(array(beside, "000.bn.var"), numbers(TEXT)[12:16])
    assert beside.digest == hashlib.sha256(serialize(beside)).hexdigest()
    other = tmp_path / "other.weights"
    other.write_bytes(header() + np.ones(FLOATS, "<f4").tobytes())
    assert array(load_any(str(cfg), weights=other), "000.bn.mean").tolist() == [1] * 4
    weights.unlink()
    assert load_any(str(cfg)).digest != beside.digest


@pytest.mark.parametrize(
    ("change", "problem", "hint"),
    [
        (lambda data: data[:7], "has 7 bytes, less than a header", "cut short"),
        (lambda data: b"", "has 0 bytes", "cut short"),
        (lambda data: data[:-1], f"has {FLOATS * 4 + 19} bytes, the network needs {FLOATS * 4 + 20}", "cut short"),
        (lambda data: data[:-4], ": 1 of 2 layers are whole", "cut short"),
        (lambda data: data[:30], ": 0 of 2 layers are whole", "cut short"),
        (lambda data: data[: 20 + 124 * 4], "it ends after section [convolutional] (line 5), with 1 of 2", "training"),
        (lambda data: data + b"\0", f"has {FLOATS * 4 + 21} bytes, the network needs {FLOATS * 4 + 20}", "another"),
        (lambda data: data + bytes(4096), "the network needs", "another network's"),
        (lambda data: header((0, 1, 0)) + data[20:-4], f"the network needs {FLOATS * 4 + 16}", "cut short"),
    ],
)
def test_files_of_the_wrong_size(change: object, problem: str, hint: str, tmp_path: Path) -> None:
    cfg, weights = written(tmp_path, TEXT)
    weights.write_bytes(change(weights.read_bytes()))  # type: ignore[operator]
    with pytest.raises(NetworkError) as caught:
        load(cfg, weights)
    assert problem in caught.value.message
    assert str(weights) in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_refused(value: float, tmp_path: Path) -> None:
    values = numbers(TEXT)
    values[20] = value
    with pytest.raises(NetworkError, match=r"not a number \(byte 100, section \[convolutional\] \(line 5\)\)"):
        load(*written(tmp_path, TEXT, values))


def test_files_longer_than_any_network_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg, weights = written(tmp_path, TEXT)
    monkeypatch.setattr(darknet_file, "MOST_BYTES", weights.stat().st_size)
    assert load(cfg, weights).digest
    monkeypatch.setattr(darknet_file, "MOST_BYTES", weights.stat().st_size - 1)
    with pytest.raises(NetworkError, match=r"cannot read weights .* it has more than"):
        load(cfg, weights)


def test_weights_that_are_not_there(tmp_path: Path) -> None:
    cfg, weights = written(tmp_path, TEXT)
    weights.unlink()
    with pytest.raises(NetworkError, match="cannot read"):
        load(cfg, weights)


def test_a_cfg_alone_costs_no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = parameters_module._draw

    def small(parameter: parameters_module.Parameter, index: int) -> object:
        assert parameter.count <= 65_536, f"{parameter.value.name} was drawn"
        return draw(parameter, index)

    monkeypatch.setattr(parameters_module, "_draw", small)
    cfg = tmp_path / "large.cfg"
    cfg.write_text(picture("[connected]\noutput=10000\n[connected]\noutput=20000"))
    network = load(cfg, None)
    assert sum(row.parameters for row in layer_rows(network)) == 10000 * 193 + 20000 * 10001


def test_untrained_networks_begin_as_he_says_and_always_alike(tmp_path: Path) -> None:
    cfg, weights = written(tmp_path, TEXT.replace("filters=4", "filters=256"))
    weights.unlink()
    first, second = load(cfg, None), load(cfg, None)
    assert first.digest == second.digest
    assert serialize(first) == serialize(second)
    kernel = array(first, "000.conv.weight")
    assert abs(kernel.std() - np.sqrt(2 / 27)) < 0.01
    assert not np.array_equal(kernel.reshape(-1)[:5], array(first, "002.connected.weight").reshape(-1)[:5])
    assert array(first, "000.bn.var").tolist() == [1] * 256
    assert array(first, "000.bn.bias").tolist() == [0] * 256
    (scores,) = run(first, np.zeros((1, 3, 8, 8)))
    assert scores.tolist() == [[0] * 5]


def test_an_untrained_digest_is_of_the_text(tmp_path: Path) -> None:
    cfg = tmp_path / "a.cfg"
    digests = set()
    for text in (TEXT, TEXT + "\n"):
        cfg.write_text(text)
        digests.add(load(cfg, None).digest)
    assert len(digests) == 2
