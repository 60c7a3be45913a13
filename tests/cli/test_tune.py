"""`chipwise tune`, `train --tune` and `train --recipe`: what is found, kept, used again, and refused in one line."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.runtime

NET = ("lenet5-caffe", "--threads", "1", "--augment", "none", "--epochs", "1")
TIMES = {"channels_last": 0.5, "tuned": 0.5}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Races end after one call of each way, with times in which channels_last wins; nothing is compiled."""
    from chipwise.training.tuning import batch, search, tune

    def race(calls: Mapping[str, Callable[[], object]], **_: object) -> dict[str, object]:
        for call in calls.values():
            call()
        return {name: 1e-3 * TIMES.get(name, 1.0) * (1 + 0.01 * np.sin(np.arange(9))) for name in calls}

    monkeypatch.setattr(search, "interleave", race)
    monkeypatch.setattr(batch, "_MOST_SEEDS", 1)
    monkeypatch.setattr(tune, "no_compiling", lambda _: "not in this test")


def test_a_tuning_and_its_recipe(cli: Callable[..., object], tmp_path: Path) -> None:
    file = tmp_path / "found" / "recipe.json"
    told = cli("tune", *NET, "--for", "60s", "--json", "-o", file)
    assert told.code == 0, told.err
    record = json.loads(told.out)
    assert record["schema"] == "chipwise.tuning/1"
    assert record["changes"] == {"channels_last": True}
    assert record["speedup"]["mid"] == pytest.approx(2.0)
    assert record["bound"]["peak_flops_s"] > 0
    assert {row["stage"] for row in record["rows"]} == {"precision, layout, compile", "optimizer"}
    assert "tuning done" in told.err
    recipe = json.loads(file.read_text())
    assert (recipe["schema"], recipe["precision"], recipe["channels_last"]) == ("chipwise.recipe/1", "fp32", True)
    assert (recipe["threads"], recipe["batch_size"]) == (None, None)

    trained = cli("train", *NET, "--recipe", file, "-o", tmp_path / "run", "--json")
    assert trained.code == 0, trained.err
    assert json.loads(trained.out)["settings"]["channels_last"] is True
    assert "recipe.json: channels_last\n" in trained.err

    other = cli(
        "train", "lenet5", *NET[1:], "--recipe", file, "--precision", "bf16", "-o", tmp_path / "other", "--json"
    )
    assert "it was found on another network (lenet5-caffe)" in other.err
    assert json.loads(other.out)["settings"]["precision"] == "bf16", "what is given goes first"


def test_tuned_and_trained_in_one_go(cli: Callable[..., object], tmp_path: Path) -> None:
    command = ("train", *NET, "--tune", "--tune-for", "60s", "-o", tmp_path / "run", "--json")
    first = cli(*command)
    assert first.code == 0, first.err
    assert "tuned: channels_last, 2.00× [2.00–2.00] as fast as plain fp32" in first.err
    record = json.loads(first.out)
    assert record["settings"]["channels_last"] is True
    again = cli(*command)
    assert json.loads(again.out)["history"] == record["history"], "what was found is used again, and the run is done"
    assert "tuned: " not in again.err


def test_a_table(cli: Callable[..., object]) -> None:
    told = cli("tune", *NET, "--for", "60s", "--batch-size", "64")
    assert told.code == 0, told.err
    for words in (
        "2.00×",
        "Validation error after 1,077 samples each.",
        "bound by",
        "kept      channels_last",
        "tf32 and pinned memory",
    ):
        assert words in told.out


@pytest.mark.parametrize(
    ("isa", "tried"), [((), ()), (("avx512_bf16",), ("bf16",)), (("amx_bf16", "amx_fp16"), ("bf16", "fp16"))]
)
def test_formats_are_tried_where_the_processor_has_them(
    cli: Callable[..., object], monkeypatch: pytest.MonkeyPatch, isa: tuple[str, ...], tried: tuple[str, ...]
) -> None:
    from chipwise.devices import detect

    here = detect.detect()
    monkeypatch.setattr(detect, "detect", lambda: dataclasses.replace(here, isa=isa))
    told = cli("tune", *NET, "--for", "60s", "--json")
    assert told.code == 0, told.err
    record = json.loads(told.out)
    assert {row["changes"]["precision"] for row in record["rows"] if "precision" in row["changes"]} == set(tried)
    for name in ("bf16", "fp16"):
        note = f"{name} was not tried: this processor has no instructions for it"
        assert (note in record["notes"]) == (name not in tried)


def test_ctrl_c_gives_the_best_so_far(cli: Callable[..., object], monkeypatch: pytest.MonkeyPatch) -> None:
    from chipwise.training.tuning import tune

    def press(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tune, "batches", press)
    told = cli("tune", *NET, "--for", "60s")
    assert told.code == 130
    assert "kept     channels_last" in told.out
    assert "interrupted: this is the best so far" in told.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("tune", *NET, "--for", "1s"), "1 s is too short to measure anything"),
        (("tune", *NET, "--for", "soon"), "as a duration"),
        (("tune", "lenet5-cafe"), "did you mean lenet5-caffe"),
        (("tune", "yolov3"), "cannot be trained here"),
        (("train", *NET, "--tune", "--recipe", "r.json"), "not both"),
        (("train", *NET, "--tune", "--memory", "10GB"), "--tune does not measure with --memory"),
        (("train", *NET, "--tune", "--teacher", "lenet5"), "--tune does not measure with --teacher"),
        (("train", *NET, "--explain", "--tune"), "leave it out"),
        (("train", *NET, "--recipe", "missing.json"), "cannot read recipe missing.json"),
    ],
)
def test_what_is_refused(
    cli: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = cli(*arguments)
    assert refused.code == 2, refused.err
    assert said in refused.err
    assert refused.err.count("\n") <= 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"precision": "fp8"}, "unknown precision 'fp8'"),
        ({"threads": "many"}, "threads"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"schema": "chipwise.recipe/9"}, "chipwise.recipe/9"),
        ({"network": None}, "network"),
    ],
)
def test_recipes_that_are_none(
    cli: Callable[..., object], tmp_path: Path, change: dict[str, object], said: str
) -> None:
    whole = {"network": "lenet5-caffe", "network_digest": "0", "data": "digits", "machine": "m"}
    (tmp_path / "r.json").write_text(json.dumps(whole | change))
    refused = cli("train", *NET, "--recipe", tmp_path / "r.json", "-o", tmp_path / "run")
    assert refused.code == 2, refused.err
    assert said in refused.err
