"""A pipeline as TOML (or JSON): one table a stage, in order.

>>> kinds = ('"channel"', '"threshold"', '"regions"')
>>> text = "".join(f"[[stages]]%skind = {kind}%s" % (chr(10), chr(10)) for kind in kinds)
>>> read_pipeline(text.encode(), "mites.toml").stages[1].keep
'dark'
"""

from __future__ import annotations

import dataclasses
import tomllib
from typing import Any

import msgspec

from chipwise.core.errors import InputError, unknown_name
from chipwise.core.pipeline import STAGES, Pipeline, Stage

LIMIT_BYTES = 1_000_000
_EXAMPLE = '[[stages]] and kind = "threshold" for each stage'


def read_pipeline(data: bytes, what: str) -> Pipeline:
    """Read a pipeline; `what` is its file's name, and ".json" at its end says that it is JSON.

    Raises:
        InputError: when it is no TOML or JSON, a stage or field does not exist or has another type, or as `Pipeline`.
    """
    if len(data) > LIMIT_BYTES:
        raise InputError(f"{what} has {len(data):,} bytes, which is no pipeline", hint=_EXAMPLE)
    try:
        found = msgspec.json.decode(data) if what.lower().endswith(".json") else tomllib.loads(data.decode())
    except (msgspec.MsgspecError, tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{what} cannot be read: {error}", hint=f"write {_EXAMPLE}") from error
    stages = found.get("stages") if isinstance(found, dict) else None
    if not isinstance(stages, list) or not isinstance(found, dict) or set(found) != {"stages"}:
        listed = ", ".join(map(repr, found)) if isinstance(found, dict) else type(found).__name__
        raise InputError(f"{what} holds {listed or 'nothing'}, not a list of stages", hint=f"write {_EXAMPLE}")
    try:
        return Pipeline(tuple(_stage(each, f"stage {place}") for place, each in enumerate(stages, 1)))
    except InputError as error:
        error.message = f"{what}: {error.message}"
        raise


def _stage(given: Any, here: str) -> Stage:
    if not isinstance(given, dict) or not isinstance(given.get("kind"), str):
        raise InputError(f"{here} has no kind", hint=f"one of {', '.join(STAGES)}")
    kind = STAGES.get(given["kind"])
    if kind is None:
        raise unknown_name(f"kind of {here}", given["kind"], STAGES)
    fields = {name: value for name, value in given.items() if name != "kind"}
    known = [field.name for field in dataclasses.fields(kind)]
    for name in fields:
        if name not in known:
            raise unknown_name(f"field of {here} ({given['kind']})", name, known)
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise InputError(f"{here} ({given['kind']}): {error}") from error
