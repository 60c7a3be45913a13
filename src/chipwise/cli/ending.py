"""How a program ends that meets an error of the person's who called it: what happened, a hint, the exit code.

>>> with errors_said():
...     print("all went well")
all went well
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from chipwise.core.errors import ChipwiseError


@contextmanager
def errors_said() -> Iterator[None]:
    """Turn a ChipwiseError into its lines on stderr and its exit code; `chipwise` and the recipes end like this."""
    try:
        yield
    except ChipwiseError as error:
        say(f"error: {error.message}", *([f"hint: {error.hint}"] if error.hint else []))
        sys.exit(error.exit_code)


def say(*lines: str) -> None:
    """Write lines on stderr, one each whatever a library put into them."""
    for line in lines:
        print(" ".join(line.split()), file=sys.stderr)  # noqa: T201
