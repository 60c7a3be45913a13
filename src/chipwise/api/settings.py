"""Settings that a caller gave, before any work is done with them.

>>> check_ranges({"bits": 4, "density": None}, {"bits": (2, 8), "density": (0.0, 1.0)})
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from chipwise.core.errors import InputError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chipwise.core.network import Network
    from chipwise.training.settings import Settings

# What the training of masks and rounded weights has no place for.
_TRAIN_ALONE = (
    "ema",
    "dropout",
    "teacher_temperature",
    "recompute",
    "swapped",
    "state_on_disk",
    "weights_on_disk",
    "return_memory",
    "state_on_host",
    "evaluation_batch",
    "compiled",
    "loading",
    "workers",
    "device",
    "feeding",
)


def known_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Refuse a setting of training that does not exist, with the nearest that does.

    Raises:
        UnknownNameError: there is one.
    """
    from chipwise.training.settings import Settings

    # Not the split: compile and check rely on training never having seen the test part of the usual one.
    known = [field.name for field in fields(Settings) if field.name != "split_seed"]
    for name in settings:
        if name not in known:
            raise unknown_name("setting", name, known)
    return settings


def usual_settings(network: Network, given: dict[str, Any], found: Mapping[str, Any] | None = None) -> Settings:
    """What a network is trained with: its usual settings, and what is given in their place.

    Args:
        network: as it begins.
        given: settings of training by name.
        found: settings that a tuning found, which stand between both; a batch size and its learning rate go together.

    Raises:
        UnknownNameError: as `known_settings`.
    """
    from chipwise.networks.untrained import is_untrained
    from chipwise.training.recipes import recipe

    fine = network.source is None and not is_untrained(network)
    tuned = dict(found or {})
    if not {"batch_size", "learning_rate", "optimizer"}.isdisjoint(given):
        tuned = {name: value for name, value in tuned.items() if name not in ("batch_size", "learning_rate")}
    if given.get("loading") == "ram":
        tuned.pop("workers", None)
    return replace(recipe(network.name, fine=fine), **{**tuned, **known_settings(given)})


def gentle_settings(network: str, share: float, given: dict[str, Any]) -> Settings:
    """What a trained network is trained on with: its usual settings at a lower rate, and what is given in their place.

    Args:
        network: its name.
        share: of the usual learning rate.
        given: settings of training by name.

    Raises:
        UnknownNameError: as `known_settings`. InputError: a setting that only `train` heeds.
    """
    from chipwise.devices.detect import detect
    from chipwise.training.recipes import recipe

    alone = next((name for name in _TRAIN_ALONE if given.get(name) is not None), None)
    if alone is not None:
        raise InputError(f"{alone}={given[alone]} is for train alone", hint="leave it out")
    usual = recipe(network)
    gentler = replace(usual, learning_rate=share * usual.learning_rate, weight_decay=0.0, label_smoothing=0.0)
    chosen = replace(gentler, **known_settings(given))
    return replace(chosen, threads=chosen.threads or detect().cores)


def check_ranges(numbers: Mapping[str, float | None], ranges: Mapping[str, tuple[float, float]]) -> None:
    """Refuse numbers that cannot be; those that are None were not given.

    Args:
        numbers: by name.
        ranges: the least and the largest of each.

    Raises:
        InputError: naming what was received and what it may be.
    """
    for name, value in numbers.items():
        low, high = ranges[name]
        if value is not None and not low <= value <= high:
            raise InputError(f"{name} is {value:g}", hint=f"from {low:g} to {high:g}")
