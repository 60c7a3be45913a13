"""What a machine was measured to do, beside what it could do in theory: as published tables have it.

>>> from rich.console import Console
>>> from chipwise.core.device import Device, Machine
>>> from chipwise.core.measured import MeasuredMachine
>>> machine = Machine("Example 3000", "x86_64", (), 1, 1)
>>> found = MeasuredMachine(machine, Device("Example 3000", "cpu"), "2026-11-23", {}, seconds=60.0)
>>> Console(width=80).print(measured_table(found))
Measured on 2026-11-23 in 1 min 00 s
Example 3000, 1 core
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from chipwise.views.grid import cell, grid, heading, line, muted
from chipwise.views.units import UNKNOWN, format_bytes, format_flops, format_share, format_time, significant

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType

    from chipwise.core.device import Machine
    from chipwise.core.measured import Arithmetic, LayerTimes, MeasuredMachine, Sustained

_FORMATS = ("fp64", "fp32", "tf32", "bf16", "fp16", "int8")
# What people ask for, and how kernels spell it on x86 and on Arm; any of these will do.
_FEATURES = {
    "x86_64": {
        "AVX2": ("avx2",),
        "AVX-512": ("avx512f",),
        "VNNI": ("avx512_vnni", "avx_vnni"),
        "BF16": ("avx512_bf16",),
        "FP16": ("avx512_fp16",),
        "AMX": ("amx_tile", "amx_bf16", "amx_int8"),
    },
    "aarch64": {
        "NEON": ("asimd", "neon"),
        "dot product": ("asimddp",),
        "FP16": ("asimdhp", "fphp"),
        "BF16": ("bf16",),
        "I8MM": ("i8mm",),
        "SVE": ("sve",),
        "SVE2": ("sve2",),
        "SME": ("sme",),
    },
}
_SPREAD = 0.1  # beyond this a rate is marked


def features_line(machine: Machine) -> str:
    """Which instruction sets that matter the processor has, and which it lacks."""
    known = _FEATURES.get({"arm64": "aarch64", "AMD64": "x86_64"}.get(machine.architecture, machine.architecture))
    if known is None:
        return " ".join(machine.isa) or "none that matter here"
    there = [name for name, spelled in known.items() if set(spelled) & set(machine.isa)]
    absent = [name for name in known if name not in there]
    return (", ".join(there) or "none that matter here") + (f"; not {', '.join(absent)}" if absent else "")


def measured_table(found: MeasuredMachine) -> RenderableType:
    """Arithmetic by number format, memory by level, overheads, and how well layers predict networks."""
    cores = f"{found.machine.cores} core{'s' * (found.machine.cores > 1)}"
    took = f"Measured on {found.date} in {format_time(found.seconds)}"
    blocks: list[RenderableType] = [heading(took if found.complete else f"{took}, not to the end")]
    blocks += [muted(f"{found.machine.cpu}, {cores}")]
    for part in (_arithmetic(found), _streams(found), _overheads(found), _layers(found.layers)):
        blocks += part
    return Group(*blocks, *(line(note, "yellow") for note in found.notes))


def _arithmetic(found: MeasuredMachine) -> list[RenderableType]:
    blocks: list[RenderableType] = []
    for on_gpu in (False, True):
        seen = [each for each in found.arithmetic if (each.threads == 0) == on_gpu]
        most = max((each.threads for each in seen), default=0)
        whole = [each for each in seen if each.threads == most]
        if not whole:
            continue
        rows = grid("GPU" if on_gpu else "format", ">theory!", ">max!", ">product!", ">of theory!", ">FFT!", "through")
        for format_ in _FORMATS:
            chosen = [each for each in whole if each.format == format_]
            theory = None if on_gpu else found.theory.get(format_)
            if chosen or theory:
                rows.add_row(*_format_cells(format_, chosen, theory))
        blocks += [rows]
        if not on_gpu:
            blocks += [muted(f"Operations a second, 1 multiply-add = 2. Theory: {found.theory_basis or 'not known'}.")]
            blocks += _scaling(seen)
            if found.clock_hz is not None:
                blocks += [muted(f"Clock under load, as the system reports it: {found.clock_hz / 1e9:.2f} GHz")]
    return blocks


def _format_cells(format_: str, seen: list[Arithmetic], theory: float | None) -> list[Text]:
    product, fft = _best(seen, "product"), _best(seen, "fft")
    most = max((each.best.rate for each in seen), default=None)
    native = all(each.native for each in seen)
    through = "" if product is None else f"{product.through}, {product.size}" + ("" if native else ", emulated")
    share = None if product is None or not theory else product.best.rate / theory
    return [
        cell(format_, "bold"),
        cell(UNKNOWN if theory is None else _rate(theory)),
        cell("-" if most is None else _rate(most)),
        cell("-" if product is None else _held(product.best)),
        cell(UNKNOWN if share is None else format_share(share, 0)),
        cell("-" if fft is None else _held(fft.best)),
        cell(through),
    ]


def _best(seen: Iterable[Arithmetic], work: str) -> Arithmetic | None:
    return max((each for each in seen if each.work == work), key=lambda each: each.best.rate, default=None)


def _scaling(seen: list[Arithmetic]) -> list[RenderableType]:
    """By threads, of the library that was measured with several numbers of them."""
    by_threads = {each.threads: each for each in seen if (each.through, each.format) == ("onnxruntime", "fp32")}
    if len(by_threads) < 2:
        return []
    parts = [f"{count} {_rate(by_threads[count].best.rate)}" for count in sorted(by_threads)]
    return [muted(f"fp32 products of onnxruntime by threads: {', '.join(parts)}")]


def _rate(rate: float) -> str:
    return format_flops(rate).removesuffix("FLOP").rstrip()


def _held(best: Sustained) -> str:
    return ("~" if best.spread > _SPREAD or best.disturbed == best.repeats else "") + _rate(best.rate)


def _streams(found: MeasuredMachine) -> list[RenderableType]:
    if not found.streams:
        return []
    counts = sorted({each.threads for each in found.streams if each.threads})
    columns = [(kernel, threads) for kernel in ("copy", "add") for threads in counts]
    titles = [f">{kernel},\n{threads} thread{'s' * (threads > 1)}!" for kernel, threads in columns]
    rows = grid("memory", ">arrays!", *titles)
    for level in dict.fromkeys(each.level for each in found.streams):
        own = {(str(each.kernel), each.threads): each for each in found.streams if each.level == level}
        cells = [own.get(column) or own.get((column[0], 0)) for column in columns]
        shown = ["-" if each is None else _bytes_s(each.best) for each in cells]
        rows.add_row(cell(level), cell(format_bytes(max(each.size_bytes for each in own.values()))), *map(cell, shown))
    copies = [
        f"{each.direction} {'pinned' if each.pinned else 'not pinned'} {_bytes_s(each.best)}" for each in found.copies
    ]
    more = [muted("Between host and GPU: " + ", ".join(copies))] if copies else []
    doubtful = [*(each.best for each in found.streams), *(each.best for each in found.arithmetic)]
    if any("~" in _held(best) for best in doubtful):
        more += [muted("~ others used the processor meanwhile, or the rate did not hold")]
    return [Text(), rows, muted("Bytes a second read and written; add moves what STREAM's triad moves."), *more]


def _bytes_s(best: Sustained) -> str:
    mark = "~" if best.spread > _SPREAD or best.disturbed == best.repeats else ""
    return f"{mark}{significant(best.rate / 1e9)} GB"


def _overheads(found: MeasuredMachine) -> list[RenderableType]:
    if not found.dispatch:
        return []
    rows = grid("runtime", ">a call!", ">one more\noperator!")
    for each in found.dispatch:
        rows.add_row(cell(each.runtime), cell(format_time(each.call_s)), cell(format_time(each.operator_s)))
    return [Text(), rows]


def _layers(layers: Iterable[LayerTimes]) -> list[RenderableType]:
    rows = grid(
        "layers on", "format", ">kernels\nmeasured!", ">error of networks\nleft out, median!", ">of 8 in 10\nbelow!"
    )
    for times in layers:
        errors = sorted(map(abs, times.errors))
        rows.add_row(
            cell(times.runtime),
            cell(times.precision + ("" if times.native else ", emulated")),
            cell(str(len(times.kernels))),
            cell(format_share(statistics.median(errors), 0) if errors else UNKNOWN),
            cell(format_share(errors[int(0.8 * (len(errors) - 1))], 0) if errors else UNKNOWN),
        )
    return [Text(), rows, muted("chipwise estimate --on here predicts from these.")] if rows.row_count else []
