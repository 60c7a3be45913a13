"""Ways of a whole compression: bits by layer, what goes of each layer and when, where k-means starts, pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import chipwise
from chipwise.core.compression import Compression
from chipwise.networks import small_file
from chipwise.networks.onnx_file import from_model, serialize

from .graphs import lecture, two_layers

pytestmark = pytest.mark.runtime
QUICK = {"epochs": 3, "threads": 1, "augment": "none", "learning_rate": 1e-2}


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """An ONNX file, which is not trained yet, and samples."""
    folder = tmp_path_factory.mktemp("ways")
    graph, told = two_layers(width=128, inputs=32, classes=4), lecture(inputs=32, classes=4)
    (folder / "net.onnx").write_bytes(serialize(from_model(graph, "net")))
    np.savez(folder / "data.npz", x=told.train.inputs.numpy(), y=told.train.labels.numpy())
    return folder / "net.onnx", f"npz:{folder / 'data.npz'}"


def compress(given: tuple[Path, str], output: Path, **asked: Any) -> Compression:
    return chipwise.compress(*given, output=output, teacher_share=0.0, **(QUICK | asked))


def test_bits_by_layer_under_a_budget_of_bytes_and_pictures(given: tuple[Path, str], tmp_path: Path) -> None:
    output, asked = tmp_path / "mixed.cwz", {"target": "12x", "bits": "auto", "rounding": "codebook", "scope": "layer"}
    found = compress(given, output, start="density", **asked)
    assert found.met
    bits = found.stages[-1].bits
    assert len(bits) == 2
    assert [layer.bits for layer in found.layers] == list(bits.values())
    network = small_file.load(output)
    assert network.graph is not None
    arrays = [value.const_value.numpy() for value in network.graph.graph.initializers.values()]
    for layer, array in zip(found.layers, [each for each in arrays if each.ndim == 2], strict=True):
        assert len(np.unique(array)) <= 2**layer.bits
    shares = [layer.trained.zeros / (sum(layer.trained.counts) + layer.trained.zeros) for layer in found.weights]
    assert max(shares) - min(shares) < 0.01, "the same share of each"
    prune = found.stages[0]
    densities = [epoch.density for epoch in prune.history]
    assert densities == sorted(densities, reverse=True)
    assert densities[0] > densities[-1]
    assert prune.history[prune.kept - 1].accuracy == prune.accuracy
    again = compress(given, output, start="density", pictures=tmp_path / "drawn", **asked)
    assert replace(again, seconds=found.seconds) == found, "nothing is trained again for the pictures"
    assert {path.name for path in (tmp_path / "drawn").iterdir()} == {"accuracy.svg", "values.svg", "weights.svg"}


def test_with_a_density_bits_by_layer_take_no_more_bytes(given: tuple[Path, str], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    asked: dict[str, Any] = {"target": "2x", "density": 0.3, "pictures": page}
    alike, mixed = (compress(given, tmp_path / f"{bits}.cwz", bits=bits, **asked) for bits in (3, "auto"))
    assert [layer.bits for layer in alike.layers] == [3, 3]
    assert alike.stages[0].weights == mixed.stages[0].weights
    assert mixed.file_bytes <= 1.02 * alike.file_bytes
    assert len(mixed.stages[-1].bits) == 2
    assert page.read_text().count("<svg") == 3


def test_the_same_settings_in_another_way_are_another_compression(given: tuple[Path, str], tmp_path: Path) -> None:
    files = {}
    for way in ({}, {"pruning": "iterative"}, {"scope": "sensitivity"}, {"rounding": "codebook", "start": "random"}):
        found = compress(given, tmp_path / "x.cwz", target="2x", density=0.25, **way)
        assert found.stages[0].weights == pytest.approx(0.25 * (128 * 32 + 128 * 4), abs=2)
        files[str(way)] = (tmp_path / "x.cwz").read_bytes()
    assert len(set(files.values())) == 4
