"""Any verb's answer on the terminal. It imports the tables of all verbs, so those that must be quick bring their own.

>>> from chipwise.core.report import Page
>>> print_record(Page("report.html", 1024))  # doctest: +ELLIPSIS
report.html...
"""

from __future__ import annotations

from typing import Any

from chipwise.core.plan_sheet import Exported
from chipwise.core.report import Features, Page, RunResult
from chipwise.views.tables import table
from chipwise.views.terminal import print_shown


def print_record(record: Any) -> None:
    """Print a verb's answer on stdout; lines of names and values unbroken, so that a path is found again in a pipe."""
    print_shown(table(record), unbroken=isinstance(record, (Exported, Features, Page, RunResult)))
