"""Training a compressed network of its own shape, and an ONNX file: what comes out, and what every verb makes of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

import chipwise
from chipwise import datasets
from chipwise.core.errors import InputError, NetworkError
from chipwise.core.network import Network
from chipwise.datasets.dataset import make
from chipwise.networks import onnx_file, run_folder, small_file
from chipwise.networks.load import load
from chipwise.tasks.preprocess import prepare

pytest.importorskip("torch")
from chipwise.training import train as trainer

pytestmark = pytest.mark.runtime

QUICK = {"epochs": 2, "augment": "none", "threads": 1, "batch_size": 64, "learning_rate": 1e-2}
# LeNet-5 (Caffe's) has 20 and 50 channels and 500 units.
SHAPES = {
    "k": (4, 1, 5, 5), "a": (4,), "l": (6, 4, 5, 5), "b": (6,), "v": (96, 16), "c": (16,), "w": (16, 10), "d": (10,),
}  # fmt: skip
BODY = """ c1 = Conv(x, k, a) r1 = Relu(c1) p1 = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(r1)
 c2 = Conv(p1, l, b) r2 = Relu(c2) p2 = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(r2) f = Flatten(p2)
 h = Gemm(f, v, c) r3 = Relu(h) y = Gemm(r3, w, d) """


@pytest.fixture(autouse=True, scope="module")
def no_curves() -> Iterator[None]:
    """Drawing the curves takes longer than these trainings, and others look at them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("chipwise.views.charts.training_png", lambda training: b"")
        yield


class Notes:
    """Keeps what is noted, and interrupts before an epoch."""

    def __init__(self, stop: str = "never") -> None:
        self.lines: list[str] = []
        self.stop = stop

    def update(self, stage: str, fraction: float, message: str = "") -> None:
        if message.startswith(self.stop):
            raise KeyboardInterrupt

    def note(self, message: str) -> None:
        self.lines.append(message)


def narrow_lenet() -> Network:
    """LeNet with a few of its channels, untrained; two of three weights are zero."""
    told = ", ".join(f"float[{','.join(map(str, shape))}] {name}" for name, shape in SHAPES.items())
    header = '<ir_version: 8, opset_import: ["": 18]>'
    model = ir.from_onnx_text(f"{header} g (float[N, 1, 28, 28] x, {told}) => (float[N, 10] y) {{{BODY}}}")
    draw = np.random.default_rng(0)
    for value in list(model.graph.inputs)[1:]:
        shape = SHAPES[str(value.name)]
        fan = np.prod(shape[1:]) if len(shape) == 4 else shape[0]
        array = draw.normal(0, np.sqrt(4 / fan), shape) * (draw.random(shape) < (0.34 if len(shape) > 1 else 0))
        value.const_value = ir.tensor(array.astype(np.float32), name=value.name)
        model.graph.inputs.remove(value)
        model.graph.register_initializer(value)
    return onnx_file.from_bytes(ir.to_proto(model).SerializeToString(), "narrow")


def weights(path: str | Path) -> dict[str, np.ndarray]:
    graph = load(str(path)).graph
    assert graph is not None
    return {str(name): value.const_value.numpy() for name, value in graph.graph.initializers.items()}  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a narrow LeNet that has learned the digits from scratch, with zeros in its weights."""
    folder = tmp_path_factory.mktemp("narrow")
    small_file.save(folder / "narrow.cwz", narrow_lenet())
    chipwise.train(folder / "narrow.cwz", folder=folder / "run", **QUICK | {"epochs": 6})
    return folder / "run"


@pytest.fixture(scope="module")
def damaged(trained: Path) -> Path:
    """The same as a compressed file with few values, and noise on all weights that are not zero."""
    network, draw = load(str(trained)), np.random.default_rng(1)
    assert network.graph is not None
    for name, value in network.graph.graph.initializers.items():
        array = value.const_value.numpy()  # type: ignore[union-attr]
        spoilt = np.round(array * (1 + draw.normal(0, 1.2, array.shape)) * 64) / 64
        value.const_value = ir.tensor(spoilt.astype(np.float32), name=name)
    small_file.save(trained.parent / "damaged.cwz", network)
    return trained.parent / "damaged.cwz"


def accuracy(network: str | Path) -> float:
    test = datasets.load("digits").split().test
    runner = chipwise.load(network)
    preprocess = runner.task.preprocess
    assert preprocess is not None
    (scores,) = runner.run(prepare(test.inputs, preprocess)).values()
    return float((scores.argmax(axis=1) == test.labels).mean())


def test_a_damaged_one_recovers_and_its_zeros_stay(damaged: Path, tmp_path: Path) -> None:
    notes, before = Notes(), weights(damaged)
    done = chipwise.train(damaged, folder=tmp_path / "run", progress=notes, **QUICK)
    assert done.test is not None
    assert done.test.value > accuracy(damaged) + 0.1
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "checkpoint", "curves.png", "events", "history.jsonl", "network.cwz", "network.json", "runs.jsonl",
        "training.json",
    ]  # fmt: skip
    after = weights(tmp_path / "run" / "network.cwz")
    assert after.keys() == before.keys()
    for name, array in before.items():
        assert (after[name] != array).any(), f"{name} learns"
        if array.ndim > 1:
            np.testing.assert_array_equal(after[name] == 0, array == 0)
    zeros = sum(int((array == 0).sum()) for array in before.values() if array.ndim > 1)
    assert any(f"{zeros:,} of " in line and "stay zero" in line for line in notes.lines), notes.lines
    network = load(str(tmp_path / "run"))
    assert (network.name, network.origin) == ("damaged", str(tmp_path / "run"))
    assert network.task.labels == tuple("0123456789")
    assert accuracy(tmp_path / "run") == pytest.approx(done.test.value)
    # Again from the folder, zeros are held as they were of the file.
    again = chipwise.train(tmp_path / "run", folder=tmp_path / "more", progress=notes, **QUICK | {"epochs": 1})
    assert len(again.history) == 1
    np.testing.assert_array_equal(weights(tmp_path / "more")["v"] == 0, before["v"] == 0)


def test_an_interrupted_run_ends_with_the_same_weights(
    damaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "_CHECKPOINT_SHARE", 1e9)  # after every epoch, however short
    more = QUICK | {"epochs": 3, "freeze": 1, "batch_size": 128}
    whole = chipwise.train(damaged, folder=tmp_path / "whole", **more)
    with pytest.raises(KeyboardInterrupt):
        chipwise.train(damaged, folder=tmp_path / "parts", progress=Notes("epoch 3/3"), **more)
    assert not (tmp_path / "parts" / "network.cwz").exists()
    kept = trainer.checkpoints.load(tmp_path / "parts" / "checkpoint" / "last.safetensors")
    assert 1 <= len(kept.state.history) < 3
    notes = Notes()
    parts = chipwise.train(damaged, folder=tmp_path / "parts", progress=notes, **more)
    assert any(line.startswith("continuing after epoch") for line in notes.lines)
    untimed = [[replace(row, seconds=0, wait_s=None) for row in run.history] for run in (parts, whole)]
    assert untimed[0] == untimed[1]
    assert (tmp_path / "parts" / "network.cwz").read_bytes() == (tmp_path / "whole" / "network.cwz").read_bytes()
    assert chipwise.train(damaged, folder=tmp_path / "parts", **more) == parts, "a finished run returns at once"
    with pytest.raises(InputError, match="holds another training run"):
        chipwise.train(damaged, folder=tmp_path / "parts", **more | {"seed": 1})


def test_every_verb_takes_the_folder(trained: Path, tmp_path: Path) -> None:
    before = accuracy(trained)
    assert chipwise.inspect(trained).totals.parameters == 2432
    assert chipwise.estimate(trained, on="h100").parameters == 2432
    files = [tmp_path / name for name in ("out.onnx", "out.cwz", "out.safetensors")]
    for path in files:
        chipwise.export(trained, output=path)
    assert accuracy(files[0]) == accuracy(files[1]) == before
    plan = chipwise.compile(trained, data="digits", output=tmp_path / "x.plan", budget_s=1, runtimes=("onnxruntime",))
    assert plan.manifest.source.name == "narrow"
    assert chipwise.check(tmp_path / "x.plan").drop.drop <= 0.02
    quick = QUICK | {"epochs": 1, "batch_size": 128}
    small = chipwise.compress(trained, "digits", output=tmp_path / "x.cwz", target="8x", bits=4, **quick)
    assert small.file_bytes < 4 * 2432 / 3
    preprocess = load(str(trained)).task.preprocess
    assert preprocess is not None
    assert chipwise.run(trained, prepare(datasets.load("digits").inputs[:1], preprocess)).predictions


def test_an_onnx_file_stays_one(damaged: Path, tmp_path: Path) -> None:
    chipwise.export(damaged, output=tmp_path / "d.onnx")
    notes = Notes()
    chipwise.train(tmp_path / "d.onnx", folder=tmp_path / "run", progress=notes, **QUICK)
    assert not any("zero" in line for line in notes.lines)
    assert (weights(tmp_path / "run" / "network.onnx")["v"] != 0).mean() > 0.9, "zeros of an ONNX file learn"
    record = json.loads((tmp_path / "run" / "network.json").read_text())
    assert (record["factory"], record["weights"]) == ("", "network.onnx")
    assert load(str(tmp_path / "run")).digest == record["digest"]
    with pytest.raises(InputError, match="written over"):
        chipwise.train(tmp_path / "run" / "network.onnx", folder=tmp_path / "run", fresh=True, **QUICK)
    with pytest.raises(NetworkError, match="holds a graph"):
        chipwise.train("lenet5", folder=tmp_path / "other", weights=tmp_path / "run", **QUICK)


def test_classes_of_a_graph_are_its_own(damaged: Path, tmp_path: Path) -> None:
    digits = datasets.load("digits")
    few = digits.labels < 3
    with pytest.raises(NetworkError, match=r"gives \['N', 10\], the data has 3 classes"):
        chipwise.train(damaged, make("three", digits.inputs[few], digits.labels[few]), folder=tmp_path / "a", **QUICK)
    network, names = load(str(damaged)), tuple(f"digit {number}" for number in range(10))
    named = replace(network, task=replace(network.task, labels=names))
    quick = QUICK | {"epochs": 1}
    chipwise.train(named, folder=tmp_path / "b", **quick)
    assert load(str(tmp_path / "b")).task.labels == names, "the data only numbers them"
    others = tuple("abcdefghij")
    chipwise.train(named, make("others", digits.inputs, digits.labels, others), folder=tmp_path / "c", **quick)
    assert load(str(tmp_path / "c")).task.labels == others


def test_a_zoo_networks_file_holds_its_zeros_too(tmp_path: Path) -> None:
    from chipwise.networks.export import with_graph
    from chipwise.networks.weights_file import read_tensors

    network = with_graph(load("lenet5"))
    assert network.graph is not None
    name = next(name for name, value in network.graph.graph.initializers.items() if len(value.shape or ()) == 2)
    value = network.graph.graph.initializers[name]
    array = value.const_value.numpy().copy()  # type: ignore[union-attr]
    array[np.random.default_rng(0).random(array.shape) < 0.8] = 0.0
    value.const_value = ir.tensor(array, name=name)
    small_file.save(tmp_path / "z.cwz", network, mode="small")
    chipwise.train(tmp_path / "z.cwz", folder=tmp_path / "run", **QUICK | {"epochs": 1})
    after = read_tensors(tmp_path / "run" / "weights.safetensors")[name].numpy()
    np.testing.assert_array_equal(after == 0, array == 0)
    assert (after[array != 0] != array[array != 0]).any()
    assert run_folder.load(tmp_path / "run").source is not None
