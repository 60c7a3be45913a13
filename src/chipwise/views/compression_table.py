"""A compressed network as a terminal table, in the columns of the published ones, with every byte of the file.

>>> from chipwise.core.compression import CompressedLayer
>>> kept_share(CompressedLayer("fc", (10, 80), 5000, 200, 3, 5, 0, 0, 0, 0))
'4.0%'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group

from chipwise.views.grid import cell, facts, grid, heading, line
from chipwise.views.units import format_accuracy, format_bytes, format_count, format_time, plain

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from chipwise.core.compression import CompressedLayer, Compression, Speed, Stage
    from chipwise.core.measure import PairedDrop


def compression_table(record: Compression) -> Group:
    """One row a layer, then what each stage did, what was lost, and where the bytes of the file are."""
    rows, under = (_by_coding if record.speed is None else _by_width)(record)
    return Group(heading(f"{plain(record.network)} on {plain(record.data)}"), rows, *under, facts(facts_of(record)))


def _by_width(record: Compression) -> tuple[Table, list[Text]]:
    """The layers that are left, where only channels went."""
    rows = grid("weights of", ">shape!", ">weights!", ">file!")
    for layer in record.layers:
        shape = " x ".join(map(str, layer.shape))
        rows.add_row(
            cell(plain(layer.name)), cell(shape), cell(format_count(layer.kept)), cell(format_bytes(layer.file_bytes))
        )
    rows.add_section()
    weights, size = (sum(getattr(layer, name) for layer in record.layers) for name in ("kept", "file_bytes"))
    rows.add_row(cell("total", "bold"), cell(""), cell(format_count(weights), "bold"), cell(format_bytes(size), "bold"))
    return rows, []


def _by_coding(record: Compression) -> tuple[Table, list[Text]]:
    """The published columns."""
    rows = grid("weights of", ">weights!", ">left!", ">bits!", ">P!", ">P+Q!", ">P+Q+H!", ">file!")
    for layer in record.layers:
        rows.add_row(*map(cell, layer_cells(layer)))
    rows.add_section()
    for sums, style in zip(total_cells(record), ("bold", ""), strict=True):
        rows.add_row(*(cell(value, style) for value in sums))
    under = [
        line("bits: of a value + of its position. P: as sparse float32, P+Q: few values,"),
        line("P+Q+H: in Huffman codes (Han, Mao and Dally, 2016); file: what it takes there"),
    ]
    return rows, under


def facts_of(record: Compression) -> list[tuple[str, str]]:
    """Name and value of all that is not of one layer."""
    ledger = record.ledger
    return [
        *((stage.name, _stage(stage)) for stage in record.stages),
        (
            "file",
            f"{record.file_bytes:,} bytes, {record.ratio:.1f}x smaller than {record.dense_bytes:,}: {record.path}",
        ),
        (
            "of these",
            f"values {ledger.values:,}, positions {ledger.indices:,}, codebooks {ledger.codebooks:,}, "
            f"biases {ledger.biases:,}, graph {ledger.graph:,}, task {ledger.task:,}, headers {ledger.headers:,}",
        ),
        ("target", f"{record.target}, {'reached' if record.met else 'missed'}"),
        *([] if record.speed is None else _speed(record.speed)),
        ("validation", _drop(record.validation)),
        ("test", "no test split" if record.test is None else _drop(record.test)),
        ("seed", str(record.seed)),
    ]


def _speed(speed: Speed) -> list[tuple[str, str]]:
    """Measured before and after, and what was predicted."""
    before, after, ratio = speed.before, speed.after, speed.ratio
    spread = f"{format_time(after.quantile_s(0.1))} to {format_time(after.quantile_s(0.9))} (p10 to p90)"
    return [
        ("latency", f"{format_time(before.median_s)} before, {format_time(after.median_s)} after, {spread}"),
        ("faster by", f"{ratio.mid:.2f}x, {ratio.low:.2f} to {ratio.high:.2f} (95%), {ratio.rounds} rounds in turns"),
        (
            "predicted",
            f"{format_time(speed.predicted_s)} by a table of layers, {before.median_s / speed.predicted_s:.2f}x",
        ),
        ("widths", f"in steps of {speed.step} where layers are wider"),
    ]


_BYTES = ("pruned_bytes", "quantized_bytes", "huffman_bytes", "file_bytes")


def kept_share(layer: CompressedLayer) -> str:
    """How many of a layer's weights are left."""
    return f"{layer.kept / layer.before:.1%}" if layer.before else "-"


def layer_cells(layer: CompressedLayer) -> tuple[str, ...]:
    """One layer's row."""
    return (
        plain(layer.name),
        format_count(layer.before) if layer.before else "-",
        kept_share(layer),
        f"{layer.bits:g}+{layer.index_bits:g}",
        *(format_bytes(getattr(layer, name)) for name in _BYTES),
    )


def total_cells(record: Compression) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The rows below: sums, and how many times smaller than the source they are."""
    sums = [sum(getattr(layer, name) for layer in record.layers) for name in _BYTES]
    before, kept = (format_count(sum(getattr(layer, name) for layer in record.layers)) for name in ("before", "kept"))
    ratios = (f"{record.dense_bytes / max(each, 1):.1f}x" for each in sums)
    return ("total", before, kept, "", *map(format_bytes, sums)), ("smaller by", "", "", "", *ratios)


def _stage(stage: Stage) -> str:
    return f"{stage.detail}: {stage.weights:,} weights, validation {stage.accuracy:.2%}, {format_time(stage.seconds)}"


def _drop(drop: PairedDrop) -> str:
    accuracies = f"{format_accuracy(drop.source)} before, {format_accuracy(drop.candidate)} after"
    answers = f"{drop.lost} answers lost, {drop.won} won: a drop of {drop.drop:.2%}, at most {drop.upper:.2%} (95%)"
    return f"{accuracies}; {answers}"
