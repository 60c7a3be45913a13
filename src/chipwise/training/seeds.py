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

from chipwise.training.place import CPU

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def seeded(seed: int, *stream: int | str, device: torch.device = CPU) -> Iterator[None]:
    """Seed torch's generators from `seed` and the name of a stream; give the caller's state back at the end.

    What is drawn in main memory is the same for every device; dropout draws on the device itself.

    Build a module inside `seeded(settings.seed)` and its initial weights are the same each time.

    Args:
        seed: the user's.
        stream: what the randomness is for, as `("epoch", 3)`; other streams are independent.
        device: whose own generator is seeded as well.
    """
    name = ":".join(str(part) for part in (seed, *stream))
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    with torch.random.fork_rng(devices=[device.index or 0] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(number >> 1)
        if device.type in ("cuda", "mps"):
            torch.get_device_module(device).manual_seed(number >> 1)
        yield
