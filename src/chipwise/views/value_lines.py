"""Number formats drawn as lines with a tick at every value: a logarithmic axis beside a linear one.

>>> from chipwise.core.format_report import FormatLine, OperationCost
>>> form = FormatLine("a", "a", "integer", 3, 3.0, 1.0, 0.5, 0.48, "int32", "none", OperationCost())
>>> value_lines([form], {"a": [1.0, 2.0, 3.0]}, ".png")[1:4]
b'PNG'
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import FuncFormatter, MultipleLocator

from chipwise.core.errors import InputError
from chipwise.views.ink import as_file, quiet_axes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

    from chipwise.core.format_report import FormatLine
    from chipwise.views.ink import Palette

_LEAST, _MOST = -34, 34  # powers of two that the logarithmic axis shows
_LINEAR = 4.0
_MOST_TICKS = 400  # of one line; more of them are a band
_ROW_IN = 0.23
# A vertical line as matplotlib writes it.
_VERTICAL = re.compile(rb"M ([\d.]+) ([\d.]+) \nL \1 ([\d.]+) \n")
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def value_lines(lines: Sequence[FormatLine], values: Mapping[str, ArrayLike], suffix: str) -> bytes:
    """Draw the positive values of each format, one row a format.

    Args:
        lines: formats, from top to bottom.
        values: by the format's name, its positive values, ascending; none where they are too many to hold.
        suffix: ".svg" or ".png".

    Raises:
        InputError: there is no format to draw.
    """
    if not lines:
        raise InputError("no number format to draw")
    label = f"Positive values of {', '.join(each.title for each in lines)} on a logarithmic and a linear axis"
    size = (10.0, 1.1 + _ROW_IN * len(lines))
    made = as_file(lambda figure, palette: _draw(figure, palette, lines, values), size, suffix, "values", label)
    return _VERTICAL.sub(_short, made) if suffix == ".svg" else made


def _short(found: re.Match[bytes]) -> bytes:
    """The same line in a third of the letters: thousands of ticks make most of the file."""
    across, start, end = map(float, found.groups())
    return f"M{across:.2f} {start:.1f}v{end - start:.1f}".encode()


def _draw(figure: Figure, palette: Palette, lines: Sequence[FormatLine], values: Mapping[str, ArrayLike]) -> None:
    logarithmic, linear = figure.subplots(1, 2, sharey=True, width_ratios=(2.2, 1))
    families = list(dict.fromkeys(each.family for each in lines))
    inks = (palette.peer, palette.third, palette.ink, palette.muted, palette.accent, palette.fourth)
    colours = dict(zip(families, inks, strict=False))
    for place, each in enumerate(lines):
        held = np.asarray(values[each.name], np.float64)
        colour = colours[each.family]
        _row(logarithmic, place, np.log2(held), (math.log2(each.smallest), math.log2(each.largest)), colour)
        _row(linear, place, held[held <= _LINEAR], (each.smallest, min(each.largest, _LINEAR)), colour)
    _axes(logarithmic, linear, palette)
    logarithmic.set_yticks(range(len(lines)), [each.title for each in lines], fontsize=8)
    for name, ink in zip(logarithmic.get_yticklabels(), lines, strict=True):
        name.set_color(colours[ink.family])


def _row(axes: Axes, place: int, ticks: Any, ends: tuple[float, float], colour: str) -> None:
    low, high = ends
    if not len(ticks) or len(ticks) > _MOST_TICKS:
        axes.plot([low, high], [place, place], color=colour, linewidth=7, alpha=0.45, solid_capstyle="butt")
        return
    axes.plot([low, high], [place, place], color=colour, linewidth=0.5, alpha=0.5)
    # One path a row: a path a tick makes files ten times as large.
    across = np.repeat(np.asarray(ticks, np.float64), 3)
    along = np.tile([place - 0.33, place + 0.33, np.nan], len(ticks))
    axes.plot(across, along, color=colour, linewidth=0.7, solid_capstyle="butt")


def _axes(logarithmic: Axes, linear: Axes, palette: Palette) -> None:
    for axes, title in ((logarithmic, "powers of two"), (linear, "numbers from 0 to 4")):
        quiet_axes(axes, palette, grid="x")
        axes.set_title(title, loc="left", color=palette.ink, fontsize=9)
        axes.tick_params(axis="y", length=0)
    logarithmic.set_xlim(_LEAST, _MOST)
    logarithmic.xaxis.set_major_locator(MultipleLocator(8))
    logarithmic.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: "2" + f"{value:.0f}".translate(_RAISED) if value else "1")
    )
    linear.set_xlim(-0.05, _LINEAR + 0.05)
    logarithmic.invert_yaxis()
