"""A network in a small file that runs: stages to a size, a journal, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import chipwise
from chipwise.compression.ladder import within
from chipwise.core.compression import Compression
from chipwise.core.errors import GoalMissedError, InputError, NetworkError
from chipwise.networks import small_file
from chipwise.tasks.metrics import paired_drop

pytestmark = pytest.mark.runtime
QUICK = {"epochs": 2, "threads": 1, "augment": "none"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    chipwise.train("lenet5", "digits", folder=folder, epochs=6, threads=1, augment="none")
    return folder


@pytest.fixture(scope="module")
def small(trained: Path) -> Compression:
    return chipwise.compress(trained, "digits", output=trained.parent / "small.cwz", target="40x", **QUICK)


def test_the_file_is_as_small_as_asked_for_and_runs(small: Compression, trained: Path) -> None:
    path = Path(small.path)
    assert small.met
    assert path.stat().st_size == small.file_bytes == small.ledger.total <= 4 * 60_000 / 40
    assert small.ratio == pytest.approx(4 * 60_000 / small.file_bytes)
    network = chipwise.load(path)
    x = np.random.default_rng(0).random((4, *network.inputs[0].shape[1:]), np.float32)
    (scores,) = network.run(x).values()
    assert scores.shape == (4, 10)
    assert small.test is not None
    assert small.test.candidate.value > 0.85
    assert small.validation.source.count == 360


def test_layers_say_what_is_in_the_file(small: Compression) -> None:
    network, ledger = small_file.with_ledger(Path(small.path))
    assert network.graph is not None
    assert [layer.before for layer in small.layers] == [150, 2400, 48_000, 10_080, 840]
    arrays = [value.const_value.numpy() for value in network.graph.graph.initializers.values()]
    kept = [int(np.count_nonzero(each)) for each in arrays if each.ndim in (2, 4)]
    assert [layer.kept for layer in small.layers] == kept
    assert [layer.bits for layer in small.layers] == [5, 3, 3, 3, 5]  # the smallest have more
    values = [np.unique(each).size for each in arrays if each.ndim in (2, 4)]
    assert all(count < 2**layer.bits for count, layer in zip(values, small.layers, strict=True))
    for layer in small.layers:
        assert layer.pruned_bytes > layer.quantized_bytes > 0
        assert (
            layer.before < 1000 or layer.quantized_bytes > layer.huffman_bytes > 0
        )  # in a small one the table costs more
        assert layer.file_bytes > 0
    assert sum(layer.file_bytes for layer in small.layers) < ledger.total
    assert small.stages[-1].name == "round"
    assert small.stages[-1].weights >= sum(kept)


def test_a_second_call_finds_all_stages_and_writes_the_same_bytes(small: Compression, trained: Path) -> None:
    path = Path(small.path)
    before = path.read_bytes()
    path.unlink()
    again = chipwise.compress(trained, "digits", output=path, target="40x", **QUICK)
    assert path.read_bytes() == before
    assert [stage.seconds for stage in again.stages] == [stage.seconds for stage in small.stages]


def test_a_damaged_stage_and_other_settings_are_done_again(small: Compression, trained: Path) -> None:
    path = Path(small.path)
    before, folder = path.read_bytes(), Path(f"{path}.stages")
    last = max(folder.glob("*-round.onnx"))
    data = bytearray(last.read_bytes())
    data[len(data) // 2] ^= 1
    last.write_bytes(bytes(data))
    again = chipwise.compress(trained, "digits", output=path, target="40x", **QUICK)
    assert path.read_bytes() == before, "the same seed gives the same bytes"
    assert again.stages[-1].seconds != small.stages[-1].seconds
    other = chipwise.compress(trained, "digits", output=path, target="40x", **(QUICK | {"seed": 1}))
    assert path.read_bytes() != before
    assert other.seed == 1


def test_channels_go_first_where_little_is_asked_for(trained: Path, tmp_path: Path) -> None:
    how = {**QUICK, "channels_last": True}  # every stage takes kernels in either order
    found = chipwise.compress(trained, "digits", output=tmp_path / "tiny.cwz", target="80x", **how)
    assert found.met
    assert [stage.name for stage in found.stages][:3] == ["narrow", "prune", "round"]
    network = small_file.load(tmp_path / "tiny.cwz")
    assert network.graph is not None
    widths = [value.shape.numpy() for value in network.graph.graph.initializers.values() if value.shape is not None]
    assert max(max(shape) for shape in widths if len(shape) == 1) < 120


def test_codebooks(trained: Path, tmp_path: Path) -> None:
    recipe = {"density": 0.2, "bits": 4, "rounding": "codebook", "channels_last": True}
    found = chipwise.compress(trained, "digits", output=tmp_path / "book.cwz", target="1000x", **recipe, **QUICK)
    assert not found.met, "what is asked for by hand is done, and the target is judged"
    network = small_file.load(tmp_path / "book.cwz")
    assert network.graph is not None
    for value in network.graph.graph.initializers.values():
        array = value.const_value.numpy()
        assert array.ndim not in (2, 4) or len(np.unique(array)) <= 16


def test_as_small_as_accuracy_allows(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chipwise.compression.ladder.RATIOS", (20.0, 30.0))
    found = chipwise.compress(trained, "digits", output=tmp_path / "a.cwz", max_drop=0.2, **QUICK)
    assert found.ratio >= 30
    assert (tmp_path / "a.cwz").stat().st_size == found.file_bytes
    with pytest.raises(GoalMissedError, match="loses more than"):
        chipwise.compress(trained, "digits", output=tmp_path / "b.cwz", max_drop=1e-6, **QUICK)
    assert not (tmp_path / "b.cwz").exists()


def test_none_lost_is_no_more_lost_than_won() -> None:
    right, wrong = np.array([True, False, True]), np.array([True, True, False])
    assert within(paired_drop(right, wrong), 0.0)
    assert not within(paired_drop(right, np.array([True, False, False])), 0.0)
    assert not within(replace(paired_drop(right, wrong), upper=0.02), 0.01)


def test_what_cannot_be_compressed(trained: Path, tmp_path: Path) -> None:
    output = tmp_path / "x.cwz"
    with pytest.raises(InputError, match="one of them"):
        chipwise.compress(trained, "digits", output=output)
    with pytest.raises(NetworkError, match="not trained"):
        chipwise.compress("lenet5", "digits", output=output, target="20x")
    with pytest.raises(InputError, match="the target is '20'"):
        chipwise.compress(trained, "digits", output=output, target="20")
    for wrong, said in (
        ({"bits": 1}, "bits is 1"),
        ({"density": 0.0}, "density is 0"),
        ({"rounding": "kmeans"}, "codebook"),
        ({"split_seed": 1}, "unknown setting 'split_seed'"),
        ({"epoch": 1}, "epochs"),
        ({"scope": "local"}, "layer"),
        ({"pruning": "at once"}, "iterative"),
        ({"rounding": "codebook", "start": "middle"}, "density"),
        ({"start": "random"}, "--rounding codebook"),
        ({"pictures": "drawn.png"}, "X.html for a page"),
    ):
        with pytest.raises(InputError) as caught:
            chipwise.compress(trained, "digits", output=output, target="20x", **wrong)  # type: ignore[arg-type]
        assert said in f"{caught.value.message} {caught.value.hint}"
    with pytest.raises(InputError, match="bits is not yours to choose"):
        chipwise.compress(trained, "digits", output=output, max_drop=0.01, bits=4)
    assert not output.exists()
