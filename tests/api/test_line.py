"""The whole line in one call: everything is there at the end, and nothing is done twice."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import chipwise
from chipwise.core.errors import InputError, NetworkError, UnknownNameError
from chipwise.core.network import Network

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.runtime


class Stages:
    """Remembers which stages reported."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def update(self, stage: str, fraction: float, message: str = "") -> None:
        self.seen.append(stage)

    def note(self, message: str) -> None: ...


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("line") / "fit"


def fit(folder: Path, stages: Stages) -> chipwise.core.report.Fit:
    return chipwise.fit(
        "lenet5-keras", "digits", folder=folder, epochs=3, budget_s=8, vs=("onnxruntime",), progress=stages
    )


def test_fit_ends_with_everything_in_place(folder: Path) -> None:
    stages = Stages()
    result = fit(folder, stages)
    assert result.training is not None
    assert result.training.history[-1].number == 3
    assert result.check.drop.source.count >= 360
    assert result.check.ok
    assert {row.name for row in result.bench.rows} == {"plan", "onnxruntime default"}
    assert Path(result.plan).stat().st_size == result.plan_bytes
    page = Path(result.report).read_text()
    assert page.lower().startswith("<!doctype html>")
    assert "lenet5-keras" in page
    for name in ("train/curves.png", "train/weights.safetensors", "train/network.json", "report.json"):
        assert (folder / name).stat().st_size > 0
    assert json.loads((folder / "report.json").read_text())["schema"] == "chipwise.report/1"
    assert {"training", "compile"} <= set(stages.seen)


def test_second_fit_neither_trains_nor_compiles_nor_needs_the_cache(folder: Path, private_cache: Path) -> None:
    before = {path: path.read_bytes() for path in (folder / "lenet5-keras.plan", folder / "train/weights.safetensors")}
    shutil.rmtree(private_cache / "source")
    stages = Stages()
    fit(folder, stages)
    assert "compile" not in stages.seen
    assert {path: path.read_bytes() for path in before} == before


def test_trained_folder_is_a_network(folder: Path) -> None:
    assert chipwise.inspect(folder / "train").totals.parameters == 81_194


def test_live_module(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 3))
    example = torch.rand(1, 1, 8, 8)
    plan = chipwise.compile(module, example, output=tmp_path / "live.plan", budget_s=3, runtimes=("onnxruntime",))
    assert plan.manifest.source.parameters == sum(p.numel() for p in module.parameters())
    np.save(tmp_path / "x.npy", example.numpy())
    top = chipwise.run(tmp_path / "live.plan", [tmp_path / "x.npy"], top=1).predictions[0].top
    assert top[0][0] == f"class {module(example).argmax().item()}"
    for given in (str(tmp_path / "x.npy"), example, example.numpy(), [example.numpy()[0]]):
        assert chipwise.run(tmp_path / "live.plan", given, top=1).predictions[0].top == top
    with pytest.raises(InputError) as refused:
        chipwise.run(plan, np.zeros((5, 5), np.float32))
    assert "uint8" in refused.value.hint


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: chipwise.compile(torch.nn.Linear(2, 2)), InputError, "example input"),
        (lambda: chipwise.inspect(42), InputError, "int is no network"),
        (lambda: chipwise.train("lenet5", epoch=3, folder="x"), UnknownNameError, "epoch"),
        (lambda: chipwise.train("lenet5", epochs=0, folder="x"), InputError, "epochs"),
        (lambda: chipwise.inspect("os:getcwd"), NetworkError, "os:getcwd"),
    ],
)
def test_wrong_calls_say_what_is_wrong(call, error: type[Exception], says: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=says):
        call()
    assert not list(tmp_path.iterdir())


def test_network_object_is_taken_as_it_is() -> None:
    from chipwise.networks.load import load

    network = load("lenet5-caffe")
    assert isinstance(network, Network)
    assert chipwise.inspect(network).totals.parameters == 431_080
