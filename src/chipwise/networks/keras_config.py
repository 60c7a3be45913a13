"""Look at the description in a Keras file before Keras does: refuse what runs code, mend what old versions wrote.

Keras builds whatever classes a description names. Only Keras' own layers and their parts are let through; a Lambda
layer is Python bytecode, and some wrappers load further files.

>>> allowed({"class_name": "Lambda", "config": {"name": "cut"}}, frozenset({"Lambda"}), "net.h5")
Traceback (most recent call last):
    ...
chipwise.core.errors.NetworkError: net.h5 holds the layer 'cut' of type Lambda, which runs code
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from chipwise.core.errors import NetworkError

LIMIT_BYTES = 50_000_000
_RUNS_CODE = frozenset({"FlaxLayer", "JaxLayer", "Lambda", "TFSMLayer", "TorchModuleWrapper", "__lambda__"})
_MODULES = frozenset(
    {
        "builtins",
        "keras",
        "keras.activations",
        "keras.constraints",
        "keras.dtype_policies",
        "keras.initializers",
        "keras.layers",
        "keras.models",
        "keras.ops",
        "keras.quantizers",
        "keras.regularizers",
    }
)
_INNER_MODULES = tuple(f"keras.src.{name}." for name in ("layers", "models", "ops", "initializers", "activations"))
# How Keras 3 writes what JSON has no word for; none of them calls anything.
_VALUES = frozenset({"__ellipsis__", "__numpy__", "__slice__", "__tensor__", "__tuple__", "function"})


def parse(text: bytes | str, title: str) -> dict[str, Any]:
    """Read a description.

    Raises:
        NetworkError: when it is too long, or no JSON object.
    """
    if len(text) > LIMIT_BYTES:
        raise NetworkError(
            f"{title} has a description of {len(text):,} bytes", hint=f"at most {LIMIT_BYTES:,} are read"
        )
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NetworkError(f"{title}: its description is no JSON", hint="save the model again") from error
    if not isinstance(config, dict):
        raise NetworkError(f"{title}: its description is no JSON object", hint="save the model again")
    return config


def allowed(config: dict[str, Any], known: frozenset[str], title: str) -> None:
    """Refuse a description that names anything but Keras' own layers and their parts.

    Args:
        config: the description.
        known: class names that Keras itself has, for files of Keras 2, which do not say from where a class is.
        title: of the file, for messages.

    Raises:
        NetworkError: naming the layer and its type.
    """
    for part in _parts(config):
        kind = part.get("class_name")
        if not isinstance(kind, str):
            continue
        facts = part.get("config")
        name = facts.get("name", "") if isinstance(facts, dict) else ""
        what = f"{title} holds {f'the layer {str(name)[:80]!r} of type' if name else 'a'} {kind[:80]}"
        if kind in _RUNS_CODE:
            raise NetworkError(
                what + ", which runs code", hint="replace it by layers of Keras, and save the model again"
            )
        if not _is_own(part, kind, known):
            raise NetworkError(what + ", which is not Keras' own", hint="only layers that come with Keras are read")


def mended(config: dict[str, Any]) -> dict[str, Any]:
    """A copy without what only training needs, and without the `groups` that Keras 2 wrote for depthwise layers."""
    copy: dict[str, Any] = json.loads(json.dumps(config))
    copy.pop("compile_config", None)
    for part in _parts(copy):
        facts = part.get("config")
        if part.get("class_name") == "DepthwiseConv2D" and isinstance(facts, dict):
            facts.pop("groups", None)
    return copy


def scales_itself(config: dict[str, Any]) -> bool:
    """Whether the network begins with pixels as they are: it brings a layer that scales them."""
    return any(part.get("class_name") in ("Normalization", "Rescaling") for part in _parts(config))


def _is_own(part: dict[str, Any], kind: str, known: frozenset[str]) -> bool:
    if ">" in kind or ">" in str(part.get("registered_name") or ""):
        return False
    module = part.get("module")
    if module is None:
        return kind in known or kind in _VALUES
    if module == "builtins":
        return kind in _VALUES
    return isinstance(module, str) and (module in _MODULES or module.startswith(_INNER_MODULES))


def _parts(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every JSON object in a description, however deep."""
    waiting: list[Any] = [config]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
