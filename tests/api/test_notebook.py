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


def test_importing_does_not_load_the_records() -> None:
    code = "import chipwise, sys; print('chipwise.core.report' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
