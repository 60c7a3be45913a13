"""How far predicted steps of data, tensor and pipeline parallelism lie from vTrain's 1,440 measured ones on A100.

    python benchmarks/published_meshes.py --tables FOLDER --picture docs/images/meshes-published.svg

Errors are |predicted / measured - 1| of a step. With --fit the numbers are fitted again on the rows of 2 GPUs. See
`published/vtrain.py` for what is held out, and what the model is; and `published/dle_scaling.py` for what copies lose,
by NVIDIA's published rates, which `estimate` takes for a system.

The last line on stdout is one JSON document; the table goes to stderr.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from chipwise.views.ink import Palette, as_file, quiet_axes
from document import command_line, give
from published import dle_scaling, nccl, vtrain
from published.errors import of_ratios
from published.vtrain import FITTED, NUMBERS, Row

WAYS = ("tensor", "copies", "stages")
_TICKS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


def main() -> int:
    """Score all rows."""
    parser = command_line(__doc__)
    parser.add_argument("--tables", type=Path, required=True, help=f"folder of {vtrain.FILE} and {nccl.FILE}")
    parser.add_argument("--picture", type=Path, help="draw predicted against measured steps here (.png, .svg)")
    parser.add_argument("--fit", action="store_true", help="fit the numbers again")
    options = parser.parse_args()
    rows = vtrain.read(options.tables)
    sums = [row for row in nccl.read(options.tables)["A100"] if row[0] == nccl.FITTED]
    bytes_s = nccl.fit(sums).bytes_s
    fitted = [row for row in rows if row.gpus == FITTED]
    numbers = vtrain.rounded(vtrain.fit(fitted, bytes_s)) if options.fit else NUMBERS
    ratios = {row: vtrain.predicted(row, numbers, bytes_s) / row.step_s for row in rows}
    groups = summaries(ratios)
    for name, found in groups.items():
        print(f"{name:28} {found}", file=sys.stderr)
    if options.picture:
        options.picture.parent.mkdir(parents=True, exist_ok=True)
        options.picture.write_bytes(picture(ratios, options.picture.suffix))
    copies = scaled(options.tables)
    print(f"copies on a DGX: {copies}", file=sys.stderr)
    document = {
        "unit": "share of the measured step",
        "numbers": asdict(numbers),
        "link_bytes_s": round(bytes_s),
        "groups": groups,
        "copies": copies,
    }
    give("published_meshes", document, options.output)
    return 0


def scaled(tables: Path) -> dict[str, Any]:
    """What copies lose on a DGX: as fitted again, and errors of what `estimate` says of a system."""
    rows = dle_scaling.read(tables)
    fitted, held = [row for row in rows if not row.held_out], [row for row in rows if row.held_out]
    return {
        "lost_a_doubling": [round(value, 4) for value in dle_scaling.fit(fitted)],
        "fitted": dle_scaling.summary(fitted),
        "held_out": dle_scaling.summary(held),
    }


def summaries(ratios: Mapping[Row, float]) -> dict[str, dict[str, Any]]:
    """Errors by group.

    Args:
        ratios: predicted over measured.
    """
    held = [row for row in ratios if row.gpus != FITTED]
    groups = {"fitted": [row for row in ratios if row.gpus == FITTED], "held out": held}
    for gpus in sorted({row.gpus for row in held}):
        groups[f"held out, {gpus} GPUs"] = [row for row in held if row.gpus == gpus]
    for ways in sorted({_ways(row) for row in held}):
        groups[f"held out, {ways}"] = [row for row in held if _ways(row) == ways]
    return {name: of_ratios([ratios[row] for row in rows]) for name, rows in groups.items()}


def picture(ratios: Mapping[Row, float], suffix: str) -> bytes:
    """Predicted against measured steps that are held out, a panel a number of GPUs."""
    held = [row for row in ratios if row.gpus != FITTED]
    counts = sorted({row.gpus for row in held})
    ends = 0.8 * min(row.step_s for row in held), 1.25 * max(row.step_s for row in held)

    def draw(figure: Figure, palette: Palette) -> None:
        for axes, gpus in zip(figure.subplots(1, len(counts), sharey=True, squeeze=False)[0], counts, strict=True):
            quiet_axes(axes, palette)
            rows = [row for row in held if row.gpus == gpus]
            measured = [row.step_s for row in rows]
            axes.plot(ends, ends, color=palette.muted, linewidth=1)
            guessed = [row.step_s * ratios[row] for row in rows]
            axes.scatter(measured, guessed, s=8, alpha=0.5, linewidths=0, color=palette.accent)
            for scale, ticks, limits in (
                (axes.set_xscale, axes.set_xticks, axes.set_xlim),
                (axes.set_yscale, axes.set_yticks, axes.set_ylim),
            ):
                scale("log")
                ticks(_TICKS, [f"{tick:g}" for tick in _TICKS])
                ticks([], minor=True)
                limits(ends)
            axes.set_title(f"{gpus} GPUs, {len(rows)} steps", fontsize=9, color=palette.ink, loc="left")
            axes.set_xlabel("measured, s", fontsize=8, color=palette.muted)
        figure.axes[0].set_ylabel("predicted, s", fontsize=8, color=palette.muted)

    title = "Steps of transformers on several A100, predicted against measured"
    return as_file(draw, (8.0, 3.6), suffix, "meshes-published", title)


def _ways(row: Row) -> str:
    """Which dimensions it has."""
    return " x ".join(name for name in WAYS if getattr(row, name) > 1)


if __name__ == "__main__":
    sys.exit(main())
