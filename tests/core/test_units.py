"""Amounts of memory as people write them."""

from __future__ import annotations

import pytest

from chipwise.core.errors import InputError
from chipwise.core.units import parse_bytes


@pytest.mark.parametrize(
    ("text", "size"),
    [("10GB", 10**10), ("512 MiB", 2**29), ("1.5gib", 3 * 2**29), ("1000", 1000), ("7 b", 7), ("2TB", 2 * 10**12)],
)
def test_amounts(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "GB", "10 apples", "0", "0.1", "-1GB", "1e999GB", "nan"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(InputError, match="amount of memory"):
        parse_bytes(text)
