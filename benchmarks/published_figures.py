"""Predictions beside figures that are published one by one: mixed precision, V100 and P100, four M40, K80 / TPU / P40.

    python benchmarks/published_figures.py --output benchmarks/results/published/figures.json

They need no file: `published/figures.py` has the figures, and what is assumed.

The last line on stdout is one JSON document; the table goes to stderr.
"""

from __future__ import annotations

import statistics
import sys
from dataclasses import asdict

from document import command_line, give
from published.figures import Figure, figures


def main() -> int:
    """Predict all; 0 always, as a miss is told and no failure."""
    options = command_line(__doc__).parse_args()
    found = figures()
    for figure in found:
        print(line(figure), file=sys.stderr)
    off = [abs(figure.off) for figure in found if figure.off is not None]
    summary = {"figures": len(found), "predicted": len(off), "median_error": statistics.median(off)}
    rows = [{**asdict(figure), "off": figure.off} for figure in found]
    give("published_figures", {"unit": "as published", "rows": rows, "summary": summary}, options.output)
    return 0


def line(figure: Figure) -> str:
    """A line of the table.

    >>> from chipwise.core.estimate import Interval
    >>> print(line(Figure("days", "net", 5.0, Interval(1.0, 2.5, 8.0), "90 epochs")))
    days                       net                                    5  2.5 (1 to 8)          -50%  90 epochs
    """
    said, off = "-", ""
    if figure.predicted is not None and figure.off is not None:
        low, mid, high = (figure.predicted.low, figure.predicted.mid, figure.predicted.high)
        bounds = "" if low is None or high is None else f" ({low:.3g} to {high:.3g})"
        said, off = f"{mid:.3g}{bounds}", f"{figure.off:+.0%}"
    return f"{figure.table:26} {figure.name:34} {figure.published:5.3g}  {said:20} {off:>5}  {figure.note}"


if __name__ == "__main__":
    sys.exit(main())
