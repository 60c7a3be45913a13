"""Colours and formats of charts: drawn once, then light and dark in a page, or a PNG file.

SVG output is drawn with marker colours that are replaced by CSS variables, so that the page decides; the same input
gives the same bytes. There is no pyplot and no global figure.

>>> svg = as_svg(lambda figure, palette: figure.text(0.5, 0.5, "x", color=palette.ink), (1, 1), "x", "a letter")
>>> "var(--ink" in svg, svg.startswith("<svg")
(True, True)
"""

from __future__ import annotations

import html
import io
import re
import warnings
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from matplotlib.axes import Axes

    Draw = Callable[[Figure, "Palette"], object]


@dataclass(frozen=True, slots=True)
class Palette:
    """What each colour is for: text, lesser text, rules, the plan, everything else, what is wrong, background.

    `third` and `fourth` are for more things that are compared, beside the plan's colour and everything else's.
    """

    ink: str
    muted: str
    line: str
    accent: str
    peer: str
    bad: str
    paper: str
    third: str
    fourth: str


LIGHT = Palette("#16191f", "#5a6472", "#dfe3e8", "#b8430f", "#33669c", "#b3243b", "#ffffff", "#1e7d45", "#8a3fa6")
DARK = Palette("#e9ebee", "#9aa4b2", "#2d333b", "#ff9a5e", "#83b5ea", "#ff8093", "#181b20", "#6cc48f", "#cf9be6")
# Colours that no chart uses otherwise; as_svg replaces each by its variable.
_MARKS = Palette("#010203", "#010204", "#010205", "#010206", "#010207", "#010208", "#010209", "#01020a", "#01020b")
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"


def as_svg(draw: Draw, size_in: tuple[float, float], name: str, label: str) -> str:
    """Draw a figure and return it as an `<svg>` element for a page.

    Args:
        draw: fills the figure with the palette's colours.
        size_in: width and height; one inch is 72 units of the view box.
        name: prefix of every id, unique in the page.
        label: what the chart shows, for those who do not see it.
    """
    file = io.StringIO()
    with _style(name):
        figure = Figure(figsize=size_in, layout="constrained")
        draw(figure, _MARKS)
        figure.savefig(
            file, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\n?", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"font: ([^;\"]*?px) [^;\"]*", rf"font: \g<1> {_FONT}", svg)
    svg = re.sub(r"font-family: [^;\"]*", f"font-family: {_FONT}", svg)
    box = re.search(r'viewBox="[^"]*"', svg)
    assert box is not None, "matplotlib writes a view box"
    label = html.escape(label)
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {box[0]}'
    svg = f'{opening} role="img" aria-label="{label}">' + svg[svg.index(">") + 1 :]
    light = asdict(LIGHT)
    for field, mark in asdict(_MARKS).items():
        svg = svg.replace(mark, f"var(--{field}, {light[field]})")
    return svg


def as_png(draw: Draw, size_in: tuple[float, float], dpi: int = 144) -> bytes:
    """Draw a figure on white and return it as a PNG file."""
    file = io.BytesIO()
    with _style("png"):
        figure = Figure(figsize=size_in, layout="constrained", facecolor=LIGHT.paper)
        draw(figure, LIGHT)
        figure.savefig(file, format="png", dpi=dpi, metadata={"Software": None})
    return file.getvalue()


def as_file(draw: Draw, size_in: tuple[float, float], suffix: str, name: str, label: str) -> bytes:
    """Draw a figure into what a file of that suffix holds.

    Args:
        draw: fills the figure with the palette's colours.
        size_in: width and height.
        suffix: ".png", or ".svg" for a drawing that follows the reader's light or dark.
        name: as of `as_svg`, and so is `label`.
        label: likewise.
    """
    if suffix == ".png":
        return as_png(draw, size_in)
    opening, rest = as_svg(draw, size_in, name, label).split(">", 1)
    width, height = re.findall(r"[\d.]+", opening.partition('viewBox="')[2])[2:4]
    light, dark = (" ".join(f"--{field}: {value};" for field, value in asdict(each).items()) for each in (LIGHT, DARK))
    style = f"<style>svg {{ {light} }} @media (prefers-color-scheme: dark) {{ svg {{ {dark} }} }}</style>"
    paper = '<rect width="100%" height="100%" style="fill: var(--paper)"/>'
    return f'{opening} width="{width}pt" height="{height}pt">\n{style}\n{paper}{rest}\n'.encode()


def quiet_axes(axes: Axes, palette: Palette, *, grid: str = "y") -> None:
    """Leave only what carries information: no frame, pale grid lines, small labels."""
    axes.set_facecolor("none")
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(which="both", length=0, labelsize=8, colors=palette.muted)
    axes.grid(visible=True, axis=grid, color=palette.line, linewidth=0.7)  # type: ignore[arg-type]
    axes.set_axisbelow(True)


@contextmanager
def _style(salt: str) -> Iterator[None]:
    settings: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": salt,
        "font.size": 8.5,
        "text.parse_math": False,  # a name may hold dollar signs
        "axes.unicode_minus": False,
    }
    with mpl.rc_context(settings), warnings.catch_warnings():
        # The browser has the glyphs of other scripts even where the font used for the layout has not.
        warnings.filterwarnings("ignore", message=".*Glyph.*")
        yield
