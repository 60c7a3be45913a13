"""Bytes that one value takes in each number format.

>>> value_bytes("bf16"), value_bytes("int4")
(2.0, 0.5)
"""

from __future__ import annotations

from chipwise.core.errors import InputError

# Layer rows hold float32 bytes; other formats scale them.
ROW_BYTES = 4
_BYTES = {
    "fp64": 8.0,
    "fp32": 4.0,
    "tf32": 4.0,
    "bf16": 2.0,
    "fp16": 2.0,
    "fp8": 1.0,
    "int16": 2.0,
    "int8": 1.0,
    "int4": 0.5,
}


def value_bytes(precision: str) -> float:
    """Bytes of one value in memory.

    Raises:
        InputError: the format is not known.
    """
    if precision not in _BYTES:
        raise InputError(f"unknown precision {precision!r}", hint=f"known: {', '.join(_BYTES)}")
    return _BYTES[precision]
