"""Answers draw themselves in a notebook, and importing chipwise does not pay for it."""

from __future__ import annotations

import subprocess
import sys

import chipwise


def test_answers_draw_themselves() -> None:
    page = chipwise.inspect("lenet5-keras")._repr_html_()
    assert "81,194" in page
    assert "<script" not in page
    assert "cores" in chipwise.doctor()._repr_html_()


def test_answers_print_as_the_terminal_shows_them() -> None:
    shown = str(chipwise.inspect("lenet5-keras"))
    assert shown.startswith("lenet5-keras\n")
    assert "81,194" in shown
    assert "\x1b" not in shown


def test_importing_does_not_load_the_records() -> None:
    code = "import chipwise, sys; print('chipwise.core.report' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_repr_is_one_short_line() -> None:
    """Not every layer, which a dataclass would print."""
    assert repr(chipwise.estimate("lenet5", on="rtx4090")) == (
        "<Estimation: lenet5 on GeForce RTX 4090: inference, fp32, layer by layer>"
    )
    assert len(repr(chipwise.inspect("lenet5"))) < 120
