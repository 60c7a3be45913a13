"""The list of what comes with chipwise."""

from __future__ import annotations

import json

import pytest
from rich.console import Console

import chipwise
from chipwise.core.errors import UnknownNameError
from chipwise.networks.zoo import ZOO
from chipwise.views.as_json import as_json
from chipwise.views.tables import table


def test_every_network_is_listed_with_what_it_costs() -> None:
    listed = {line.name: line for line in chipwise.zoo().networks}
    assert set(listed) == set(ZOO)
    assert listed["lenet5-keras"].parameters == 81_194
    assert listed["lenet5-keras"].input == (1, 32, 32)
    assert all(line.parameters > 0 and line.flops > 0 and line.description for line in listed.values())


def test_search_takes_names_and_purposes() -> None:
    assert {line.name for line in chipwise.zoo("LeNet-300").networks} == {"lenet-300-100"}
    with pytest.raises(UnknownNameError, match="'no such thing'"):
        chipwise.zoo("no such thing")


def test_table_and_json_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    answer = chipwise.zoo("keras tutorials")
    Console(width=80).print(table(answer))
    shown = capsys.readouterr().out
    assert "81,194" in shown
    assert "1 network;" in shown
    assert json.loads(as_json(answer))["schema"] == "chipwise.zoo/1"


def test_printing_the_list_shows_the_table() -> None:
    assert "81,194" in str(chipwise.zoo("lenet5-keras"))
