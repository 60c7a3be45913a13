"""Dataclass to JSON and back, with every field's type checked on the way in.

>>> from chipwise.core.measure import Timing
>>> decode(encode(Timing(1, (2.0,))), Timing, "timing").quantiles_s
(2.0,)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from chipwise.core.errors import InputError

if TYPE_CHECKING:
    from typing import Any

T = TypeVar("T")


def encode(record: Any, *, pretty: bool = False) -> bytes:
    """Encode a dataclass (tuples, paths and bytes inside it too) as JSON."""
    data = msgspec.json.encode(record, enc_hook=str)
    return msgspec.json.format(data, indent=2) if pretty else data


def decode(data: bytes, kind: type[T], what: str) -> T:
    """Decode JSON into the dataclass `kind`; `what` names the thing in the error.

    Raises:
        InputError: when it is no JSON, or a field is missing or has another type (the field is named).
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(
            f"{what} cannot be read: {error}", hint="it was damaged, or written by another version"
        ) from error
