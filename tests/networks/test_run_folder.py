"""A trained network on disk."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from chipwise.core.errors import NetworkError
from chipwise.core.network import Network
from chipwise.networks import run_folder
from chipwise.networks.load import load


def weights(path: Path, size: int = 8) -> Path:
    header = json.dumps({"w": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * size)
    return path


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, Network]:
    folder = tmp_path / "run"
    return folder, run_folder.save(folder, load("lenet5-keras"), weights(tmp_path / "best.safetensors"))


def test_round_trip(saved: tuple[Path, Network]) -> None:
    folder, network = saved
    again = load(str(folder))
    assert again == network
    assert again.source is not None
    assert again.source.weights == folder / "weights.safetensors"
    assert again.digest != load("lenet5-keras").digest
    assert again.task == load("lenet5-keras").task


def test_digest_follows_the_weights(saved: tuple[Path, Network], tmp_path: Path) -> None:
    other = run_folder.save(tmp_path / "other", load("lenet5-keras"), weights(tmp_path / "o.safetensors", 16))
    assert other.digest != saved[1].digest


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": "chipwise.network/9"}, "schema"),
        ({"weights": "../best.safetensors"}, "outside"),
        ({"weights": "/etc/passwd"}, "outside"),
        ({"factory": 3}, "factory"),
        ({"inputs": []}, "no input"),
        ({"weights_sha256": "0"}, "not the file"),
    ],
)
def test_changed_record(saved: tuple[Path, Network], change: dict[str, object], said: str) -> None:
    path = saved[0] / "network.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(NetworkError, match=said) as caught:
        load(str(saved[0]))
    assert len(caught.value.message.splitlines()) == 1


def test_missing_field_and_no_json(saved: tuple[Path, Network]) -> None:
    path = saved[0] / "network.json"
    record = json.loads(path.read_text())
    del record["factory"]
    path.write_text(json.dumps(record))
    with pytest.raises(NetworkError, match="factory"):
        load(str(saved[0]))
    for text in ("{", "[]", "\xff"):
        path.write_text(text, encoding="latin-1")
        with pytest.raises(NetworkError):
            load(str(saved[0]))


def test_damaged_weights(saved: tuple[Path, Network]) -> None:
    path = saved[0] / "weights.safetensors"
    data = path.read_bytes()
    for damaged in (data[:-1], data[:5], b"\xff" * 40, data + b"\0", b""):
        path.write_bytes(damaged)
        with pytest.raises(NetworkError):
            load(str(saved[0]))
    path.unlink()
    with pytest.raises(NetworkError, match="cannot read"):
        load(str(saved[0]))


def test_only_a_source_can_be_saved(tmp_path: Path) -> None:
    from small_graphs import convolution

    from chipwise.networks.onnx_file import from_bytes

    with pytest.raises(NetworkError, match="no torch source"):
        run_folder.save(tmp_path, from_bytes(convolution().SerializeToString(), "g"), weights(tmp_path / "w"))
