"""A plan opened up, for the terminal: why this choice, where work and time go, and which fast paths were missed.

>>> from chipwise.core.plan_sheet import Exported
>>> from rich.console import Console
>>> Console(width=80).print(exported_table(Exported((("a.onnx", 2048),))))
a.onnx  2.00 KiB
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from chipwise.views import claims
from chipwise.views.grid import Fitted, cell, facts, grid, heading, line, muted
from chipwise.views.units import format_bytes, format_flops, format_ratio, format_share, format_time, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from chipwise.core.plan import Manifest
    from chipwise.core.plan_sheet import Exported, MissedPath, PlanSheet, SheetLayer

_MOST = 15  # layers that are shown unasked
_NAMED = 3  # layers in a sentence
_RIVALS = 3
_LONGEST = 48  # characters of a layer's name
_STYLES = {"compute": "green", "memory": "blue", "launch": "yellow", "unknown": "dim"}


@dataclass(frozen=True, slots=True)
class PlanSheetTable:
    """What `show` prints; `whole` shows every layer in the order they run, else the heaviest come first."""

    record: PlanSheet
    whole: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it."""
        del console, options
        record = self.record
        source = record.manifest.source
        yield heading(f"{plain(record.plan)}: {source.name}, {format_flops(source.flops)} an item")
        yield facts(_about(record))
        yield Text()
        yield from _passes(record.manifest)
        yield from _layers(record, whole=self.whole)
        yield from _missed(record)
        for note in record.notes:
            yield line(f"{note[:1].upper()}{note[1:]}.", "yellow")


def exported_table(record: Exported) -> RenderableType:
    """Where the files are."""
    return Group(*(line(f"{name}  {format_bytes(size)}") for name, size in record.files))


def _about(record: PlanSheet) -> Iterator[tuple[str, str | Text]]:
    """Why this choice, and what the whole network reaches."""
    manifest = record.manifest
    yield "choice", f"{manifest.choice.title}, for {manifest.goal}"
    yield "why", manifest.why
    yield from (("", says) for says in _rivals(manifest))
    if manifest.speedup is not None:
        yield "speed-up", f"{format_ratio(manifest.speedup)} over ONNX Runtime's default"
    if manifest.unmet:
        yield "missed", manifest.unmet
    yield "label", f"{manifest.label}: {claims.LABELS[manifest.label]}"
    yield "work", _work(record)
    if record.item_s:
        share = record.peak_share
        reached = "" if share is None else f", {format_share(share, 0)} of the peak"
        rate = format_flops(sum(record.work.values()) / record.item_s)
        yield "speed", f"{format_time(record.item_s)} an item: {rate} a second{reached}"
    yield "peak", _peaks(record)
    yield "denormals", _denormals(record)
    machine = manifest.machine
    yield "machine", f"{machine.cpu}, {machine.cores} core{'s' * (machine.cores != 1)}"


def _rivals(manifest: Manifest) -> list[str]:
    """What came next, and why it was not chosen."""
    others = [each for each in manifest.candidates if each.status == "slower" and not each.choice.source]
    others = others[: _RIVALS - 1] + [each for each in manifest.candidates if each.status == "rejected"]
    return [f"not {each.choice.title}: {each.reason}" for each in others[:_RIVALS]]


def _work(record: PlanSheet) -> str:
    whole = sum(record.work.values())
    if not whole:
        return "none that is counted"
    parts = sorted(record.work.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{format_share(flops / whole, 1)} in {name}" for name, flops in parts)


def _peaks(record: PlanSheet) -> str:
    if not record.peaks:
        return "not measured; chipwise doctor --measure, on its machine, does"
    used = [name for name in record.work if name in record.peaks] or list(record.peaks)
    rates = ", ".join(f"{name} {_rate(record.peaks[name])}" for name in used)
    return f"{rates} a second with all cores ({record.peaks_from})"


def _denormals(record: PlanSheet) -> str:
    weights = f"{record.denormal_weights:,} weights" if record.denormal_weights else "no weight"
    if record.denormal_values is None:
        return f"{weights}; what layers give was not looked at"
    count = sum(record.denormal_values.values())
    return f"{weights}, {f'{count:,}' if count else 'none'} of what layers give on the sample"


def _passes(manifest: Manifest) -> Iterator[RenderableType]:
    yield heading("Passes that fired")
    if not manifest.passes:
        yield line("none changed anything" if not manifest.choice.source else "none: the source graph was chosen")
    for says in manifest.passes:
        yield facts([("-", says)])
    yield Text()


def _layers(record: PlanSheet, *, whole: bool) -> Iterator[RenderableType]:
    timed = record.layers_s is not None
    shown = list(record.layers)
    if not whole:
        shown = sorted(shown, key=lambda each: -((each.time_s or 0.0) if timed else each.flops))[:_MOST]
    yield heading("Layers" if whole else "Layers, the heaviest first")
    titles = (">time!", ">share!", ">FLOP/s!", ">of peak!", ">of roof!") if timed else (">FLOPs!", ">share!")
    rows = grid("layer (type)", "format!", *titles, "bound by!")
    for layer in shown:
        rows.add_row(*(_timed_cells(layer, record) if timed else _cells(layer, record)))
    if timed and record.beside_s:
        share = record.beside_s / (record.layers_s or 1.0)
        beside = cell("changes of layout and format", "italic")
        rows.add_row(beside, cell("-"), cell(format_time(record.beside_s)), cell(format_share(share, 1)))
    yield Fitted(rows)
    left = len(record.layers) - len(shown)
    if left:
        yield muted(f"{left} more layer{'s' * (left > 1)}: --all")
    if timed:
        yield muted(
            f"Time: {format_time(record.layers_s or 0.0)} a call by the runtime's profiler, a little more than without"
            " it; - runs as part of another layer. Of roof: the least time by the roofline over the time it takes;"
            " layers whose values stay in caches may take less."
        )
    yield Text()


def _short(name: str) -> str:
    """A name as it fits: TensorFlow Lite joins those of all that it fused by ";", the path of each before it."""
    first = name.partition(";")[0]
    return first if len(first) <= _LONGEST else f"…{first[1 - _LONGEST :]}"


def _name(layer: SheetLayer) -> Text:
    more = f" +{len(layer.others)}" if layer.others else ""
    return Text.assemble(cell(_short(layer.name), "bold"), cell(f" ({layer.op}{more})"))


def _timed_cells(layer: SheetLayer, record: PlanSheet) -> list[Text]:
    share = (layer.time_s or 0.0) / (record.layers_s or 1.0)
    of_peak = record.peak_share_of(layer)
    roof = layer.floor_s / layer.time_s if layer.floor_s and layer.time_s else None
    return [
        _name(layer),
        cell(layer.format),
        cell(format_time(layer.time_s) if layer.time_s else "-"),
        cell(format_share(share, 1) if layer.time_s else "-", "bold" if share >= 0.05 else ""),
        cell(_rate(layer.flops_s) if layer.flops_s else "-"),
        cell(_percent(of_peak)),
        cell(_percent(roof)),
        cell(layer.bound, _STYLES[layer.bound]),
    ]


def _cells(layer: SheetLayer, record: PlanSheet) -> list[Text]:
    whole = sum(each.flops for each in record.layers)
    share = layer.flops / whole if whole else 0.0
    cells = [_name(layer), cell(layer.format), cell(format_flops(layer.flops)), cell(format_share(share, 1))]
    return [*cells, cell(layer.bound, _STYLES[layer.bound])]


def _missed(record: PlanSheet) -> Iterator[RenderableType]:
    yield heading("Fast paths missed")
    if not record.missed:
        yield line("none that are known")
    what = "time" if record.layers_s is not None else "work"
    for path in record.missed:
        yield facts([("-", _sentence(path, what)), ("", Text(plain(path.todo), "cyan"))])


def _sentence(path: MissedPath, what: str) -> Text:
    share = "" if path.share is None else f", {format_share(path.share, 1)} of the {what}"
    names = ", ".join(map(_short, path.layers[:_NAMED]))
    more = f" and {len(path.layers) - _NAMED} more" if len(path.layers) > _NAMED else ""
    return Text.assemble(cell(path.what), cell(share, "bold"), cell(f": {names}{more}" if names else "", "dim"))


def _rate(rate: float) -> str:
    return format_flops(rate).removesuffix("FLOP").rstrip()


def _percent(share: float | None) -> str:
    return "-" if share is None else format_share(share, 0 if share >= 0.01 else 1)
