"""Training that begins with somebody's trained weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import chipwise
from chipwise import datasets
from chipwise.api.transfer import begun, network_to_train
from chipwise.core.errors import NetworkError
from chipwise.core.network import Source
from chipwise.core.task import Task
from chipwise.datasets.dataset import Dataset, make
from chipwise.networks.load import load

torch = pytest.importorskip("torch")
from safetensors.torch import load_file  # noqa: E402

from chipwise.networks import torch_source  # noqa: E402

pytestmark = pytest.mark.runtime

NET = "lenet-300-100"
QUICK = {"epochs": 1, "augment": "none", "threads": 1}


def part(first: int, last: int, *, named: bool = True) -> Dataset:
    """The digits from `first` to `last`, as classes of their own."""
    digits = datasets.load("digits")
    rows = np.flatnonzero((digits.labels >= first) & (digits.labels <= last))
    names = tuple(f"digit {number}" for number in range(first, last + 1)) if named else None
    return make(f"digits {first} to {last}", digits.inputs[rows], digits.labels[rows] - first, names)


class Notes:
    """Keeps what is noted."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def update(self, stage: str, fraction: float, message: str = "") -> None: ...

    def note(self, message: str) -> None:
        self.lines.append(message)

    @property
    def beginning(self) -> str:
        return next((line for line in self.lines if line.startswith("beginning")), "")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    chipwise.train(NET, part(0, 4), folder=folder, **QUICK)
    return folder


def kept(before: Path, after: Path) -> dict[str, bool]:
    """Which tensors are still what they were."""
    old, new = (load_file(folder / "weights.safetensors") for folder in (before, after))
    return {name: value.shape == old[name].shape and torch.equal(value, old[name]) for name, value in new.items()}


@pytest.mark.parametrize("how", ["as the network", "as weights", "as a file"])
def test_head_is_replaced_where_the_number_of_classes_differs(how: str, trained: Path, tmp_path: Path) -> None:
    notes = Notes()
    network, weights = {
        "as the network": (str(trained), None),
        "as weights": (NET, trained),
        "as a file": (NET, trained / "weights.safetensors"),
    }[how]
    result = chipwise.train(
        network,
        part(5, 7),
        folder=tmp_path,
        weights=weights,
        freeze="backbone",
        unfreeze_after=0,
        progress=notes,
        **QUICK,
    )
    assert result.class_names == ("digit 5", "digit 6", "digit 7")
    held = kept(trained, tmp_path)
    assert [same for _, same in sorted(held.items())] == [True, True, True, True, False, False]
    head = sorted(held)[-2:]
    assert notes.beginning.endswith(f"; the data have other classes, so {', '.join(head)} begin anew")
    assert chipwise.inspect(str(tmp_path)).outputs[-1].shape[-1] == 3


def test_head_is_replaced_where_as_many_classes_have_other_names(trained: Path, tmp_path: Path) -> None:
    usual = {"weights": trained, "learning_rate": 1e-9, "weight_decay": 0.0, **QUICK}
    close = {}
    for name, data in {"other": part(5, 9), "same": part(0, 4), "numbered": part(5, 9, named=False)}.items():
        chipwise.train(NET, data, folder=tmp_path / name, **usual)
        old, new = (load_file(place / "weights.safetensors") for place in (trained, tmp_path / name))
        close[name] = [torch.allclose(old[key], new[key], atol=1e-6) for key in sorted(old)]
    assert close["other"] == [True, True, True, True, False, False]
    assert all(close["same"])
    assert all(close["numbered"])


def test_trained_weights_go_into_the_module_that_was_built(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[object] = []

    def counted(source: Source) -> torch.nn.Module:
        built.append(source)
        return build(source)

    build = torch_source.build_module
    monkeypatch.setattr(torch_source, "build_module", counted)
    dataset = part(0, 4)
    start = begun(network_to_train(str(trained), None), dataset, 0, Notes())
    network, module = start.network, start.module
    assert len(built) == 1
    assert network.source is not None
    assert network.source.weights is not None
    held = load_file(network.source.weights)
    assert all(torch.equal(value, held[name]) for name, value in module.state_dict().items())


def test_other_weights_are_another_run(trained: Path, tmp_path: Path) -> None:
    chipwise.train(NET, part(5, 7), folder=tmp_path, weights=trained, **QUICK)
    again = chipwise.train(NET, part(5, 7), folder=tmp_path, weights=trained, **QUICK)
    assert again.stopped == "epochs done"
    with pytest.raises(chipwise.core.errors.InputError, match="holds another training run: digest"):
        chipwise.train(NET, part(5, 7), folder=tmp_path, **QUICK)


def test_weights_of_another_network_and_networks_for_other_tasks_are_refused(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="does not fit this network"):
        chipwise.train("lenet5-caffe", part(5, 7), folder=tmp_path, weights=trained, **QUICK)
    with pytest.raises(NetworkError, match=r"holds no network\.json"):
        chipwise.train(NET, part(5, 7), folder=tmp_path, weights=tmp_path, **QUICK)
    detector = replace(load(NET), task=Task("detection"))
    with pytest.raises(NetworkError, match="is for detection, which cannot be trained here"):
        chipwise.train(detector, part(5, 7), folder=tmp_path, **QUICK)


def test_freezing_random_weights_is_said(tmp_path: Path) -> None:
    notes = Notes()
    chipwise.train(NET, part(0, 4), folder=tmp_path, freeze=1, unfreeze_after=0, progress=notes, **QUICK)
    assert any("what is frozen is random" in line for line in notes.lines)
