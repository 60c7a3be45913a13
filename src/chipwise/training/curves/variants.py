"""Ways to train that curves compare: without any regularisation, and with one of them each.

>>> variant_settings("l2", Settings(label_smoothing=0.05), {}, droppable=False).weight_decay
0.5
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from chipwise.core.errors import InputError, unknown_name
from chipwise.training.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Variant: the setting that it changes, and to what where nothing is said.
STRENGTHS: dict[str, tuple[str, float | str]] = {
    "l1": ("l1", 1e-4),
    "l2": ("weight_decay", 0.5),
    "dropout": ("dropout", 0.5),
    "augment": ("augment", "affine"),
}
VARIANTS = ("plain", *STRENGTHS, "usual")
_EARLY = ("target_accuracy", "patience")
_TAUGHT = ("teacher_weights", "teacher_share", "teacher_temperature")


def check_variants(variants: Sequence[str], given: Mapping[str, Any]) -> None:
    """Refuse variants that there are not, and settings that none of them would heed.

    Raises:
        InputError: naming what was received.
    """
    for name in variants:
        if name not in VARIANTS:
            raise unknown_name("variant", name, VARIANTS)
    if not variants or len(set(variants)) < len(variants):
        raise InputError(f"variants {','.join(variants) or 'none'}", hint=f"each once: {','.join(VARIANTS)}")
    for name in _EARLY:
        if given.get(name) is not None:
            raise InputError(f"{name}={given[name]} ends runs early, and curves show them whole", hint="leave it out")
    taught = next((name for name in _TAUGHT if given.get(name) is not None), None)
    if taught is not None:
        raise InputError(f"{taught}={given[taught]}, and runs of curves have no teacher", hint="leave it out")
    for variant, (setting, _) in STRENGTHS.items():
        if setting in given and variant not in variants and "usual" not in variants:
            raise InputError(
                f"{setting}={given[setting]}, but plain training has none", hint=f"add {variant} to the variants"
            )


def variant_settings(variant: str, usual: Settings, given: Mapping[str, Any], *, droppable: bool) -> Settings:
    """The settings of a variant.

    Args:
        variant: "plain" (no L1, weight decay, dropout, label smoothing, augmentation), "l1", "l2" (weight decay),
            "dropout" or "augment" for plain and that, or "usual" for what `train` does.
        usual: the network's own.
        given: what was said; strengths of regularisation are those of their variants.
        droppable: the network has dropout layers.
    """
    if variant == "usual":
        return replace(usual, **given)
    strengths = {setting for setting, _ in STRENGTHS.values()}
    shared = {name: value for name, value in given.items() if name not in strengths}
    dropout = 0.0 if droppable else None
    none = replace(usual, l1=0.0, weight_decay=0.0, label_smoothing=0.0, augment="none", dropout=dropout)
    plain = replace(none, **shared)
    if variant == "plain":
        return plain
    setting, strength = STRENGTHS[variant]
    change: dict[str, Any] = {setting: given.get(setting, strength)}
    return replace(plain, **change)


def regularisation(settings: Settings) -> dict[str, str | float | bool | None]:
    """The settings that variants differ in."""
    names = ("l1", "weight_decay", "dropout", "label_smoothing", "augment")
    return {name: getattr(settings, name) for name in names}
