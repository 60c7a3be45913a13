"""Numbers come with their unit, three significant digits, and no text can drive a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chipwise.core.measure import Accuracy, Ratio
from chipwise.views import units


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ns"), (8.12e-7, "812 ns"), (43.1e-6, "43.1 µs"), (999.6e-6, "1.00 ms"), (1.234e-3, "1.23 ms"),
        (2.5, "2.50 s"), (59.9, "59.9 s"), (59.96, "1 min 00 s"), (185, "3 min 05 s"), (7620, "2 h 07 min"),
        (float("nan"), "not known"), (float("inf"), "not known"),
    ],
)  # fmt: skip
def test_time(seconds: float, text: str) -> None:
    assert units.format_time(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (812, "812 B"), (1024, "1.00 KiB"), (3 * 2**20, "3.00 MiB"), (1048570, "1.00 MiB")]
)
def test_bytes(size: int, text: str) -> None:
    assert units.format_bytes(size) == text


@pytest.mark.parametrize(
    ("flops", "text"), [(0, "0 FLOP"), (980, "980 FLOP"), (416_000, "416 kFLOP"), (11.3e9, "11.3 GFLOP")]
)
def test_flops(flops: float, text: str) -> None:
    assert units.format_flops(flops) == text


def test_two_times_share_the_unit_of_the_longer() -> None:
    assert units.format_span(990e-6, 1.2e-3) == "0.990–1.20 ms"


def test_intervals() -> None:
    assert units.format_accuracy(Accuracy(355, 360, 0.96784, 0.9941)) == "98.61% [96.8–99.4%]"
    assert units.format_ratio(Ratio(1.4251, 0.99, 12.31, 60)) == "1.43× [0.99–12.3]"


def test_points_have_a_sign_and_no_negative_zero() -> None:
    assert units.format_points(0.0028) == "+0.28 points"
    assert units.format_points(-0.0) == "0 points"


def test_shapes_keep_free_dimensions() -> None:
    assert units.format_shape(("batch", 10)) == "(batch, 10)"
    assert units.format_shape((3,)) == "(3,)"


@settings(deadline=None)
@given(st.integers(0, 2**39))
def test_sizes_read_back_within_rounding(size: int) -> None:
    number, unit = units.format_bytes(size).replace(",", "").split(" ")
    factor = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}[unit]
    assert float(number) * factor == pytest.approx(size, rel=0.006, abs=0.6)


@settings(deadline=None)
@given(st.floats(1e-9, 50))
def test_times_keep_three_digits(seconds: float) -> None:
    number, unit = units.format_time(seconds).split(" ")
    assert float(number) * {"s": 1, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}[unit] == pytest.approx(seconds, rel=0.0051)


@settings(deadline=None)
@given(st.text())
def test_plain_text_is_one_printable_line(text: str) -> None:
    made = units.plain(text)
    assert not any(ord(character) < 32 or 0x7F <= ord(character) < 0xA0 for character in made)
    made.encode()


def test_plain_text_stops_escape_sequences_and_reordering() -> None:
    assert units.plain("a\x1b[2Jb\nc\u202ed") == "a\ufffd[2Jb c\ufffdd"
