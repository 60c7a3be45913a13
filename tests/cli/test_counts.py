"""`inspect --counts`: numbers with the rule that makes them."""

from __future__ import annotations

import json
from typing import Any


def test_a_table_with_the_rule(cli: Any) -> None:
    ended = cli("inspect", "lenet5", "--counts")
    said = " ".join(ended.out.split())
    assert ended.code == 0
    assert "layers of lenet5" in said
    assert "where runtimes fuse" in said
    assert "Layer counts are not latency" in said


def test_json(cli: Any) -> None:
    found = json.loads(cli("inspect", "lenet5", "--counts", "--json").out)
    assert found["schema"] == "chipwise.layer-counts/1"
    assert found["fused"] < sum(found["source"].values())


def test_with_another_table_it_is_refused(cli: Any) -> None:
    ended = cli("inspect", "lenet5", "--counts", "--style", "keras")
    assert ended.code == 2
    assert "--counts" in ended.err
