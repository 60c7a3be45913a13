"""How much one request may ask for; everything that comes from outside is held against these before it is used."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one request.

    Attributes:
        body_bytes: of the body, as it came and after it was inflated.
        held_bytes: of all requests together that are being read or answered.
        json_bytes: of the JSON part, which takes many times its size in memory while it is read.
        elements: values of one tensor.
        dims: dimensions of one tensor.
        tensors: inputs or outputs that are named.
        string_bytes: of one element of a BYTES tensor.
        name_bytes: of an identifier or a name.
        inflated_ratio: size of an inflated body over the size that came; small bodies may exceed it.
        body_s: seconds in which the body must have come.
    """

    body_bytes: int = 64 << 20
    held_bytes: int = 1 << 30
    json_bytes: int = 16 << 20
    elements: int = 1 << 26
    dims: int = 16
    tensors: int = 256
    string_bytes: int = 16 << 20
    name_bytes: int = 1024
    inflated_ratio: int = 200
    body_s: float = 30.0
