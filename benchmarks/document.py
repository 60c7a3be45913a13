"""What all benchmarks have alike: one JSON document as the last line on stdout, and in a file where one is named.

>>> command_line("What is measured.").parse_args(["--output", "out.json"]).output.name
'out.json'
>>> give("example", {"ok": False}, None)
{"schema": "chipwise.benchmark/1", "benchmark": "example", "ok": false}
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chipwise.devices.detect import detect, versions

SCHEMA = "chipwise.benchmark/1"


def command_line(description: str | None) -> argparse.ArgumentParser:
    """A parser of the command line that knows `--output`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="also write the JSON document here")
    return parser


def remembered(rows: Path | None, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The row of a network, measured only where an earlier, interrupted run did not leave it.

    Args:
        rows: a file with one JSON document a line, each with a "network", to read from and to add to; None for none.
        name: of the network.
        measure: gives the row.
    """
    lines = rows.read_text().splitlines() if rows is not None and rows.exists() else []
    found = next((row for row in map(json.loads, lines) if row["network"] == name), None)
    if found is not None:
        return dict(found)
    row = measure()
    print(json.dumps(row), file=sys.stderr, flush=True)
    if rows is not None:
        with rows.open("a") as file:
            file.write(json.dumps(row) + "\n")
    return row


def here() -> dict[str, object]:
    """Machine and versions, for documents whose numbers depend on them."""
    return {"machine": asdict(detect()), "versions": versions()}


def give(benchmark: str, found: Mapping[str, object], output: Path | None) -> None:
    """Print the document, and write it with its folder where `output` names a file."""
    document = {"schema": SCHEMA, "benchmark": benchmark, **found}
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(document, indent=2) + "\n")
    print(json.dumps(document))
