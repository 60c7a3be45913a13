"""Learning curves on real data: resumable, seeded, refused where they cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

import chipwise
from chipwise.core.errors import ChipwiseError
from chipwise.core.events import Silent

pytest.importorskip("torch")
pytestmark = pytest.mark.runtime

NET = "lenet-300-100"
QUICK = {"epochs": 2, "threads": 1}


class StoppedError(Exception):
    """Somebody pressed Ctrl-C."""


class Watcher(Silent):
    """Counts runs that were begun, and stops before the one that is named."""

    def __init__(self, stop_before: int = 99) -> None:
        self.begun: set[str] = set()
        self.stop_before = stop_before

    def update(self, stage: str, fraction: float, message: str = "") -> None:
        if message.startswith("run "):
            self.begun.add(message)
        if len(self.begun) >= self.stop_before:
            raise StoppedError


def test_an_interrupted_curve_goes_on(tmp_path: Path) -> None:
    asked = {"kind": "data", "points": (0.125, 0.5, 1.0), "seeds": 2, "variants": ("plain", "l2"), **QUICK}
    whole = chipwise.learning_curve(NET, "digits", folder=tmp_path / "whole", **asked)
    with pytest.raises(StoppedError):
        chipwise.learning_curve(NET, "digits", folder=tmp_path / "cut", progress=Watcher(5), **asked)
    journal = tmp_path / "cut" / "curve.jsonl"
    assert len(journal.read_bytes().splitlines()) == 4
    journal.write_bytes(journal.read_bytes()[:-9])  # a crash cut the last line short
    rest = Watcher()
    again = chipwise.learning_curve(NET, "digits", folder=tmp_path / "cut", progress=rest, **asked)
    assert len(rest.begun) == 12 - 3
    assert again.lines == whole.lines
    plain, _ = whole.lines
    assert [point.samples for point in plain.points] == [135, 538, 1077]
    assert [point.epochs for point in plain.points] == [16, 4, 2]  # as many samples are shown
    nothing = Watcher()
    chipwise.learning_curve(NET, "digits", folder=tmp_path / "cut", progress=nothing, **asked)
    assert not nothing.begun


def test_epochs_are_those_of_train(tmp_path: Path) -> None:
    """The same seed and settings: what `train` says of each epoch is what the curve shows."""
    curve = chipwise.learning_curve(NET, "digits", kind="epochs", folder=tmp_path / "c", variants=("usual",), **QUICK)
    run = chipwise.train(NET, "digits", folder=tmp_path / "t", **QUICK)
    (line,) = curve.lines
    assert [point.at for point in line.points] == [1, 2]
    for point, epoch in zip(line.points, run.history, strict=True):
        assert point.validation.mid == pytest.approx(1 - epoch.val_accuracy)
        assert point.validation_loss == epoch.val_loss


def test_capacity_and_pictures(tmp_path: Path) -> None:
    page = tmp_path / "x.html"
    curve = chipwise.learning_curve(
        "mlp-4096:width=0.01", "digits", kind="capacity", folder=tmp_path, points=(0.5, 1.0),
        variants=("plain", "dropout", "l1"), l1=0.01, pictures=page, epochs=1, threads=1,
    )  # fmt: skip
    plain, dropout, l1 = curve.lines
    assert [point.parameters for point in plain.points] == [784 * h + h + h * h + h + h * 10 + 10 for h in (20, 41)]
    assert (plain.settings["dropout"], dropout.settings["dropout"], l1.settings["l1"]) == (0.0, 0.5, 0.01)
    assert plain.change is None
    assert dropout.change is not None
    assert plain.points != dropout.points
    assert "dropout (dropout=0.5)" in page.read_text()


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"kind": "time"}, "unknown kind of curve 'time'"),
        ({"variants": ("l3",)}, "unknown variant 'l3'"),
        ({"variants": ("l1", "l1")}, "variants l1,l1"),
        ({"variants": ("dropout",)}, "dropout=0.5, but the network has no dropout layer"),
        ({"l1": 0.1}, "l1=0.1, but plain training has none"),
        ({"patience": 3}, "patience=3 ends runs early"),
        ({"points": (0.5, 2.0)}, "points 0.5,2"),
        ({"seeds": 0}, "seeds is 0"),
        ({"kind": "epochs", "points": (1.0,)}, "a curve over epochs has a point at each"),
        ({"pictures": "x.gif"}, "curves cannot be drawn into 'x.gif'"),
        ({"learning_pace": 1}, "unknown setting 'learning_pace'"),
    ],
)
def test_what_cannot_be_is_refused(asked: dict[str, object], told: str, tmp_path: Path) -> None:
    with pytest.raises(ChipwiseError) as refused:
        chipwise.learning_curve(NET, "digits", folder=tmp_path, **({"kind": "data"} | QUICK | asked))
    assert str(refused.value).startswith(told)


def test_a_network_without_widths_has_no_curve_over_capacity(tmp_path: Path) -> None:
    with pytest.raises(ChipwiseError) as refused:
        chipwise.learning_curve("lenet5", "digits", kind="capacity", folder=tmp_path, **QUICK)
    assert str(refused.value) == "lenet5 has no width, and so no curve over capacity"
    assert "lenet-300-100" in refused.value.hint
