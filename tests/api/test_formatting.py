"""`chipwise.formats`: a list, gates, pictures, and a trained network under formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import chipwise
from chipwise.core.errors import InputError, UnknownNameError
from chipwise.datasets.dataset import make
from chipwise.networks.torch_source import from_module


def network_and_data() -> tuple[object, object]:
    """A network with a batch normalization, and samples that it classifies by the sign of a sum."""
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((300, 2, 4, 4)).astype(np.float32)
    labels = (inputs.sum(axis=(1, 2, 3)) > 0).astype(np.int64)
    module = nn.Sequential(nn.Conv2d(2, 2, 4, bias=False), nn.BatchNorm2d(2), nn.Flatten()).eval()
    with torch.no_grad():
        module[0].weight[0], module[0].weight[1] = -0.01, 0.01
        module[1].running_var.fill_(4.0)
    network = from_module(module, torch.zeros(1, 2, 4, 4), "signs")
    return network, make("signs", inputs, labels, ("below", "above"))


def test_all_formats_are_listed_without_torch_or_data() -> None:
    found = chipwise.formats()
    titles = [each.title for each in found.formats]
    for title in ("fp32", "tf32", "bf16", "fp8 e4m3", "MXfp4 e2m1", "int8", "log (8,1,5,5,7)", "posit (16,1)"):
        assert title in titles
    assert not found.circuits
    assert found.source is None


def test_a_network_under_formats() -> None:
    network, data = network_and_data()
    found = chipwise.formats("fp32", "posit-8-0", "int8", network=network, data=data, samples=50)
    scores = {each.name: each for each in found.scores}
    assert found.source is not None
    assert found.source.correct == found.source.count == 50
    assert scores["fp32"].accuracy.correct == 50
    # The batch normalization is folded: weights of 0.005 are below 1/64, the smallest value of posit (8,0).
    assert scores["posit-8-0"].layers[0].weights.tiny >= 64
    assert scores["int8"].layers[0].weights.tiny == 0
    assert len(scores["int8"].layers) == 1
    assert scores["int8"].accuracy.correct >= 48


class Told:
    """Keeps what progress was told."""

    def __init__(self) -> None:
        self.fractions: list[float] = []
        self.messages: set[str] = set()

    def update(self, stage: str, fraction: float, message: str = "") -> None:
        if stage == "formats":
            self.fractions.append(fraction)
            self.messages.add(message)

    def note(self, message: str) -> None:
        pass


def test_progress_moves_within_a_format_and_calibration_is_done_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from chipwise.compression import format_scores

    runs, calibrate = [], format_scores.calibrated
    monkeypatch.setattr(format_scores, "calibrated", lambda *given: runs.append(0) or calibrate(*given))
    network, data = network_and_data()
    told = Told()
    parts = data.split()  # type: ignore[attr-defined]
    count = len(parts.test)
    chipwise.formats("fp32", "int8", network=network, data=data, samples=count, progress=told)
    batches = -(-count // 50)
    assert batches > 1
    assert len(told.fractions) == 2 * batches + 1
    assert told.fractions == sorted(set(told.fractions))
    assert told.fractions[-1] == 1.0
    assert {"fp32", "int8"} <= told.messages
    assert len(runs) == 1


def test_a_picture_is_written(tmp_path: Path) -> None:
    path = tmp_path / "values.svg"
    assert chipwise.formats("int4", "posit-7-1", picture=path).picture == str(path)
    assert "posit (7,1)" in path.read_text()
    with pytest.raises(InputError, match="cannot be drawn"):
        chipwise.formats(picture=tmp_path / "values.txt")


def test_what_does_not_go_together_is_refused() -> None:
    network, data = network_and_data()
    with pytest.raises(InputError, match="go together"):
        chipwise.formats(network=network)
    for alone in ({"weights": "x.safetensors"}, {"preprocess": "scale=1/255"}):
        with pytest.raises(InputError, match="belong to a network"):
            chipwise.formats(**alone)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="0 samples"):
        chipwise.formats(network=network, data=data, samples=0)
    with pytest.raises(UnknownNameError, match="number format 'posit'"):
        chipwise.formats("posit")
