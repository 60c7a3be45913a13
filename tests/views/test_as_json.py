"""One JSON document a record, with its schema, that decodes into an equal record."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chipwise.views.as_json import as_json

from . import proof_samples, samples, sheet_samples

RECORDS = samples.RECORDS | sheet_samples.RECORDS | proof_samples.RECORDS | {"report": samples.report}


@pytest.mark.parametrize("name", RECORDS)
def test_round_trip(name: str) -> None:
    record: Any = RECORDS[name]()
    made = as_json(record)
    assert json.loads(made)["schema"].startswith("chipwise.")
    assert msgspec.json.decode(made, type=type(record)) == record


def test_nan_becomes_null_and_paths_become_text() -> None:
    row = replace(samples.training().history[0], val_loss=float("nan"))
    settings: Any = {"folder": Path("a/b")}
    document = json.loads(as_json(replace(samples.training(), history=(row,), settings=settings)))
    assert document["history"][0]["val_loss"] is None
    assert document["settings"]["folder"] == str(Path("a/b"))


def test_pictures_are_base64() -> None:
    assert json.loads(as_json(samples.report()))["pictures"][0].startswith("iVBOR")
