"""`chipwise train --curve`: answers with a curve, and heeds every option or refuses it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from chipwise import api
from chipwise.cli import recipe

pytest.importorskip("torch")
pytestmark = pytest.mark.runtime

QUICK = ("train", "lenet-300-100", "--threads", "1", "--epochs", "1")


def test_a_curve(cli: Callable[..., object], tmp_path: Path) -> None:
    asked = (*QUICK, "--curve", "data", "--points", "1/8, 0.5", "--variants", "plain,l2", "-o", tmp_path)
    asked = (*asked, "--weight-decay", "0.3", "--seed", "4")
    done = cli(*asked, "--pictures", tmp_path / "x.svg", "--json")
    assert done.code == 0, done.err
    record = json.loads(done.out)
    assert (record["schema"], record["kind"], record["seeds"]) == ("chipwise.curve/1", "data", [4])
    assert [line["settings"]["weight_decay"] for line in record["lines"]] == [0, 0.3]
    assert [[point["at"] for point in line["points"]] for line in record["lines"]] == [[0.125, 0.5]] * 2
    assert (tmp_path / "x.svg").read_text().startswith("<svg")
    shown = cli(*asked)
    assert "l2 (weight_decay=0.3)" in shown.out
    assert "curve done" in shown.err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--seeds", "3"), "error: --seeds needs a kind of curve: --curve"),
        (("--variants", "l1"), "error: --variants needs a kind of curve: --curve"),
        (("--curve", "data", "--memory", "1GB"), "error: --memory is not for curves"),
        (("--curve", "data", "--explain"), "error: --explain is not for curves"),
        (("--curve", "data", "--teacher", "lenet5"), "error: --teacher is not for curves"),
        (("--curve", "data", "--target-accuracy", "99%"), "error: target_accuracy=0.99 ends runs early, and curves"),
    ],
)
def test_what_would_not_be_heeded_is_refused(
    cli: Callable[..., object], options: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    done = cli(*QUICK, *options, "-o", tmp_path / "run")
    assert done.code == 2
    assert any(line.startswith(told) for line in done.err.splitlines()), done.err
    assert not (tmp_path / "run" / "curve.jsonl").exists()


def test_points_that_are_none(cli: Callable[..., object], tmp_path: Path) -> None:
    assert cli(*QUICK, "--curve", "data", "--points", "1/0", "-o", tmp_path).code == 2


def test_variants_are_completed_after_each_comma() -> None:
    assert recipe.completed_list(api.variant_names(), "plain,l") == ["plain,l1", "plain,l2"]
