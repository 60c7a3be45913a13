"""Values along time as a chart, and arrays as a heat map: what a network says where there is no picture to draw on.

>>> values_png((0.1, 0.9, 0.2), step_s=0.5)[1:4]
b'PNG'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chipwise.views.ink import as_png, quiet_axes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from chipwise.views.ink import Palette

_COLUMNS = 1200  # of the waveform: each shows the lowest and the highest sample of its stretch
_LARGEST_SIDE = 1024


def values_png(
    values: Sequence[float], *, step_s: float = 0.0, signal: NDArray[Any] | None = None, rate: int = 0
) -> bytes:
    """A line of values along time, under the waveform of the sound where it is one.

    Args:
        values: one a step.
        step_s: seconds a step; 0 when steps have no time.
        signal: samples [T] of the sound; None for anything else.
        rate: its samples a second.
    """
    sound = signal is not None and rate > 0 and signal.ndim == 1

    def draw(figure: Figure, palette: Palette) -> None:
        rows = figure.subplots(2 if sound else 1, 1, sharex=True, squeeze=False)[:, 0]
        if sound and signal is not None:
            times, low, high = _envelope(signal, rate)
            rows[0].fill_between(times, low, high, color=palette.peer, linewidth=0.6)
            rows[0].set_ylabel("sound", color=palette.muted)
        last = rows[-1]
        last.plot(np.arange(len(values)) * (step_s or 1.0), values, color=palette.accent, linewidth=1.2)
        if values and min(values) >= 0 and 0.5 < max(values) <= 1:
            last.set_ylim(-0.02, 1.02)
        last.set_xlabel("seconds" if step_s else "step", color=palette.muted)
        last.set_ylabel("value", color=palette.muted)
        for row in rows:
            quiet_axes(row, palette)
            row.margins(x=0)

    return as_png(draw, (9.4, 4.2 if sound else 2.8))


def heat_png(array: NDArray[Any]) -> bytes | None:
    """The last two axes of an array as a heat map with its scale; None when there are not two of at least 2."""
    if array.ndim < 2 or min(array.shape[-2:]) < 2 or array.dtype.kind not in "fiub" or not array.size:
        return None
    plane = array.reshape(-1, *array.shape[-2:])[0].astype(np.float64)
    steps = [-(-side // _LARGEST_SIDE) for side in plane.shape]
    plane = np.where(np.isfinite(plane), plane, np.nan)[:: steps[0], :: steps[1]]

    def draw(figure: Figure, palette: Palette) -> None:
        axes = figure.subplots()
        shown = axes.imshow(plane, aspect="auto", interpolation="nearest")
        bar = figure.colorbar(shown)
        bar.outline.set_visible(False)
        quiet_axes(axes, palette)
        axes.grid(visible=False)

    return as_png(draw, (6.4, 4.4))


def _envelope(signal: NDArray[Any], rate: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Times in seconds, lowest and highest sample of each stretch."""
    stretch = max(1, -(-len(signal) // _COLUMNS))
    padded = np.pad(signal, (0, -len(signal) % stretch), mode="edge").reshape(-1, stretch)
    return np.arange(len(padded)) * stretch / rate, padded.min(axis=1), padded.max(axis=1)
