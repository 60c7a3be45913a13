"""What identifies a trainable source: its factory, its arguments, its weights.

>>> from chipwise.core.network import Source
>>> source_digest(Source("a:b")) == source_digest(Source("a:b", {"num_classes": 3}))
False
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from chipwise.codec.hashes import sha256_bytes, sha256_file
from chipwise.core.errors import NetworkError

if TYPE_CHECKING:
    from chipwise.core.network import Source

# Raised when the rules that turn a source into rows or graphs change, so that what was cached is made anew.
RULES = 2


def source_digest(source: Source) -> str:
    """Hash a source, 64 hex digits; the weights are hashed by content, not by path.

    Raises:
        NetworkError: when the weights cannot be read.
    """
    facts = {
        "rules": RULES,
        "factory": source.factory,
        "arguments": source.arguments,
        "weights": weights_digest(source),
    }
    return sha256_bytes(msgspec.json.encode(facts, order="sorted"))


def weights_digest(source: Source) -> str:
    """Hash the weights file; "" for freshly initialised weights.

    Raises:
        NetworkError: when it cannot be read.
    """
    if source.weights is None:
        return ""
    try:
        return sha256_file(source.weights)
    except OSError as error:
        raise NetworkError(f"cannot read the weights {source.weights}: {error.strerror or error}") from error
