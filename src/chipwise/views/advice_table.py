"""Advice for the terminal: the ranking, the recommendation and what would change it, how it fits, what is out and why.

>>> from rich.console import Console
>>> from chipwise.core.advice import Advice, Goal, Guidance
>>> rule = Guidance("GPU", (), 1, 0, 1.0, 1.0, (), None, ())
>>> answer = Advice("net", "", 2, 4, Goal(), (), None, (), (), (), (), (), (), rule)
>>> Console(width=80).print(AdviceTable(answer))  # doctest: +ELLIPSIS
net, inference: least money first
nothing that is known meets that
...
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from chipwise.views.advice_words import (
    change_words,
    goal_words,
    miss_words,
    offer_words,
    reason_words,
    scaled_range,
    second_words,
    span,
    span_range,
    watts,
)
from chipwise.views.grid import Fitted, cell, facts, grid, heading, line, muted
from chipwise.views.intervals import number, number_range
from chipwise.views.units import format_bytes, format_count, format_flops, format_share, format_time, significant

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from chipwise.core.advice import Advice, Candidate, Guidance, Rung
    from chipwise.core.estimate import Interval

_SHOWN, _FIGURES, _NAMES = 10, 5, 6  # rows of the ranking, of its figures, and names behind a reason


@dataclass(frozen=True, slots=True)
class AdviceTable:
    """The whole answer; JSON has every candidate and every name that is out."""

    record: Advice

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it for this width."""
        del console, options
        record = self.record
        first = "; CPUs before the rest" if _cpus_first(record) else ""
        yield heading(f"{record.network}, {record.goal.phase}: {goal_words(record.goal)}{first}")
        if record.candidates:
            yield _ranking(record)
            yield from _legend(record)
            yield from _recommended(record)
            yield from _figures(record.candidates[:_FIGURES])
            yield from _ladder(record.ladder, record.candidates[0])
            yield from _scaling(record.scaling)
        else:
            yield line("nothing that is known meets that", "bold red")
            yield from _nearest(record)
            yield facts([("yours", miss_words(each, record.goal, record.rate)) for each in record.own])
        yield from _rule(record.guidance, record)
        yield from _out(record)
        yield from _endings(record)


def _cpus_first(record: Advice) -> bool:
    """Whether CPUs stand before what costs less, since the network is small."""
    costs = [(each.usd.mid or 0.0) if each.usd is not None else 0.0 for each in record.candidates]
    return record.goal.by == "cost" and bool(costs) and costs[0] > min(costs)


def _ranking(record: Advice) -> Fitted:
    """Rank, device, how it fits, time, cost, and what a dollar and a watt give."""
    training, worked = record.goal.phase == "training", record.goal.steps is not None
    time = ("all of it!" if worked else "a step!") if training else "a batch!"
    rows = grid(">#", "device", "how", time, ">items/s!", "price!", ">USD!" if worked else ">items/USD!", ">W!")
    for place, each in enumerate(record.candidates[:_SHOWN], 1):
        best = place == 1
        cost = scaled_range(each.work_usd if worked else each.items_usd, bounds=False)
        rows.add_row(
            cell(place),
            cell(each.name + (f" ({each.year})" if each.year else ""), "bold" if best else ""),
            cell(_how(each, training=training)),
            cell(span_range(each.work_s if worked and each.work_s is not None else each.step_s)),
            cell(number(each.items_s)),
            cell(offer_words(each.offer)),
            cell(cost),
            cell("-" if each.power_w is None else watts(each.power_w)),
        )
    return Fitted(rows)


def _how(each: Candidate, *, training: bool) -> str:
    """The number format, and what makes it fit; in inference the batch of a call."""
    short = [words.replace(" micro-batches of ", " x ") for words in each.techniques]
    parts = [each.precision.replace("amp ", "") if not training else each.precision, *short]
    parts += [] if training else [f"batch {each.each}"]
    return ", ".join(parts)


def _legend(record: Advice) -> Iterator[RenderableType]:
    shown = record.candidates[:_SHOWN]
    more = len(record.candidates) - len(shown)
    once = record.goal.steps is not None and not record.goal.pay
    paid = "what is spent on this work alone" if once else "rent, or price over life and electricity"
    words = f"[low–high] are bounds of the estimate. USD: {paid}, without tax."
    yield muted(words + (f" {more} more in --json." if more else ""))
    if any(each.offer is not None and each.offer.old for each in shown):
        yield line(
            "† the maker's price at launch, years ago: whether it is sold still, and at what price, is not known here "
            "(--prices FILE says).",
            "yellow",
        )


def _recommended(record: Advice) -> Iterator[RenderableType]:
    """The recommendation, the runner-up, and what would change that."""
    best = record.candidates[0]
    pairs: list[tuple[str, str | Text]] = [("take", Text.assemble(cell(best.name, "bold"), ": ", reason_words(record)))]
    if record.runner_up is not None:
        pairs.append(("next", second_words(record)))
    limit = record.goal.deadline_s
    if limit is not None and best.work_s is not None and best.work_s.high is not None and best.work_s.high > limit:
        pairs.append(("but", f"by the upper bound it takes {span(best.work_s.high)}: past the deadline"))
    pairs += [("yours", miss_words(each, record.goal, record.rate)) for each in record.own]
    changes = [change_words(each, record.goal, record.rate) for each in record.changes]
    pairs += [("changes" if not place else "", said) for place, said in enumerate(changes)]
    yield Text()
    yield facts(pairs)


def _figures(candidates: Sequence[Candidate]) -> Iterator[RenderableType]:
    """What a dollar, a joule and a watt give, with bounds."""
    bought = any(each.items_s_usd is not None for each in candidates)
    named = (">items/s per\nUSD of price!",) if bought else ()
    flops = (">FLOPS per\nUSD!",) if bought else ()
    rows = grid("device", ">items per USD!", *named, ">energy an item!", ">items per J!", *flops, ">FLOPS per W!")
    for each in candidates:
        rows.add_row(
            cell(each.name),
            cell(scaled_range(each.items_usd)),
            *([cell(scaled_range(each.items_s_usd))] if bought else []),
            cell(scaled_range(each.energy_j, "J")),
            cell(scaled_range(each.items_j)),
            *([cell(_flops(each.flops_usd))] if bought else []),
            cell(_flops(each.flops_w)),
        )
    yield Text()
    yield Fitted(rows)
    yield muted("FLOPS per USD and W are of the stated peak in that number format; 1 multiply-add = 2 FLOPs.")


def _flops(value: float | None) -> str:
    return "-" if value is None else format_flops(value).removesuffix("FLOP").strip()


def _ladder(rungs: Sequence[Rung], best: Candidate) -> Iterator[RenderableType]:
    """Ways to train on the recommended hardware, and whether they fit."""
    if len(rungs) < 2:
        return
    room = "" if best.capacity_bytes is None else f" of {format_bytes(best.capacity_bytes)}"
    rows = grid("how", f">memory{room}!", "fits", ">items/s!")
    for each in rungs:
        chosen = each.precision == best.precision and each.techniques == best.techniques
        words = ", ".join((each.precision, *each.techniques))
        rows.add_row(
            cell(words, "bold" if chosen else ""),
            cell(format_bytes(each.memory_bytes.mid or 0.0)),
            cell("yes", "green") if each.fits else cell("no", "red"),
            cell(number_range(each.items_s)),
        )
    yield Text()
    yield line(f"How it fits on {best.name}", "bold")
    yield Fitted(rows)


def _scaling(scaling: Sequence[Candidate]) -> Iterator[RenderableType]:
    """The recommended device once and several times."""
    if not scaling:
        return
    worked = any(each.work_s is not None for each in scaling)
    names = ("all of it!", "price!", ">USD!") if worked else ()
    rows = grid("devices", "over", ">items/s!", ">times one!", *names)
    for each in scaling:
        rows.add_row(
            cell(each.name),
            cell(each.link),
            cell(number_range(each.items_s)),
            cell(significant((each.items_s.mid or 0.0) / (scaling[0].items_s.mid or 1.0), 2)),
            *(
                [
                    cell(_time(each.work_s)),
                    cell(offer_words(each.offer)),
                    cell(scaled_range(each.work_usd, bounds=False)),
                ]
                if worked
                else []
            ),
        )
    yield Text()
    yield line("Several of it, which share the batch", "bold")
    yield Fitted(rows)


def _time(time_s: Interval | None) -> str:
    return "-" if time_s is None else span_range(time_s)


def _nearest(record: Advice) -> Iterator[RenderableType]:
    if record.nearest:
        said = [miss_words(each, record.goal, record.rate) for each in record.nearest]
        yield facts([("nearest" if not place else "", each) for place, each in enumerate(said)])


def _rule(rule: Guidance, record: Advice) -> Iterator[RenderableType]:
    """CPU, GPU or TPU, with what speaks for it."""
    paces = [
        f"{each.kind.upper()} {'at least ' if each.floor else ''}{format_time(each.step_s.mid or 0.0)} ({each.name}"
        f"{', the chip alone' if each.kind == 'tpu' else ''})"
        for each in rule.paces
    ]
    step = "a step" if record.goal.phase == "training" else "a call"
    pairs = [(rule.verdict if not place else "", reason) for place, reason in enumerate(rule.reasons)]
    pairs += [("", f"{step} of {format_count(rule.batch)} items: {', '.join(paces)}")] if paces else []
    yield Text()
    yield line("CPU, GPU or TPU", "bold")
    yield facts([(name or " ", said) for name, said in pairs])
    if rule.input_share is not None:
        yield muted(f"Inputs in float32 take {format_share(rule.input_share, 1)} of that GPU's link to its host.")


def _out(record: Advice) -> Iterator[RenderableType]:
    if not record.ruled_out:
        return
    yield Text()
    yield line("Out, and why", "bold")
    for each in record.ruled_out:
        names = ", ".join(each.names[:_NAMES])
        more = len(each.names) - _NAMES
        yield line(f"{each.reason}: {names}" + (f" and {more} more" if more > 0 else ""))


def _endings(record: Advice) -> Iterator[RenderableType]:
    """Prices with their dates, the rate of euros, and notes."""
    yield Text()
    work = f"{format_count(record.parameters)} parameters, {format_flops(record.flops)} an item forward"
    yield muted(f"{record.network}: {work} (1 multiply-add = 2 FLOPs).")
    for each in record.sources:
        yield muted(f"price of {each}")
    if record.rate is not None:
        rate = record.rate
        yield line(
            f"note: a euro is {rate.usd_per_eur:g} USD ({rate.date}, {rate.source}); amounts in EUR are with "
            f"{format_share(rate.vat, 0)} tax, those in USD without",
            "yellow",
        )
    for note in record.notes:
        yield line(f"note: {note}", "yellow")
