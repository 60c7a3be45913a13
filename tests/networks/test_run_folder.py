"""A trained network on disk."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
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


def test_a_source_has_safetensors_and_a_graph_a_file_of_its_own(tmp_path: Path) -> None:
    from small_graphs import convolution

    from chipwise.networks import onnx_file, small_file

    network = onnx_file.from_bytes(convolution().SerializeToString(), "g")
    with pytest.raises(NetworkError, match="no torch source"):
        run_folder.save(tmp_path, network, weights(tmp_path / "w"))
    task = replace(network.task, labels=("a", "b"))
    for file in ("network.onnx", "network.cwz"):
        folder = tmp_path / file
        folder.mkdir()
        if file == "network.onnx":
            (folder / file).write_bytes(onnx_file.serialize(network))
        else:
            small_file.save(folder / file, network)
        saved = run_folder.save_graph(folder, replace(network, name="mine", task=task), file)
        again = load(str(folder))
        assert again == replace(saved, graph=again.graph)
        assert (again.name, again.task, again.source, again.origin) == ("mine", task, None, str(folder))
        assert run_folder.is_small(folder) is (file == "network.cwz")
        assert not run_folder.is_small(tmp_path)
        with pytest.raises(NetworkError, match="no torch source that takes weights"):
            load(str(folder), weights=tmp_path / "w.safetensors")
        data = (folder / file).read_bytes()
        (folder / file).write_bytes(data[:-1])
        with pytest.raises(NetworkError, match="is not the file that"):
            load(str(folder))
        (folder / file).unlink()
        with pytest.raises(NetworkError, match="cannot read"):
            load(str(folder))
        with pytest.raises(NetworkError, match="cannot read"):
            run_folder.save_graph(folder, network, file)
