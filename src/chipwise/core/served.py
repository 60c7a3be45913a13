"""What `serve` answers once it has ended: which models it had, and what became of their requests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One model: its last version, and requests that were answered or not, by all its versions."""

    name: str
    version: str
    answered: int
    failed: int


@dataclass(frozen=True, slots=True)
class Served:
    """Answer of `serve`: its models, and how long it ran."""

    models: tuple[ServedModel, ...]
    seconds: float
    schema: str = "chipwise.serve/1"
