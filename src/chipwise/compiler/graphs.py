"""The graphs that candidates run: the optimized one, and variants that went through optional passes besides.

A variant is named by its passes, joined by "+"; a width as in `width16` keeps channels in steps of 16 where dead ones
are removed. One that is no different from another graph is not worth trying.

>>> variants(width_steps=(16,))[-1]
'width16'
"""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import onnx_ir as ir

from chipwise.codec.hashes import sha256_bytes
from chipwise.optimize.pipeline import LOSSY, OPTIONAL, name_of, names_kept, optimize

if TYPE_CHECKING:
    from collections.abc import Iterable

JOIN = "+"
_WIDTH = re.compile(r"width(\d+)")


@dataclass(slots=True)
class Graphs:
    """Every variant of one network's graph that was asked for, made once.

    Attributes:
        source: the graph that passes start from; it is not changed.
        serialized: the same as bytes, which a graph that no pass changed remains.
        step: what widths that are left are multiples of where channels are removed, unless a variant says otherwise.
        done: what was done to the network before, one line each.
    """

    source: ir.Model
    serialized: bytes
    step: int = 1
    done: tuple[str, ...] = ()
    _made: dict[str, tuple[bytes, tuple[str, ...], ir.Model]] = field(default_factory=dict)

    def model(self, variant: str = "") -> bytes:
        """A variant, serialized."""
        return self._variant(variant)[0]

    def passes(self, variant: str = "") -> tuple[str, ...]:
        """What the passes of a variant did, one line each, after what was done before them."""
        return (*self.done, *self._variant(variant)[1])

    def differing(self, among: Iterable[str], base: str = "", deadline_s: float = math.inf) -> list[str]:
        """Variants that, added to `base`, give a graph of its own; each graph under the first name that gives it.

        None is looked into after `deadline_s` (monotonic).
        """
        seen, found = {sha256_bytes(self.model(base))}, []
        for name in among:
            if time.monotonic() > deadline_s:
                break
            if not self._fires(name, base):
                continue
            digest = sha256_bytes(self.model(joined(base, name)))
            if digest not in seen:
                seen.add(digest)
                found.append(name)
        return found

    def _fires(self, name: str, base: str) -> bool:
        """Whether a change does anything to a variant: cheaper to find out than what it gives."""
        if _WIDTH.fullmatch(name):
            return any(line.startswith("removed") for line in self.passes(base))
        each = next(each for each in (*OPTIONAL, *LOSSY) if name_of(each) == name)
        attempt = self._variant(base)[2].clone()
        try:
            return bool(each.apply(attempt))
        except (ValueError, RuntimeError):  # as the pipeline, which says so
            return False

    def _variant(self, name: str) -> tuple[bytes, tuple[str, ...], ir.Model]:
        if name not in self._made:
            also, step = _parsed(name, self.step)
            model, done = optimize(self.source, also=also, step=step)
            self._made[name] = (serialized(model) if done else self.serialized, done, model)
        return self._made[name]


def variants(width_steps: Iterable[int] = (), *, lossy: bool = False) -> tuple[str, ...]:
    """Names of single changes to a graph that are worth measuring; `lossy` ones too where a guard can judge them."""
    passes = (*OPTIONAL, *(LOSSY if lossy else ()))
    return (*(name_of(each) for each in passes), *(f"width{step}" for step in width_steps))


def joined(*names: str) -> str:
    """Several changes together, in an order of their own, so that the same ones have one name."""
    parts = {part for name in names for part in name.split(JOIN) if part}
    return JOIN.join(sorted(parts))


def serialized(model: ir.Model) -> bytes:
    """A model as an ONNX file's bytes."""
    with names_kept(model):
        data: bytes = ir.serde.serialize_model(model).SerializeToString(deterministic=True)
    return data


def _parsed(name: str, usual_step: int) -> tuple[list[str], int]:
    parts = [part for part in name.split(JOIN) if part]
    widths = [int(found.group(1)) for part in parts if (found := _WIDTH.fullmatch(part))]
    return [part for part in parts if not _WIDTH.fullmatch(part)], max(widths, default=usual_step)
