"""Damaged files, reproducible: mutation `number` of a seed is always the same bytes."""

from __future__ import annotations

import random
import re

_NUMBERS = (b"0", b"-1", b"1e9", b"99999999999", b"2147483648", b"nan", b"", b"1e-320", b"0x10", b"3.5")
_LENGTHS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF)


def mutated(seed: bytes, number: int, *, text: bool) -> bytes:
    """Change a file in one to eight places: bits, cuts, repetitions, lengths, and for text whole numbers and lines."""
    chance = random.Random(number)
    data = bytearray(seed)
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        if text and chance.random() < 0.7:
            data = bytearray(_edit_text(bytes(data), chance))
        else:
            _edit_bytes(data, chance)
    return bytes(data)


def _edit_bytes(data: bytearray, chance: random.Random) -> None:
    place = chance.randrange(len(data) + 1)
    match chance.randrange(6):
        case 0 if place < len(data):
            data[place] ^= 1 << chance.randrange(8)
        case 1 if place < len(data):
            data[place] = chance.randrange(256)
        case 2:
            del data[place:]
        case 3:
            del data[place : place + chance.randrange(1, 64)]
        case 4:
            data[place:place] = data[place : place + chance.randrange(1, 256)] * chance.choice((1, 2, 50))
        case _:
            size = chance.choice((1, 2, 4, 8))
            value = chance.choice(_LENGTHS) & ((1 << 8 * size) - 1)
            data[place : place + size] = value.to_bytes(size, chance.choice(("little", "big")))


def _edit_text(data: bytes, chance: random.Random) -> bytes:
    numbers = list(re.finditer(rb"-?\d+(\.\d+)?", data))
    if numbers and chance.random() < 0.6:
        found = chance.choice(numbers)
        return data[: found.start()] + chance.choice(_NUMBERS) + data[found.end() :]
    lines = data.split(b"\n")
    one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    match chance.randrange(4):
        case 0:
            lines[one], lines[other] = lines[other], lines[one]
        case 1:
            del lines[one]
        case 2:
            lines.insert(one, lines[other])
        case _:
            lines[one] = lines[one].replace(b"=", b"", 1) if chance.random() < 0.5 else lines[other] * 3
    return b"\n".join(lines)
