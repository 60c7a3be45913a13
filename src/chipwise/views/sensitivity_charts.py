"""Curves of what each layer alone can lose: accuracy by weights left and by bits, one line a layer.

>>> from chipwise.core.measure import Accuracy
>>> from chipwise.core.sensitivity import LayerSensitivity, Sensitivity, SensitivityPoint
>>> points = (SensitivityPoint(0.5, 0.9, 0.3), SensitivityPoint(0.1, 0.4, 2.0))
>>> layer = LayerSensitivity("conv", 10, points, (), ())
>>> "<svg" in curves(Sensitivity("net", "data", Accuracy(9, 10, 0.6, 1.0), 0.2, 10, (layer,)))
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from chipwise.views.ink import as_file, as_svg, quiet_axes
from chipwise.views.units import format_share, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from chipwise.core.sensitivity import LayerSensitivity, Sensitivity, SensitivityPoint
    from chipwise.views.ink import Palette

_WIDE_IN, _HIGH_IN = 9.4, 3.7
_NAMED = 6  # layers that have a colour of their own
_STYLES = ("-", (0, (1.2, 1.2)))
_LONGEST = 24
_LEAST_SPAN = 0.03  # of the accuracies that the panel of bits shows, below what there was before


def curves(record: Sensitivity, suffix: str = "") -> str:
    """Two panels: accuracy by density, and by bits; the layers that lose most are named.

    Args:
        record: with at least one layer.
        suffix: ".svg" for a file of its own, else an `<svg>` element for a page.
    """
    worst = ranked(record)[:_NAMED]
    told = "; ".join(f"{plain(layer.name)} down to {format_share(_lowest(layer))}" for layer in worst)
    label = f"Accuracy with one layer changed, {format_share(record.accuracy.value)} with none: {told}"
    size = (_WIDE_IN, _HIGH_IN + 0.2 * ((min(len(record.layers), _NAMED + 1) + 2) // 3))

    def draw(figure: Figure, palette: Palette) -> None:
        _draw(figure, palette, record)

    if suffix:
        return as_file(draw, size, suffix, "sensitivity", label).decode()
    return as_svg(draw, size, "sensitivity", label)


def ranked(record: Sensitivity) -> list[LayerSensitivity]:
    """Layers, those first whose curves lose most on average."""
    return sorted(record.layers, key=_mean)


def _points(layer: LayerSensitivity) -> tuple[SensitivityPoint, ...]:
    return (*layer.density, *layer.steps, *layer.codebook)


def _mean(layer: LayerSensitivity) -> float:
    return sum(point.accuracy for point in _points(layer)) / max(len(_points(layer)), 1)


def _lowest(layer: LayerSensitivity) -> float:
    return min(point.accuracy for point in _points(layer))


def _draw(figure: Figure, palette: Palette, record: Sensitivity) -> None:
    by_density, by_bits = figure.subplots(1, 2, width_ratios=(1.2, 1))
    inks = (palette.accent, palette.peer, palette.third, palette.fourth, palette.ink, palette.bad)
    named = [layer.name for layer in ranked(record)[:_NAMED]]
    colours = dict(zip(named, inks, strict=False))
    for layer in sorted(record.layers, key=lambda layer: layer.name in colours):
        colour = colours.get(layer.name, palette.muted)
        _line(by_density, layer.density, colour, _STYLES[0], strong=layer.name in colours)
        for points, style in zip((layer.steps, layer.codebook), _STYLES, strict=True):
            _line(by_bits, points, colour, style, strong=layer.name in colours)
    for axes in (by_density, by_bits):
        quiet_axes(axes, palette)
        axes.axhline(record.accuracy.value, color=palette.ink, linewidth=0.9, linestyle=(0, (3, 2)))
    _scales(by_density, by_bits, record, palette)
    handles = [
        Line2D([], [], color=colours[layer.name], label=_short(layer.name))
        for layer in record.layers
        if layer.name in colours
    ]
    others = len(record.layers) - len(handles)
    if others:
        handles.append(Line2D([], [], color=palette.muted, linewidth=0.7, label=f"{others} others"))
    figure.legend(
        handles=handles, loc="outside lower left", ncols=3, frameon=False, labelcolor=palette.ink, fontsize=8,
        handlelength=1.8,
    )  # fmt: skip


def _line(axes: Axes, points: Sequence[SensitivityPoint], colour: str, style: Any, *, strong: bool) -> None:
    axes.plot(
        [point.setting for point in points], [point.accuracy for point in points], color=colour,
        linestyle=style, linewidth=1.6 if strong else 0.7, alpha=1.0 if strong else 0.6,
        marker="o", markersize=2.4 if strong else 0,
    )  # fmt: skip


def _scales(by_density: Axes, by_bits: Axes, record: Sensitivity, palette: Palette) -> None:
    by_density.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    by_bits.yaxis.set_major_formatter(PercentFormatter(1.0))
    # Rounding alone often costs next to nothing: a scale of its own, though not one that makes a chasm of a sample.
    before = record.accuracy.value
    lowest = min((p.accuracy for layer in record.layers for p in (*layer.steps, *layer.codebook)), default=before)
    by_bits.set_ylim(min(lowest, before - _LEAST_SPAN) - 0.005, min(before + _LEAST_SPAN, 1.0) + 0.005)
    by_density.set_title("accuracy by weights left in one layer", loc="left", color=palette.ink, fontsize=9)
    by_density.set_xlabel("weights of that layer that are left, logarithmic", color=palette.muted)
    by_density.set_xscale("log")
    settings = sorted({point.setting for layer in record.layers for point in layer.density})
    shown = [each for each in settings if each in (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)] or settings
    by_density.xaxis.set_major_locator(FixedLocator(shown))
    by_density.xaxis.set_minor_locator(NullLocator())
    by_density.xaxis.set_major_formatter(FuncFormatter(lambda value, _: format_share(value, 0)))
    by_density.invert_xaxis()
    by_bits.set_title("accuracy by bits of its weights (another scale)", loc="left", color=palette.ink, fontsize=9)
    by_bits.set_xlabel("bits, steps of one size (lines) and k-means (dotted)", color=palette.muted)
    by_bits.xaxis.set_major_locator(FixedLocator(sorted({p.setting for layer in record.layers for p in layer.steps})))
    by_bits.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    by_bits.invert_xaxis()


def _short(name: str) -> str:
    made = plain(name)
    return made if len(made) <= _LONGEST else f"…{made[1 - _LONGEST :]}"
