"""Pictures of a compression: where weights lie before and after, and accuracy as weights go.

Each function returns an `<svg>` element for a page, or with a suffix what a file of its own holds.

>>> from chipwise.core.compression import Stage, StageEpoch
>>> stages = (Stage("prune", "50%", 10, 0.9, 1.0, (StageEpoch(0.7, 0.8), StageEpoch(0.5, 0.9)), kept=2),)
>>> "<svg" in run_curves(stages, 0.95)
True
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from chipwise.views.ink import as_file, as_svg, quiet_axes
from chipwise.views.units import format_count, format_share, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from chipwise.core.compression import Histogram, LayerWeights, Stage
    from chipwise.views.ink import Palette

MOST_LAYERS = 16
_WIDE_IN, _ROW_IN = 9.4, 1.15
_NOTABLE = 5e-4  # share of zeros from which on it is said
_LONGEST = 28  # characters of a layer's name


def drawn_layers(weights: Sequence[LayerWeights]) -> list[LayerWeights]:
    """The layers that pictures show: all, or the largest where there are more than `MOST_LAYERS`, in their order."""
    sizes = [sum(layer.before.counts) + layer.before.zeros for layer in weights]
    largest = sorted(range(len(sizes)), key=lambda place: -sizes[place])[:MOST_LAYERS]
    return [layer for place, layer in enumerate(weights) if place in largest]


def weight_stages(weights: Sequence[LayerWeights], suffix: str = "") -> str:
    """Histograms of each layer's weights before pruning, after it, and after retraining; one row a layer."""
    rows = drawn_layers(weights)
    label = "Weights before pruning, after pruning, after retraining. " + "; ".join(
        f"{plain(row.name)}: {format_share(_zero_share(row.trained), 1)} zeros" for row in rows
    )
    return _made(lambda figure, palette: _draw_stages(figure, palette, rows), len(rows), "weights", label, suffix)


def value_histograms(weights: Sequence[LayerWeights], suffix: str = "") -> str:
    """Each layer's continuous weights before rounding beside the few values after it; one row a layer."""
    rows = drawn_layers(weights)
    label = "Weights before rounding, and the values that they have after it. " + "; ".join(
        f"{plain(row.name)}: {len(row.values)} values besides zero" for row in rows
    )
    return _made(lambda figure, palette: _draw_values(figure, palette, rows), len(rows), "values", label, suffix)


def run_curves(stages: Sequence[Stage], before: float, suffix: str = "") -> str:
    """Accuracy on the validation split as weights go, and epoch by epoch over all stages.

    Args:
        stages: with their epochs.
        before: accuracy of the source network, 0..1.
        suffix: ".svg" for a file of its own.
    """
    label = f"Validation accuracy: {format_share(before)} before; " + "; ".join(
        f"{stage.name} to {stage.detail}: {format_share(stage.accuracy)}" for stage in stages
    )
    size = (_WIDE_IN, 3.2)
    return _text(lambda figure, palette: _draw_run(figure, palette, stages, before), size, "run", plain(label), suffix)


def _made(draw: Callable[[Figure, Palette], object], rows: int, name: str, label: str, suffix: str) -> str:
    return _text(draw, (_WIDE_IN, 0.45 + _ROW_IN * max(rows, 1)), name, label, suffix)


def _text(
    draw: Callable[[Figure, Palette], object], size: tuple[float, float], name: str, label: str, suffix: str
) -> str:
    made = as_file(draw, size, suffix, name, label).decode() if suffix else as_svg(draw, size, name, label)
    return re.sub(r' d="[^"]*"', _shorter, made)


def _shorter(path: re.Match[str]) -> str:
    """A path in tenths of a point, whose lines are not all announced by a letter: half the size."""
    return re.sub(r"(\.\d)\d+", r"\1", path[0]).replace(" \nL ", " ")


def _draw_stages(figure: Figure, palette: Palette, rows: Sequence[LayerWeights]) -> None:
    grid = figure.subplots(len(rows), 3, squeeze=False)
    for row, axes in zip(rows, grid, strict=True):
        shown = (("before pruning", row.before), ("after pruning", row.masked), ("after retraining", row.trained))
        for place, (each, (when, histogram)) in enumerate(zip(axes, shown, strict=True)):
            _quiet(each, palette, row.bound)
            if histogram is None:
                each.text(0.5, 0.5, "not pruned", transform=each.transAxes, ha="center", color=palette.muted)
                each.set_yticks([])
            else:
                _bars(each, histogram, row.bound, palette.accent if place == 2 else palette.peer)
                _say_zeros(each, histogram.zeros, sum(histogram.counts) + histogram.zeros, palette)
            if not place:
                _name(each, row.name, palette)
            if row is rows[0]:
                _head(each, when, palette)


def _draw_values(figure: Figure, palette: Palette, rows: Sequence[LayerWeights]) -> None:
    grid = figure.subplots(len(rows), 2, squeeze=False)
    for row, (continuous, discrete) in zip(rows, grid, strict=True):
        for axes in (continuous, discrete):
            _quiet(axes, palette, row.bound)
            _name(axes, row.name if axes is continuous else "", palette)
        _bars(continuous, row.trained, row.bound, palette.peer)
        _say_zeros(continuous, row.trained.zeros, sum(row.trained.counts) + row.trained.zeros, palette)
        # One path for all stems: a path each makes files ten times as large.
        across = np.repeat(np.asarray(row.values, np.float64), 3)
        up = np.array([[0.0, count, np.nan] for count in row.counts]).ravel()
        discrete.plot(across, up, color=palette.accent, linewidth=2.2 if len(row.values) < 40 else 1.0)
        discrete.set_ylim(bottom=0)
        _say_zeros(discrete, row.zeros, sum(row.counts) + row.zeros, palette, f"{len(row.values)} values")
        if row is rows[0]:
            _head(continuous, "before rounding", palette)
            _head(discrete, "after rounding and training", palette)


def _bars(axes: Axes, histogram: Histogram, bound: float, colour: str) -> None:
    edges = np.linspace(-bound, bound, len(histogram.counts) + 1)
    axes.stairs(histogram.counts, edges, fill=True, color=colour, alpha=0.75, linewidth=0)
    axes.set_ylim(bottom=0)


def _quiet(axes: Axes, palette: Palette, bound: float) -> None:
    quiet_axes(axes, palette)
    axes.tick_params(labelsize=7)
    axes.set_xlim(-bound, bound)
    axes.xaxis.set_major_locator(MaxNLocator(4, symmetric=True))
    axes.yaxis.set_major_locator(MaxNLocator(2, integer=True, prune="lower"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_count(int(value))))


def _head(axes: Axes, text: str, palette: Palette) -> None:
    """What a column shows, above the names of the layers."""
    axes.annotate(
        text, (0.5, 1.0), xycoords="axes fraction", xytext=(0, 18), textcoords="offset points", ha="center",
        color=palette.ink, fontsize=9,
    )  # fmt: skip


def _name(axes: Axes, name: str, palette: Palette) -> None:
    short = plain(name) if len(plain(name)) <= _LONGEST else f"…{plain(name)[1 - _LONGEST :]}"
    axes.set_title(short, loc="left", color=palette.ink, fontsize=8, fontweight="bold", pad=4)


def _say_zeros(axes: Axes, zeros: int, whole: int, palette: Palette, more: str = "") -> None:
    share = f"{format_share(zeros / max(whole, 1), 1)} are 0" if zeros >= _NOTABLE * whole else ""
    text = "\n".join(filter(None, [share, more]))
    axes.text(0.99, 0.95, text, transform=axes.transAxes, ha="right", va="top", color=palette.ink, fontsize=7.5)


def _zero_share(histogram: Histogram) -> float:
    return histogram.zeros / max(sum(histogram.counts) + histogram.zeros, 1)


def _draw_run(figure: Figure, palette: Palette, stages: Sequence[Stage], before: float) -> None:
    by_weights, by_epoch = figure.subplots(1, 2, sharey=True, width_ratios=(1.2, 1))
    for axes in (by_weights, by_epoch):
        quiet_axes(axes, palette)
        axes.axhline(before, color=palette.ink, linewidth=0.9, linestyle=(0, (3, 2)))
    by_weights.yaxis.set_major_formatter(PercentFormatter(1.0))
    by_weights.set_title("validation accuracy as weights go", loc="left", color=palette.ink, fontsize=9)
    by_epoch.set_title("and epoch by epoch", loc="left", color=palette.ink, fontsize=9)
    by_weights.set_xlabel("weights that are zero", color=palette.muted)
    by_weights.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    by_epoch.set_xlabel("epoch, over all stages", color=palette.muted)
    by_epoch.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    colours = {"narrow": palette.third, "prune": palette.peer, "round": palette.accent}
    seen = [before, *(each.accuracy for stage in stages for each in stage.history)]
    span = max(max(seen) - min(seen), 0.002)
    by_weights.set_ylim(min(seen) - 0.3 * span, max(seen) + 0.08 * span)  # room for words below the curves
    done = 0
    for stage in stages:
        colour = colours.get(stage.name, palette.muted)
        epochs = [done + 1 + place for place in range(len(stage.history))]
        rates = [each.accuracy for each in stage.history]
        alone = "o" if len(rates) == 1 else ""
        by_epoch.plot(epochs, rates, color=colour, linewidth=1.5, marker=alone, markersize=4)
        if stage.kept:
            by_epoch.plot([done + stage.kept], [stage.accuracy], "o", color=colour, markersize=5)
        if rates and done:
            by_epoch.axvline(done + 0.5, color=palette.muted, linewidth=0.7, linestyle=(0, (2, 2)))
        if rates:
            by_epoch.text(
                done + 0.7, 0.02, stage.name, transform=by_epoch.get_xaxis_transform(), color=colour, fontsize=8
            )
        done += len(rates)
        if stage.name == "prune" and rates:
            _draw_masks(by_weights, stage, colour)
    kept = [stage for stage in stages if stage.name == "prune" and stage.kept]
    said = [f"large dot: kept, {format_share(kept[-1].accuracy)}"] if kept else ["nothing was pruned"]
    text = "\n".join([*said, f"dashed: before, {format_share(before)}"])
    by_weights.text(0.02, 0.04, text, transform=by_weights.transAxes, color=palette.ink, fontsize=8)


def _draw_masks(axes: Axes, stage: Stage, colour: str) -> None:
    """One dot an epoch: masks that grow go right, training under the same masks goes up."""
    zeros, rates = [1 - each.density for each in stage.history], [each.accuracy for each in stage.history]
    axes.plot(zeros, rates, color=colour, linewidth=1.2, marker="o", markersize=2.8)
    axes.plot([1 - stage.history[stage.kept - 1].density], [stage.accuracy], "o", color=colour, markersize=6.5)
