"""Records as JSON: one document, with its `schema`, that decodes into the same record again.

>>> from chipwise.core.report import Prediction, RunResult
>>> from chipwise.core.plan import Choice
>>> as_json(RunResult("a.plan", Choice("onnxruntime"), (Prediction("x.png"),), 1e-3)).splitlines()[-2]
'  "schema": "chipwise.run/1"'
"""

from __future__ import annotations

from typing import Any

import msgspec


def as_json(record: Any) -> str:
    """Turn a record of `core.report`, or a manifest, into indented JSON.

    Bytes become base64 and paths strings; NaN and infinity, which JSON does not know, become null.
    """
    assert hasattr(record, "schema"), f"{type(record).__name__} has no schema"
    return msgspec.json.format(msgspec.json.encode(record, enc_hook=str), indent=2).decode()
