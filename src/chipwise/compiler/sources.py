"""Find the source network of a plan again: `check` and `bench` compare against it.

`compile` keeps a copy in the cache under its digest; where that is gone, the network has to be given again.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from chipwise.codec.cache import cache_folder
from chipwise.codec.files import atomic_write
from chipwise.codec.hashes import sha256_bytes
from chipwise.core.errors import InputError, PlanError

if TYPE_CHECKING:
    from chipwise.core.plan import Plan

_DIGEST = re.compile("[0-9a-f]{64}")


def keep_source(model: bytes) -> None:
    """Keep a serialized source graph in the cache.

    Raises:
        StorageError: when the cache cannot be written.
    """
    path = cache_folder("source") / f"{sha256_bytes(model)}.onnx"
    if not path.exists():
        atomic_write(path, model)


def find_source(plan: Plan, given: bytes | None = None) -> bytes:
    """Return the serialized source graph of a plan.

    Args:
        plan: whose source is wanted.
        given: a graph to use instead of the cached one; its digest must be the plan's.

    Raises:
        PlanError: the plan's digest is none.
        InputError: it is neither given nor in the cache, or what was given is another network.
    """
    facts = plan.manifest.source
    if not _DIGEST.fullmatch(facts.digest):  # it becomes a file's name
        raise PlanError("the plan's digest of its source is no SHA-256", hint="compile it again with: chipwise compile")
    if sha256_bytes(plan.model) == facts.digest:
        return plan.model
    path = cache_folder("source") / f"{facts.digest}.onnx"
    model = given if given is not None else path.read_bytes() if path.is_file() else None
    if model is None:
        raise InputError(
            f"the source network of this plan ({facts.name}) is not in the cache",
            hint=f"--source {facts.origin or 'NET'}",
        )
    if sha256_bytes(model) != facts.digest:
        what = "what was given" if given is not None else "the copy in the cache"
        raise InputError(
            f"{what} is not the network that the plan was made from ({facts.name}, digest {facts.digest[:12]})",
            hint="--source names the network, with the same weights",
        )
    return model
