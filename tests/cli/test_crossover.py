"""`chipwise crossover` as people call it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chipwise.cli.crossover import complete_devices, complete_net, complete_precision
from chipwise.core.crossover import Crossover


def test_json_is_a_document_that_reads_back(cli: Callable[..., Any], tmp_path: Path) -> None:
    picture = tmp_path / "c.svg"
    done = cli(
        "crossover", "--net", "cnn", "--from", "1e4", "--to", "1e6", "--points", 3, "--on", "rtx3090,h100",
        "--data-size", 50_000, "--precision", "amp", "--picture", picture, "--json",
    )  # fmt: skip
    assert done.code == 0
    record = msgspec.json.decode(done.out.encode(), type=Crossover)
    assert record.schema == "chipwise.crossover/1"
    assert (record.net, record.precision, len(record.lines), len(record.crossings)) == ("cnn", "amp", 2, 1)
    assert picture.read_text().startswith("<svg")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--on", "h10"], "did you mean"),
        (["--on", "here,rtx309O"], "unknown device 'rtx309O'"),
        (["--from", "1e8", "--to", "1e4"], "the first is the smaller one"),
        (["--from", "-5"], "a whole number from 1,000"),
        (["--to", "0"], "a whole number from 1,000"),
        (["--points", "1000"], "from 2 to 50"),
        (["--net", "rnn"], "unknown network 'rnn'"),
        (["--picture", "x.pdf"], ".svg or .png"),
    ],
)
def test_bad_input_is_one_clear_line(cli: Callable[..., Any], words: list[str], said: str) -> None:
    done = cli("crossover", *words)
    assert done.code == 2
    assert said in done.err
    assert not done.out


def test_completion() -> None:
    assert complete_devices("here,rtx309")[0].startswith("here,rtx309")
    assert complete_net("m") == ["mlp"]
    assert complete_precision("") == ["fp32", "amp"]
