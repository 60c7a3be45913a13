"""`chipwise doctor`."""

from __future__ import annotations

from chipwise import api
from chipwise.cli.answer import JsonFlag, answer


def main(json: JsonFlag = False) -> None:
    """Show what this machine is, and which runtimes are usable on it or why not."""
    answer(api.doctor(), json=json)
