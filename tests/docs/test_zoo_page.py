"""docs/zoo.md lists every network with its real numbers. CHIPWISE_UPDATE_GOLDEN=1 rewrites it."""

from __future__ import annotations

import os
from itertools import groupby
from pathlib import Path

import chipwise
from chipwise.core.report import ZooLine
from chipwise.views.units import format_count, format_flops

PAGE = Path(__file__).resolve().parents[2] / "docs" / "zoo.md"
HEAD = """# The zoo

Networks that come with chipwise, by name. Options follow a colon: `resnet18:num_classes=10,width=0.5`, and `size=`
where the network takes other pictures than its usual ones. `chipwise zoo` prints this list, `chipwise inspect NAME`
the layers, both without torch.

Parameters are tested against papers, the authors' code or Darknet's own files; the tests name the source of each
number. FLOPs are for one item; 1 multiply-add = 2 FLOPs.
"""


def page() -> str:
    lines = [HEAD]
    ordered = sorted(chipwise.zoo().networks, key=lambda line: (line.kind, line.parameters))
    for kind, networks in groupby(ordered, key=lambda line: line.kind):
        lines += [f"## {kind.capitalize()}\n", "| name | takes | parameters | FLOPs | |", "|---|---|---|---|---|"]
        lines += [row(line) for line in networks] + [""]
    return "\n".join(lines)


def row(line: ZooLine) -> str:
    takes = "x".join(map(str, line.input)) or "one index"
    numbers = f"{format_count(line.parameters)} | {format_flops(line.flops)}"
    return f"| `{line.name}` | {takes} | {numbers} | {line.description} |"


def test_zoo_page_is_current() -> None:
    if os.environ.get("CHIPWISE_UPDATE_GOLDEN"):
        PAGE.write_text(page())
    assert PAGE.read_text() == page()
