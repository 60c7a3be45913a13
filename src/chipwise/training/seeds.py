"""Randomness that depends on the seed and the epoch only, so that a resumed run needs no generator state.

>>> with seeded(1):
...     first = torch.rand(1)
>>> with seeded(1):
...     assert torch.equal(first, torch.rand(1))
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def seeded(seed: int, *stream: int | str) -> Iterator[None]:
    """Seed torch's CPU generator from `seed` and the name of a stream; give the caller's state back at the end.

    Build a module inside `seeded(settings.seed)` and its initial weights are the same each time.

    Args:
        seed: the user's.
        stream: what the randomness is for, as `("epoch", 3)`; other streams are independent.
    """
    name = ":".join(str(part) for part in (seed, *stream))
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(number >> 1)
        yield
