"""Every verb stays what it is, whatever of the package is imported."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import chipwise
import chipwise.show.terminal
from chipwise.show import units
print([name for name in chipwise.__all__ if not callable(getattr(chipwise, name))], units.__name__)
"""


def test_no_verb_becomes_a_folder() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "[] chipwise.show.units\n"), done.stderr
