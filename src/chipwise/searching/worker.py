"""A process that runs trials one after another: `python -m chipwise.searching.worker PARENT`.

Jobs come as lines of JSON on stdin, outcomes go as such lines to what was stdout, each after an empty line when fitting
begins; what models print goes to stderr, so that it cannot be taken for an outcome. It ends with its parent.
"""

from __future__ import annotations

import os
import sys

from chipwise.codec.records import decode, encode
from chipwise.searching.execute import execute
from chipwise.searching.job import Job
from chipwise.training.parallel.parent import end_with, vanish


def main(parent: int) -> None:
    """Run jobs until there are no more."""
    end_with(parent, vanish)
    answers = os.dup(1)
    os.dup2(2, 1)
    with os.fdopen(answers, "wb") as file:

        def say(line: bytes) -> None:
            file.write(line + b"\n")
            file.flush()

        for line in sys.stdin.buffer:
            say(encode(execute(decode(line, Job, "job"), began=lambda: say(b""))))


if __name__ == "__main__":
    main(int(sys.argv[1]))
