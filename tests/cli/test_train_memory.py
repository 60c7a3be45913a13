"""`chipwise train --explain` and `--memory`: told before, chosen, measured after, and refused in one line."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.runtime

USUAL = ("train", "lenet5-caffe", "--epochs", "1", "--augment", "none", "--threads", "1")


def test_explained_without_training(cli: Callable[..., object], tmp_path: Path) -> None:
    told = cli(*USUAL, "--explain", "-o", tmp_path / "run")
    assert told.code == 0, told.err
    for words in ("activations saved for backward", "optimizer state", "peak, predicted", "MaxPool", "data set"):
        assert words in told.out
    assert not (tmp_path / "run").exists(), "nothing is trained or written"
    record = json.loads(cli(*USUAL, "--explain", "--json", "--batch-size", "64").out)
    assert (record["schema"], record["batch_size"], record["chosen"]) == ("chipwise.train-memory/1", 64, None)
    assert record["plain"]["step"]["gradients"] > 0


def test_two_bytes_are_counted_alike(cli: Callable[..., object], monkeypatch: pytest.MonkeyPatch) -> None:
    from chipwise.devices import detect

    monkeypatch.setattr(detect, "detect", partial(dataclasses.replace, detect.detect(), isa=()))
    bf16, fp16 = (json.loads(cli(*USUAL, "--explain", "--json", "--precision", each).out) for each in ("bf16", "fp16"))
    assert fp16["plain"]["step"]["saved"] == bf16["plain"]["step"]["saved"] > 0
    assert fp16["plain"]["step"]["copies"] == bf16["plain"]["step"]["copies"] > 0
    assert fp16["plain"]["savings"]["precision"] == "fp16"
    assert any("no instructions for fp16" in note for note in fp16["notes"])


def test_an_average_of_the_weights_is_counted(cli: Callable[..., object]) -> None:
    step = json.loads(cli(*USUAL, "--explain", "--json", "--ema", "0.9").out)["plain"]["step"]
    assert step["average"] == step["weights"] == step["best"] > 0
    plain = json.loads(cli(*USUAL, "--explain", "--json").out)["plain"]["step"]
    assert plain["average"] == 0


def test_what_explain_cannot_tell_or_do_is_refused(cli: Callable[..., object]) -> None:
    taught = cli(*USUAL, "--explain", "--teacher", "lenet5")
    assert (taught.code, taught.err.splitlines()[-2]) == (2, "error: what a teacher takes is not predicted")
    skipped = cli(*USUAL, "--explain", "--skip-bad")
    assert skipped.code == 2
    assert "is no folder of pictures" in skipped.err


def test_a_limit_is_kept_and_told(cli: Callable[..., object], tmp_path: Path) -> None:
    free = json.loads(cli(*USUAL, "--explain", "--json", "--memory", "100GB").out)
    assert free["chosen"]["savings"] == free["plain"]["savings"], "nothing has to be saved"
    limit = free["plain"]["memory"]["high"] - 10_000_000
    usual = (*USUAL, "-o", tmp_path / "run", "--json", "--memory")
    done = cli(*usual, f"{limit}")
    assert done.code == 0, done.err
    record = json.loads(done.out)
    assert record["memory"]["limit_bytes"] == limit
    assert record["memory"]["techniques"]
    assert record["memory"]["predicted_bytes"] < limit
    assert "predicted, at most" in done.err
    again = cli(*usual, "100GB")
    assert json.loads(again.out)["history"] == record["history"], "it goes on with the techniques it began with"


def test_what_cannot_fit(cli: Callable[..., object], tmp_path: Path) -> None:
    refused = cli(*USUAL, "-o", tmp_path / "run", "--memory", "1MB")
    assert refused.code == 1
    error, hint = refused.err.splitlines()[-2:]
    assert error.startswith("error: training lenet5-caffe with batch 128 does not fit into 977 KiB: at least ")
    assert hint.startswith("hint: --memory ")
    told = cli(*USUAL, "--explain", "--memory", "1MB")
    assert told.code == 1
    assert "nothing that was tried fits" in told.out


@pytest.mark.parametrize("size", ["much", "10XB", "-1GB", "0", ""])
def test_sizes_that_are_none(cli: Callable[..., object], tmp_path: Path, size: str) -> None:
    refused = cli(*USUAL, "-o", tmp_path / "run", f"--memory={size}")
    assert refused.code == 2
    assert "as an amount of memory" in refused.err


def test_weights_go_to_disk_only_where_nothing_wants_them_all(cli: Callable[..., object]) -> None:
    for more, lent in (((), True), (("--ema", "0.9"), False)):
        found = json.loads(cli(*USUAL, "--explain", "--json", "--memory", "1MB", *more).out)["smallest"]
        assert found["savings"]["weights_on_disk"] is lent
        assert found["savings"]["state_on_disk"] or not lent
