"""How far predicted scaling lies from TensorFlow's published curves on K80 and P100 (May 2017).

    python benchmarks/published_scaling.py --tables FOLDER --picture docs/images/scaling-published.svg

Errors are |predicted / published - 1| of the scaling efficiency, images/s of n GPUs over n times those of one. With
--fit the two numbers are fitted again. See `published/tf_scaling.py` for what is held out, and what the model is; and
`published/nccl.py` for the ring alone.

The last line on stdout is one JSON document; the table goes to stderr.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from matplotlib.figure import Figure

from chipwise.views.ink import Palette, as_file, quiet_axes
from document import command_line, give
from published import nccl
from published.errors import of_ratios
from published.tf2017 import NETWORKS
from published.tf_scaling import BOARD, LINK_SHARE, Row, fit, predicted, read

SHORT = {"NVIDIA DGX-1": "DGX-1, P100", "GCE n1-standard-32-k80x8": "GCE, K80", "Amazon EC2 p2.8xlarge": "EC2, K80"}
SEVERAL = "EC2, K80, 8 a machine"


def main() -> int:
    """Score all rows."""
    parser = command_line(__doc__)
    parser.add_argument("--tables", type=Path, required=True, help="folder of tf_benchmarks_2017.csv")
    parser.add_argument("--picture", type=Path, help="draw predicted and published efficiency here (.png, .svg)")
    parser.add_argument("--fit", action="store_true", help="fit the two numbers again (minutes)")
    options = parser.parse_args()
    rows = read(options.tables)
    fitted = [row for row in rows if row.fitted]
    share, board = fit(fitted) if options.fit else (LINK_SHARE, BOARD)
    usual = fmean(row.efficiency for row in fitted)
    groups = summaries(rows, lambda row: predicted(row, share, board), usual)
    for name, found in groups.items():
        print(f"{name:42} {found}", file=sys.stderr)
    if options.picture:
        options.picture.parent.mkdir(parents=True, exist_ok=True)
        options.picture.write_bytes(picture(rows, lambda row: predicted(row, share, board), options.picture.suffix))
    document = {
        "unit": "share of the published scaling efficiency",
        "link_share": share,
        "board": board,
        "usual_efficiency": round(usual, 4),
        "groups": groups,
        "nccl": rings(options.tables),
        "rows": [
            {
                "platform": row.platform,
                "network": row.model,
                "gpus": row.gpus,
                "batch_per_gpu": row.batch,
                "data": row.data,
                "way": row.way,
                "fitted": row.fitted,
                "efficiency": round(row.efficiency, 4),
                "predicted": round(predicted(row, share, board), 4),
            }
            for row in rows
        ],
    }
    give("published_scaling", document, options.output)
    return 0


def rings(tables: Path) -> dict[str, Any]:
    """By kind of GPU what was fitted of NCCL's all-reduce, and the errors of its times; nothing without its table."""
    if not (tables / nccl.FILE).is_file():
        return {}
    found = {}
    for gpu, rows in nccl.read(tables).items():
        wire = nccl.fit([row for row in rows if row[0] == nccl.FITTED])
        off = {str(gpus): round(error, 4) for gpus, error in nccl.errors(rows, wire).items()}
        found[gpu] = {"bytes_s": wire.bytes_s, "latency_s": wire.latency_s, "median_by_gpus": off}
        print(f"NCCL, {gpu}: {found[gpu]}", file=sys.stderr)
    return found


def group(row: Row) -> str:
    """What a row is summed up with."""
    if row.fitted:
        return "fitted"
    kind = "real data" if row.data == "real" else "held out"
    return f"{kind}, {where(row)}"


def where(row: Row) -> str:
    """The platform in a few words."""
    return SEVERAL if row.distributed else SHORT[row.platform]


def summaries(rows: Sequence[Row], predict: Callable[[Row], float], usual: float) -> dict[str, dict[str, Any]]:
    """Errors by group: of the model, of linear scaling, and of one efficiency for all.

    Args:
        rows: published.
        predict: gives the efficiency of a row.
        usual: that one efficiency.
    """
    names = [group(row) for row in rows]
    held = [row for row in rows if not row.fitted and row.data == "synthetic"]
    many = {name: [row for row in rows if group(row) == name] for name in dict.fromkeys(names)}
    many["held out, all with synthetic data"] = held
    many["the same, where an eighth or more is lost"] = [row for row in held if row.efficiency <= 7 / 8]
    return {name: _summary(found, predict, usual) for name, found in many.items() if found}


def _summary(rows: Sequence[Row], predict: Callable[[Row], float], usual: float) -> dict[str, Any]:
    ratios = [predict(row) / row.efficiency for row in rows]
    return {
        **of_ratios(ratios),
        "linear_mean": round(fmean(abs(1 / row.efficiency - 1) for row in rows), 4),
        "usual_mean": round(fmean(abs(usual / row.efficiency - 1) for row in rows), 4),
    }


def picture(rows: Sequence[Row], predict: Callable[[Row], float], suffix: str) -> bytes:
    """Efficiency against GPUs, a panel a platform: dots as published, lines as predicted; the largest batches alone."""
    shown = [row for row in rows if row.data == "synthetic" and row.batch == _largest(rows, row)]
    places = list(dict.fromkeys(where(row) for row in shown))

    def draw(figure: Figure, palette: Palette) -> None:
        colours = dict(zip(NETWORKS, _colours(palette), strict=True))
        for axes, place in zip(figure.subplots(1, len(places), sharey=True), places, strict=True):
            quiet_axes(axes, palette)
            for model, colour in colours.items():
                own = sorted(
                    (row for row in shown if (where(row), row.model) == (place, model)), key=lambda row: row.gpus
                )
                counts = [row.gpus for row in own]
                dash = "--" if own and own[0].fitted else "-"
                axes.plot(counts, [predict(row) for row in own], dash, color=colour, linewidth=1.2)
                axes.plot(counts, [row.efficiency for row in own], "o", color=colour, markersize=4, label=model)
            axes.set_xscale("log", base=2)
            counts = sorted({row.gpus for row in shown if where(row) == place})
            axes.set_xticks(counts, [str(count) for count in counts])
            axes.set_ylim(0.3, 1.05)
            axes.set_title(place, fontsize=9, color=palette.ink, loc="left")
            axes.set_xlabel("GPUs", fontsize=8, color=palette.muted)
        figure.axes[0].set_ylabel("scaling efficiency", fontsize=8, color=palette.muted)
        figure.axes[0].legend(fontsize=7, frameon=False, labelcolor=palette.muted, loc="lower left")

    title = "Scaling efficiency as published and as predicted"
    return as_file(draw, (11.0, 3.2), suffix, "scaling-published", title)


def _largest(rows: Sequence[Row], like: Row) -> int:
    return max(row.batch for row in rows if (row.platform, row.model) == (like.platform, like.model))


def _colours(palette: Palette) -> tuple[str, ...]:
    return palette.accent, palette.peer, palette.third, palette.fourth, palette.bad


if __name__ == "__main__":
    sys.exit(main())
