"""Pages of pictures with the numbers behind them: a compression, and what each layer alone can lose.

Self-contained, without script or request, like the report, whose style sheet they share.

>>> from chipwise.core.measure import Accuracy
>>> from chipwise.core.sensitivity import LayerSensitivity, Sensitivity, SensitivityPoint
>>> layer = LayerSensitivity("<b>", 10, (SensitivityPoint(0.5, 0.9, 0.3),), (), ())
>>> "&lt;b&gt;" in sensitivity_html(Sensitivity("net", "data", Accuracy(9, 10, 0.6, 1.0), 0.2, 10, (layer,)))
True
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from chipwise.views import compression_charts, sensitivity_charts
from chipwise.views.compression_table import facts_of, layer_cells, total_cells
from chipwise.views.sensitivity_table import NOTE, about, tables_of, title
from chipwise.views.units import format_accuracy, format_bytes, format_count, format_share, plain

if TYPE_CHECKING:
    from chipwise.core.compression import Compression
    from chipwise.core.sensitivity import Sensitivity

_COLUMNS = ("weights of", "weights", "left", "bits", "P", "P+Q", "P+Q+H", "file")
_BYTES = (
    "bits: of a value + of its position. P: as sparse float32; P+Q: few values; P+Q+H: in Huffman codes (Han, Mao and "
    "Dally, 2016); file: what the layer takes there."
)
_MASKS = (
    "One dot an epoch: as masks grow the line goes right, and training under the same masks takes it up or down. The "
    "large dot is the epoch whose weights were kept. Dashed: the source network."
)
_STAGES = (
    "Zeros are not drawn; their share is said. After pruning: the weights that stay, as they were before; after "
    "retraining: what they became."
)
_VALUES = "Left what training under the masks left; right the few values that weights have in the file."


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page: pictures, then a table; either may be absent. `wordy` columns hold text, all others numbers."""

    title: str
    text: str = ""
    drawing: Markup = Markup()  # noqa: RUF009  it is immutable
    caption: str = ""
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    wordy: frozenset[str] = frozenset()


def compression_html(record: Compression) -> str:
    """One page: the claim, accuracy as weights go, where weights lie, the layer table, and every stage."""
    drop = record.validation if record.test is None else record.test
    which = "validation" if record.test is None else "test"
    claim = (
        f"{format_bytes(record.file_bytes)}, {record.ratio:.1f} times smaller than {format_bytes(record.dense_bytes)}; "
        f"{format_accuracy(drop.source)} before and {format_accuracy(drop.candidate)} after, on the {which} split."
    )
    before = record.validation.source.value
    sections = [
        Section("Layers", _BYTES, columns=_COLUMNS, rows=(*map(layer_cells, record.layers), *total_cells(record))),
    ]
    if any(stage.history for stage in record.stages):
        drawn = compression_charts.run_curves(record.stages, before)
        sections.append(Section("Accuracy as weights go", drawing=safe(drawn), caption=_MASKS))
    if record.weights:
        shown = len(compression_charts.drawn_layers(record.weights))
        most = "" if shown == len(record.weights) else f" The {shown} largest of {len(record.weights)} layers."
        stages, values = (
            draw(record.weights) for draw in (compression_charts.weight_stages, compression_charts.value_histograms)
        )
        sections.append(Section("Weights, stage by stage", drawing=safe(stages), caption=_STAGES + most))
        sections.append(Section("Weights before and after rounding", drawing=safe(values), caption=_VALUES + most))
    sections.append(Section("How it came about", facts=tuple(facts_of(record))))
    return page_of(f"{plain(record.network)} on {plain(record.data)}, compressed", claim, sections)


def sensitivity_html(record: Sensitivity) -> str:
    """One page: the curves, and the numbers that they are drawn from."""
    drawn = Section("Curves", drawing=safe(sensitivity_charts.curves(record)), caption=NOTE)
    tables = [
        Section(
            name[0].upper() + name[1:],
            columns=("weights of", "weights", *columns),
            rows=tuple(
                (plain(layer.name), format_count(layer.weights), *(format_share(each.accuracy, 1) for each in points))
                for layer, points in rows
            ),
        )
        for name, columns, rows in tables_of(record)
        if columns
    ]
    return page_of(title(record), about(record), [drawn, *tables])


def safe(svg: str) -> Markup:
    """A drawing that goes into a page as it is."""
    return Markup(svg)  # noqa: S704  escaped by matplotlib


def page_of(title_: str, claim: str, sections: list[Section]) -> str:
    """The whole page."""
    made = Environment(
        loader=PackageLoader("chipwise", "views"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    return made.get_template("picture_page.html.j2").render(title=title_, claim=claim, sections=sections)
