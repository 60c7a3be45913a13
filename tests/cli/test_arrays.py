"""`chipwise arrays` as people call it: a table, JSON, a picture, and one line for what cannot be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chipwise import api
from chipwise.cli.arrays import complete_library, complete_operation
from chipwise.core.array_race import ArrayRace, ArrayRow, Way
from chipwise.core.errors import InputError
from chipwise.core.units import parse_size, parse_sizes


def test_json_is_a_document_that_reads_back(cli: Callable[..., Any], tmp_path: Path) -> None:
    picture = tmp_path / "a.svg"
    done = cli(
        "arrays", "--operations", "view,sum", "--sizes", "100,1e3", "--libraries", "numpy", "--for", "0s",
        "--picture", str(picture), "--json",
    )  # fmt: skip
    assert done.code == 0
    record = msgspec.json.decode(done.out.encode(), type=ArrayRace)
    assert record.schema == "chipwise.arrays/1"
    assert record.sizes == (100, 1000)
    assert len(record.rows) == 4
    assert picture.read_text().startswith("<svg")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--operations", "slise"], "did you mean slice"),
        (["--libraries", "touch"], "did you mean torch"),
        (["--sizes", "1e7..1e3"], "a smaller number, two dots and a larger one"),
        (["--sizes", "0.5"], "a whole number from 4 to 100,000,000"),
        (["--sizes", "1e3..1e12"], "a whole number from 4 to 100,000,000"),
        (["--picture", "x.pdf"], ".svg or .png"),
    ],
)
def test_bad_input_is_one_clear_line(cli: Callable[..., Any], words: list[str], said: str) -> None:
    done = cli("arrays", *words)
    assert done.code == 2
    assert said in done.err
    assert not done.out


def test_completion_goes_on_after_a_comma() -> None:
    assert complete_operation("slice,ma") == ["slice,mask", "slice,matmul"]
    assert complete_library("j") == ["jax"]


def test_python_refuses_sizes_too() -> None:
    with pytest.raises(InputError, match="no size"):
        api.arrays(sizes=[])
    with pytest.raises(InputError, match="array of 3 values"):
        api.arrays(sizes=[3])


def test_ctrl_c_gives_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def once(*_: object, **__: object) -> object:
        yield ArrayRow("slice", 1000, Way("numpy"), None)
        raise KeyboardInterrupt

    monkeypatch.setattr("chipwise.numerics.race.race_rows", once)
    record = api.arrays(operations=["slice"], sizes=[1000], libraries=["numpy"])
    assert (len(record.rows), record.complete) == (1, False)


@given(st.integers(0, 6), st.integers(1, 3))
def test_sizes_are_the_ends_and_the_powers_of_ten_between(low: int, more: int) -> None:
    assert parse_sizes("--sizes", f"1e{low}..1e{low + more}", 1, 10**9) == tuple(
        10**power for power in range(low, low + more + 1)
    )


@given(st.text(max_size=12))
def test_sizes_are_read_or_refused(text: str) -> None:
    try:
        sizes = parse_sizes("--sizes", text, 4, 10**8)
    except InputError:
        return
    assert sizes == tuple(sorted(set(sizes)))
    assert all(4 <= size <= 10**8 for size in sizes)


def test_a_size_may_be_written_in_thousands() -> None:
    assert parse_size("--from", "2.5e4", 1, 10**6) == 25_000
    assert parse_sizes("--sizes", "2000..5e4", 1, 10**6) == (2000, 10_000, 50_000)
