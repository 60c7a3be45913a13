"""Pictures of number formats' values."""

from __future__ import annotations

import re

import numpy as np
import pytest

from chipwise.core.errors import InputError
from chipwise.views.value_lines import value_lines

from . import format_samples

VALUES = {
    "fp32": [],
    "mxfp4": [0.5, 1, 1.5, 2, 3, 4, 6],
    "int8": range(1, 128),
    "log": [2.0**e for e in range(-12, 13)],
}


def ticks(svg: str) -> list[tuple[str, ...]]:
    return re.findall(r"M([\d.]+) ([\d.]+)v(-?[\d.]+)", svg)


def test_every_format_is_named_and_every_value_ticked() -> None:
    svg = value_lines(format_samples.LINES, VALUES, ".svg").decode()
    for line in format_samples.LINES:
        assert f">{line.title}<" in svg
    fewer = value_lines(format_samples.LINES, VALUES | {"int8": range(1, 64)}, ".svg").decode()
    assert len(ticks(svg)) - len(ticks(fewer)) == 64


def test_ticks_are_short_in_the_file_and_stand_where_the_values_are() -> None:
    svg = value_lines([format_samples.LINES[1]], {"mxfp4": [0.5, 1.0, 2.0, 4.0]}, ".svg").decode()
    row = next(path for path in re.findall(r'<path d="([^"]+)" clip', svg) if len(ticks(path)) == 4)
    assert len(row) < 20 * 4
    across = [float(x) for x, _, _ in ticks(row)]
    np.testing.assert_allclose(np.diff(across), across[1] - across[0], atol=0.02)


def test_a_png_and_no_format() -> None:
    assert value_lines(format_samples.LINES, VALUES, ".png").startswith(b"\x89PNG")
    with pytest.raises(InputError, match="no number format"):
        value_lines((), {}, ".svg")
