"""The HTML report: one self-contained page with the claim, its proof and how it was measured.

No script, no network, no external font: the page's own content policy forbids all three. What is absent from the
record leaves no gap.

>>> from chipwise.core.device import Machine
>>> from chipwise.core.report import Doctor, Report
>>> page = report_html(Report("An <b>empty</b> one", Doctor(Machine("cpu", "x86_64", (), 2, 2), (), {})))
>>> "An &lt;b&gt;empty&lt;/b&gt; one" in page
True
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from chipwise.core.device import Device
from chipwise.views import charts, claims, outlook_charts, units
from chipwise.views.layer_roofline import roofline_svg

if TYPE_CHECKING:
    from collections.abc import Callable

    from chipwise.core.device import Machine
    from chipwise.core.estimate import Interval
    from chipwise.core.measure import Ratio
    from chipwise.core.report import CheckResult, Inspection, Mistake, Outlook, Report
    from chipwise.core.what_if import WhatIf

_MOST_BARS = 150
_MOST_ROWS = 40
_SPEED = """All contenders take turns in the same process, {rounds} rounds in changing order, so that a busy machine
hits them alike. Calls that warm up are thrown away. Times are medians of wall time for one call; the speed-up is the
median of the ratios within each round, with a 95% bootstrap interval. Where that interval holds 1, nothing is
claimed."""
_ACCURACY = """Intervals of an accuracy are 95% Wilson intervals. Plan and source network answer the same samples, and
only those count that they answer differently: the bound of the drop is the one-sided 95% score bound for paired
answers (Tango 1998)."""
_TEST = "It takes no part in training, nor in the choice of the epoch that is kept."
_UNITS = "1 multiply-add = 2 FLOPs. Bytes moved count each tensor once, read or written. 1 KiB = 1024 bytes."


@dataclass(frozen=True, slots=True)
class Tile:
    """One number of the claim: what it is, the value, and what belongs beside it."""

    name: str
    value: str
    detail: str


def report_html(report: Report) -> str:
    """Draw everything that the record holds on one page; the same record gives the same bytes."""
    page = _environment().get_template("report.html.j2")
    return page.render(
        report=report,
        headline=claims.headline(report.bench, report.plan),
        tiles=_tiles(report),
        drawings=_drawings(report),
        mistakes=_mistakes(report.check, report.pictures),
        confused=_confused(report.check),
        elsewhere=_elsewhere(report),
        method=_method(report),
        most_rows=_MOST_ROWS,
        claims=claims,
        largest=_largest(report.inspection),
    )


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("chipwise", "views"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) or not isinstance(value, str) else units.plain(value),
    )
    made.filters |= {
        "time": units.format_time,
        "spread": units.format_spread,
        "bytes": units.format_bytes,
        "count": units.format_count,
        "flops": units.format_flops,
        "share": units.format_share,
        "accuracy": units.format_accuracy,
        "ratio": units.format_ratio,
        "significant": units.significant,
        "shape": lambda shape: "×".join(str(dim) for dim in shape) or "scalar",
        "predicted": _predicted,
        "setting": _setting,
    }
    return made


def _tiles(report: Report) -> list[Tile]:
    tiles = []
    own = claims.plan_row(report.bench) if report.bench else None
    if own is not None and own.timing is not None and report.bench is not None:
        spread = f"median of a call, {claims.offered(report.bench)}; p10–p90 {units.format_spread(own.timing)}"
        tiles.append(Tile("Latency", units.format_time(own.timing.median_s), spread))
    tiles += [_speed_tile(ratio, rival) for ratio, rival in claims.comparisons(report.bench, report.plan)]
    if report.check is not None:
        drop = report.check.drop
        detail = f"[{units.format_share(drop.candidate.low, 1)}–{units.format_share(drop.candidate.high, 1)}]; before: "
        tiles.append(
            Tile("Accuracy", units.format_share(drop.candidate.value), detail + units.format_accuracy(drop.source))
        )
    size = claims.chosen_bytes(report.plan) if report.plan else None
    if report.plan is not None and size is not None:
        before = units.format_bytes(report.plan.source.size_bytes)
        tiles.append(Tile("Size", units.format_bytes(size), f"the plan's graph; the source's: {before}"))
    return tiles


def _speed_tile(ratio: Ratio, rival: str) -> Tile:
    if ratio.verdict == "same":
        return Tile("Speed", "the same", f"within noise, {units.format_ratio(ratio)}, as {rival}")
    low, high = units.format_factor(ratio.low), units.format_factor(ratio.high)
    return Tile("Speed-up", f"{units.format_factor(ratio.mid)}×", f"[{low}–{high}] over {rival}")


def _drawings(report: Report) -> dict[str, list[Markup]]:
    """Each chart twice, for wide and narrow screens; the style sheet shows one."""
    wanted: dict[str, Callable[[float], str]] = {}
    inspection, training, plan, check, bench = (
        report.inspection, report.training, report.plan, report.check, report.bench,
    )  # fmt: skip
    if inspection is not None and 0 < len(inspection.layers) <= _MOST_BARS:
        wanted["shares"] = lambda width: charts.layer_shares(inspection.layers, width)
    if training is not None and training.history:
        wanted["curves"] = lambda width: charts.training_curves(training, width)
    if plan is not None and any(row.timing for row in plan.candidates):
        wanted["candidates"] = lambda width: charts.candidates(plan, width)
    if bench is not None and any(row.timing for row in bench.rows):
        wanted["latencies"] = lambda width: charts.latencies(bench, width)
    wanted |= _outlook_charts(report.outlook)
    made = {
        name: [Markup(draw(charts.WIDE_IN)), Markup(draw(charts.NARROW_IN))]  # noqa: S704  escaped by matplotlib
        for name, draw in wanted.items()
    }
    if check is not None and 0 < len(check.confusion) <= charts.MOST_CLASSES:
        width = 4.4 if len(check.confusion) <= 12 else 6.4
        drawn = [charts.confusion(check.confusion, check.class_names, size) for size in (width, charts.NARROW_IN)]
        made["confusion"] = [Markup(svg) for svg in drawn]  # noqa: S704  escaped by matplotlib
    return made


def _outlook_charts(outlook: Outlook | None) -> dict[str, Callable[[float], str]]:
    """What draws charts of the estimates at a width; what is not known is not drawn."""
    if outlook is None:
        return {}
    here, training = outlook.here, outlook.training
    estimation = here.estimation
    expected = estimation.forecasts[0].estimate
    peaks = {roof.format: roof.flops_s for roof in here.roofs}
    device = Device(expected.device, "cpu", peak_flops=peaks, bandwidth_bytes_s=here.bandwidth_bytes_s)
    wanted: dict[str, Callable[[float], str]] = {
        "front": lambda width: outlook_charts.front(outlook.offers.offers, expected.device, width)
    }
    if peaks and here.bandwidth_bytes_s:
        wanted["roofline"] = lambda width: roofline_svg(estimation.network, expected, device, width)
    bars = [
        (what, each.memory, each.capacity_bytes) for what, each in _workloads(here, training) if each.capacity_bytes
    ]
    if bars:
        wanted["memory"] = lambda width: outlook_charts.memory_bars(bars, width)
    if training is not None and len(training.scaling) > 1:
        wanted["scaling"] = lambda width: outlook_charts.scaling_curve(training.scaling, training.item, width)
    return wanted


def _workloads(here: WhatIf, training: WhatIf | None) -> list[tuple[str, WhatIf]]:
    """What is estimated, in words."""
    said = [(f"an answer on {here.estimation.forecasts[0].estimate.device}", here)]
    if training is not None:
        expected = training.estimation.forecasts[0].estimate
        said.append((f"a step of {expected.workload.batch} on {expected.device}", training))
    return said


def _mistakes(check: CheckResult | None, pictures: tuple[bytes, ...]) -> list[tuple[Mistake, str]]:
    """Mistakes with their pictures as data URIs; the URI is empty where there is no picture."""
    if check is None:
        return []
    uris = (
        f"data:image/png;base64,{base64.b64encode(picture).decode()}" for picture in pictures[: len(check.mistakes)]
    )
    return list(zip_longest(check.mistakes, uris, fillvalue=""))  # type: ignore[arg-type]


def _confused(check: CheckResult | None, most: int = 5) -> list[tuple[int, str, str]]:
    """The most frequent confusions as (count, true, predicted), for those who do not see the matrix."""
    if check is None:
        return []
    names = check.class_names
    pairs = [
        (count, names[truth], names[guess])
        for truth, row in enumerate(check.confusion)
        for guess, count in enumerate(row)
        if count and truth != guess
    ]
    return sorted(pairs, key=lambda pair: -pair[0])[:most]


def _largest(inspection: Inspection | None) -> dict[str, int]:
    """What a full bar of the layer table stands for."""
    layers = inspection.layers if inspection is not None else ()
    return {
        "parameters": max((layer.parameters for layer in layers), default=0) or 1,
        "flops": max((layer.flops for layer in layers), default=0) or 1,
        "bytes": max((layer.moved_bytes for layer in layers), default=0) or 1,
    }


def _elsewhere(report: Report) -> list[tuple[str, Machine]]:
    """Parts that were measured on another machine than the one that made the page."""
    here = report.doctor.machine.fingerprint
    measured = [("The candidates were", report.plan), ("The latencies were", report.bench)]
    return [(what, part.machine) for what, part in measured if part is not None and part.machine.fingerprint != here]


def _predicted(interval: Interval) -> str:
    if interval.low is not None and interval.high is not None:
        return units.format_span(interval.low, interval.high)
    bound, sign = (interval.low, "≥ ") if interval.low is not None else (interval.high, "≤ ")
    return units.UNKNOWN if bound is None else sign + units.format_time(bound)


def _setting(value: str | float | bool | None) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return str(value)


def _method(report: Report) -> list[tuple[str, str]]:
    """How the numbers on the page came about; only what the page shows."""
    notes: list[tuple[str, str]] = []
    rounds = max((ratio.rounds for ratio, _ in claims.comparisons(report.bench, report.plan)), default=0)
    if rounds:
        notes.append(("Speed", _SPEED.format(rounds=rounds)))
    if report.bench is not None:
        notes.append(("Noise", claims.noise(report.bench)))
    if report.check is not None:
        notes.append(("Accuracy", _ACCURACY))
    if report.training is not None and report.training.test is not None:
        notes.append(("Test split", _TEST))
    if report.plan is not None:
        notes.append(("Labels", "; ".join(f"{label}: {meaning}" for label, meaning in claims.LABELS.items()) + "."))
        notes.append(("Seed", f"{report.plan.seed}, for every random choice of the search."))
    if report.inspection is not None or report.plan is not None:
        notes.append(("Units", _UNITS))
    return notes
