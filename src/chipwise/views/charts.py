"""Charts of a report: training curves, candidates, latencies, confusion, shares of the layers.

Each function returns an `<svg>` element whose colours follow the page (see `ink`); training curves come as PNG too.

>>> from chipwise.core.layer import Layer
>>> "<svg" in layer_shares((Layer("c1", "Conv", (), (), parameters=1, flops=2, read_bytes=4),))
True
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter

from chipwise.views import claims
from chipwise.views.ink import as_png, as_svg, quiet_axes
from chipwise.views.units import format_share, format_time, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from chipwise.core.layer import Layer
    from chipwise.core.measure import Timing
    from chipwise.core.plan import Candidate, Manifest
    from chipwise.core.report import BenchResult, BenchRow, Training
    from chipwise.views.ink import Palette

WIDE_IN, NARROW_IN = 9.4, 3.6
MOST_CLASSES = 40
_ROW_IN = 0.4
_TIME_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


def training_curves(record: Training, width_in: float = WIDE_IN) -> str:
    """Loss and validation accuracy by epoch, the kept epoch marked; side by side where there is room."""
    columns = 2 if width_in > 6 else 1
    height = 2.9 if columns == 2 else 5.2
    label = f"Loss and accuracy over {len(record.history)} epochs; epoch {record.best_epoch} was kept"
    return as_svg(
        lambda figure, palette: _draw_curves(figure, palette, record, columns),
        (width_in, height),
        f"curves{columns}",
        label,
    )


def training_png(record: Training) -> bytes:
    """The training curves as a PNG file."""
    return as_png(lambda figure, palette: _draw_curves(figure, palette, record, 2), (WIDE_IN, 3.2))


def candidates(record: Manifest, width_in: float = WIDE_IN) -> str:
    """Every candidate that was timed, fastest first: median as a dot, 10th to 90th percentile as a bar."""
    timed = [(row.timing, row) for row in record.candidates if row.timing is not None]
    rows = sorted(timed, key=lambda pair: pair[0].median_s)
    label = "Time per item of every candidate: " + "; ".join(
        f"{plain(row.choice.title)} {format_time(timing.median_s)}" for timing, row in rows
    )
    baseline = claims.baseline_s(record)
    return as_svg(
        lambda figure, palette: _draw_candidates(figure, palette, rows, baseline),
        (width_in, 0.75 + _ROW_IN * max(len(rows), 1)),
        f"candidates{int(width_in)}",
        label,
    )


def latencies(record: BenchResult, width_in: float = WIDE_IN) -> str:
    """Share of calls that are done within a time, for the plan and each peer."""
    rows = [(row.timing, row) for row in record.rows if row.timing is not None]
    label = "Distribution of the time per call: " + "; ".join(
        f"{plain(row.name)} median {format_time(timing.median_s)}" for timing, row in rows
    )
    height = 3.1 + 0.17 * len(rows)
    return as_svg(
        lambda figure, palette: _draw_latencies(figure, palette, rows),
        (width_in, height),
        f"latency{int(width_in)}",
        label,
    )


def confusion(table: Sequence[Sequence[int]], names: Sequence[str], width_in: float = 5.4) -> str:
    """Counts by true class (rows) and predicted class (columns); what is off the diagonal stands out.

    At most `MOST_CLASSES` classes can be drawn.
    """
    assert len(table) <= MOST_CLASSES, "too many classes to draw"
    right, count = sum(table[index][index] for index in range(len(table))), sum(map(sum, table))
    label = f"Confusion matrix: {right} of {count} on the diagonal"
    return as_svg(
        lambda figure, palette: _draw_confusion(figure, palette, table, [_short(name, 14) for name in names]),
        (width_in, width_in),
        f"confusion{int(width_in)}",
        label,
    )


def layer_shares(layers: Sequence[Layer], width_in: float = WIDE_IN) -> str:
    """Which layers hold the parameters, do the work and move the bytes: three bars of 100%."""
    bars = {
        "parameters": [row.parameters for row in layers],
        "FLOPs": [row.flops for row in layers],
        "bytes moved": [row.moved_bytes for row in layers],
    }
    names = [_short(row.name) for row in layers]
    told = [f"{kind}: {_largest(names, values)}" for kind, values in bars.items()]
    return as_svg(
        lambda figure, palette: _draw_shares(figure, palette, names, bars),
        (width_in, 1.75),
        f"shares{int(width_in)}",
        f"Largest shares by layer. {'; '.join(told)}",
    )


def _draw_curves(figure: Figure, palette: Palette, record: Training, columns: int) -> None:
    losses, accuracies = figure.subplots(3 - columns, columns)
    numbers = [epoch.number for epoch in record.history]
    marker = "o" if len(numbers) < 3 else ""
    train, validation = ([epoch.train_loss for epoch in record.history], [epoch.val_loss for epoch in record.history])
    losses.plot(numbers, train, color=palette.peer, label="training", marker=marker, linewidth=1.6)
    losses.plot(numbers, validation, color=palette.accent, label="validation", marker=marker, linewidth=1.6)
    shown = [loss for loss in train + validation if math.isfinite(loss) and loss > 0]
    if shown and max(shown) > 10 * min(shown):
        losses.set_yscale("log")
        losses.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        losses.yaxis.set_minor_formatter(NullFormatter())
    rates = [epoch.val_accuracy for epoch in record.history]
    accuracies.plot(numbers, rates, color=palette.accent, label="validation", marker=marker, linewidth=1.6)
    accuracies.yaxis.set_major_formatter(PercentFormatter(1.0))
    for axes, title in ((losses, "loss (cross-entropy, nats)"), (accuracies, "validation accuracy")):
        quiet_axes(axes, palette)
        axes.set_title(title, loc="left", color=palette.ink, fontsize=9)
        axes.set_xlabel("epoch", color=palette.muted)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.axvline(record.best_epoch, color=palette.muted, linewidth=0.8, linestyle=(0, (2, 2)))
    best = next((epoch for epoch in record.history if epoch.number == record.best_epoch), None)
    if best is not None:
        accuracies.plot([best.number], [best.val_accuracy], "o", color=palette.accent, markersize=5)
        text = f"kept: epoch {best.number}, {format_share(best.val_accuracy)}"
        # Learning curves rise to the upper right: the lower right corner is free.
        accuracies.text(0.98, 0.06, text, transform=accuracies.transAxes, ha="right", color=palette.ink)
    losses.legend(frameon=False, labelcolor=palette.ink, loc="lower left")


def _draw_candidates(
    figure: Figure, palette: Palette, rows: Sequence[tuple[Timing, Candidate]], baseline: float | None
) -> None:
    axes = figure.subplots()
    ends = [_middle(timing) for timing, _ in rows]
    values = [value for low, high in ends for value in (low, high)] + ([baseline] if baseline else [])
    scale = _time_axis(axes, values, palette, "item")
    for place, (timing, row) in enumerate(rows):
        colour = {"chosen": palette.accent, "rejected": palette.bad}.get(row.status, palette.peer)
        low, high = ends[place]
        axes.plot(
            [low / scale, high / scale], [place, place], color=colour, linewidth=5, alpha=0.35, solid_capstyle="round"
        )
        hollow = row.status == "rejected"
        axes.plot(
            [timing.median_s / scale], [place], "o", color=colour, markersize=5.5,
            markerfacecolor=palette.paper if hollow else colour,
        )  # fmt: skip
        note = {"chosen": ", chosen", "rejected": ", rejected: accuracy"}.get(row.status, "")
        ink = colour if note else palette.ink
        weight = "bold" if row.status == "chosen" else "normal"
        _row_text(axes, place, 0.0, f"{_short(row.choice.title, 34)}{note}", colour=ink, weight=weight)
        _row_text(axes, place, 1.0, format_time(timing.median_s), colour=ink, weight=weight)
    if baseline is not None:
        axes.axvline(baseline / scale, color=palette.ink, linewidth=0.9, linestyle=(0, (3, 2)))
        axes.annotate(
            f"ONNX Runtime's default, {format_time(baseline)}", (baseline / scale, 1),
            xycoords=axes.get_xaxis_transform(),
            xytext=(0, 3), textcoords="offset points", ha="center", va="bottom", color=palette.ink, fontsize=8,
        )  # fmt: skip
    axes.set_ylim(len(rows) - 0.6, -0.8)
    axes.set_yticks([])


def _row_text(axes: Axes, place: int, across: float, text: str, *, colour: str, weight: str) -> None:
    axes.annotate(
        text, (across, place), xycoords=axes.get_yaxis_transform(), xytext=(0, 5), textcoords="offset points",
        ha="right" if across else "left", va="bottom", color=colour, fontsize=8, fontweight=weight,
    )  # fmt: skip


def _draw_latencies(figure: Figure, palette: Palette, rows: Sequence[tuple[Timing, BenchRow]]) -> None:
    axes = figure.subplots()
    scale = _time_axis(axes, [value for timing, _ in rows for value in timing.quantiles_s], palette, "call")
    names = [_short(f"{row.name}, {row.precision}", 36) for _, row in rows]
    styles = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (3, 1, 1, 1, 1, 1)))
    for place, (timing, row) in enumerate(rows):
        own = row.speedup is None
        steps = [index / (len(timing.quantiles_s) - 1) for index in range(len(timing.quantiles_s))]
        axes.plot(
            [value / scale for value in timing.quantiles_s], steps, label=names[place],
            color=palette.accent if own else palette.peer, linewidth=2.4 if own else 1.6,
            linestyle=styles[place % len(styles)], zorder=3 if own else 2,
        )  # fmt: skip
        axes.plot([timing.median_s / scale], [0.5], "o", color=palette.accent if own else palette.peer, markersize=4.5)
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_ylabel("calls done within", color=palette.muted)
    axes.grid(visible=True, axis="both", color=palette.line, linewidth=0.7)
    entry_in = 0.6 + 0.075 * max(map(len, names), default=0)
    columns = min(len(rows), int(figure.get_figwidth() / entry_in))
    axes.legend(
        frameon=False, labelcolor=palette.ink, loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=max(columns, 1),
        handlelength=3.2,
    )  # fmt: skip


def _draw_confusion(figure: Figure, palette: Palette, table: Sequence[Sequence[int]], names: Sequence[str]) -> None:
    axes = figure.subplots()
    size = len(table)
    wrong = max((table[row][column] for row in range(size) for column in range(size) if row != column), default=0)
    diagonal = max((table[index][index] for index in range(size)), default=0)
    room = figure.get_figwidth() * 72 / max(size, 1)
    for row in range(size):
        for column in range(size):
            count, same = table[row][column], row == column
            share = count / max(diagonal if same else wrong, 1)
            strength = 0.0 if not count else 0.08 + 0.3 * share if same else 0.3 + 0.5 * share
            axes.add_patch(
                Rectangle(
                    (column - 0.5, row - 0.5), 1, 1, facecolor=palette.peer if same else palette.bad, alpha=strength
                )
            )
            if count and room > 15:
                axes.text(
                    column, row, str(count), ha="center", va="center", color=palette.ink, fontsize=min(9, room / 2.6)
                )
    quiet_axes(axes, palette, grid="both")
    axes.grid(visible=False)
    axes.set_xlim(-0.5, size - 0.5)
    axes.set_ylim(size - 0.5, -0.5)
    for edge in range(size + 1):
        axes.axhline(edge - 0.5, color=palette.line, linewidth=0.6)
        axes.axvline(edge - 0.5, color=palette.line, linewidth=0.6)
    steep = max(map(len, names), default=0) > 3
    axes.set_xticks(range(size), names, rotation=90 if steep else 0, fontsize=min(8.5, room / 2))
    axes.set_yticks(range(size), names, fontsize=min(8.5, room / 2))
    axes.set_xlabel("predicted", color=palette.muted)
    axes.set_ylabel("true", color=palette.muted)
    axes.set_aspect("equal")


def _draw_shares(figure: Figure, palette: Palette, names: Sequence[str], bars: dict[str, list[int]]) -> None:
    axes = figure.subplots()
    inches = figure.get_figwidth()
    for place, (kind, values) in enumerate(bars.items()):
        left, whole = 0.0, sum(values)
        axes.text(0, place - 0.46, kind, color=palette.muted, fontsize=8, va="bottom")
        for index, (name, value) in enumerate(zip(names, values, strict=True)):
            share = value / whole if whole else 0.0
            axes.add_patch(
                Rectangle(
                    (left, place - 0.38), share, 0.5, facecolor=palette.peer, alpha=(0.5, 0.28)[index % 2], linewidth=0
                )
            )
            text = f"{name} {format_share(share, 0)}"
            if share * inches > 0.085 * len(text):
                axes.text(left + share / 2, place - 0.13, text, ha="center", va="center", color=palette.ink, fontsize=8)
            left += share
    axes.set_xlim(0, 1)
    axes.set_ylim(len(bars) - 0.85, -0.85)
    axes.set_axis_off()


def _time_axis(axes: Axes, seconds: Sequence[float], palette: Palette, what: str) -> float:
    """Set up the time axis and return its unit in seconds; logarithmic where values lie far apart."""
    quiet_axes(axes, palette, grid="x")
    low, high = (min(seconds), max(seconds)) if seconds else (1e-3, 1.0)
    scale, unit = next((pair for pair in _TIME_UNITS if math.sqrt(low * high) >= pair[0]), _TIME_UNITS[-1])
    if high > 4 * low > 0:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlim(low / scale / 1.12, high / scale * 1.12)
    else:
        spare = 0.06 * (high - low) or low or 1.0
        axes.set_xlim((low - spare) / scale, (high + spare) / scale)
        axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    logarithmic = ", logarithmic" if axes.get_xscale() == "log" else ""
    axes.set_xlabel(f"time per {what}, {unit}{logarithmic}", color=palette.muted)
    return scale


def _middle(timing: Timing) -> tuple[float, float]:
    return timing.quantile_s(0.1), timing.quantile_s(0.9)


def _largest(names: Sequence[str], values: Sequence[int]) -> str:
    whole = sum(values)
    top = sorted(zip(values, names, strict=True), reverse=True)[:3]
    return ", ".join(f"{name} {format_share(value / whole, 0)}" for value, name in top if whole and value) or "none"


def _short(name: str, most: int = 18) -> str:
    made = plain(name)
    return made if len(made) <= most else f"{made[: most - 1]}…"
