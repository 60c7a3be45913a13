"""The file of settings that `tune` writes and `train --recipe` reads: JSON, every field checked.

>>> from chipwise.core.tuning import Recipe
>>> settings_of(Recipe("n", "d", "digits", "here", precision="bf16", batch_size=128))
{'precision': 'bf16', 'batch_size': 128}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chipwise.codec.files import atomic_write, read_bounded
from chipwise.codec.records import decode, encode
from chipwise.core.errors import InputError
from chipwise.core.tuning import PLAIN_LOOP, RECIPE_SCHEMA, TUNED, Recipe, Tuning

if TYPE_CHECKING:
    from pathlib import Path

_MAX_BYTES = 1 << 20


def recipe_of(found: Tuning) -> Recipe:
    """What is kept of an answer: how steps are computed in full, the rest where it changed."""
    changes: dict[str, Any] = dict(PLAIN_LOOP)
    changes |= {name: value for name, value in found.settings.items() if name in PLAIN_LOOP}
    changes |= found.changes
    kept: dict[str, Any] = {name: changes.get(name) for name in TUNED}
    return Recipe(
        network=found.network,
        network_digest=found.network_digest,
        data=found.data,
        machine=found.machine.fingerprint,
        speedup=found.speedup,
        versions=found.versions,
        **kept,
    )


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """The settings that it holds, by name."""
    return {name: value for name in TUNED if (value := getattr(recipe, name)) is not None}


def write_recipe(path: Path, recipe: Recipe) -> None:
    """Write it.

    Raises:
        StorageError: it cannot be written.
    """
    atomic_write(path, encode(recipe, pretty=True) + b"\n")


def read_recipe(path: Path) -> Recipe:
    """Read it; what its settings may be is checked where they are used.

    Raises:
        InputError: there is no such file, it is no recipe, or a field has another type (it is named).
    """
    found = decode(read_bounded(path, _MAX_BYTES, "recipe", hint="chipwise tune writes it"), Recipe, f"recipe {path}")
    if found.schema != RECIPE_SCHEMA:
        raise InputError(f"{path} has the schema {found.schema!r}", hint=f"chipwise tune -o writes {RECIPE_SCHEMA}")
    return found
