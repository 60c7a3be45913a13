"""Estimates in the terminal, beside the golden text of test_tables: nothing cut, nothing left out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chipwise.core.estimate import Interval, MemoryUse
from chipwise.views import tables
from chipwise.views.estimate_memory import bar
from chipwise.views.intervals import number, number_range, time_range

from . import estimate_samples as samples
from .test_tables import text_of


def test_bar_has_a_cell_for_each_part_that_shows() -> None:
    use = MemoryUse(weights=50, activations=10, saved=30, workspace=10)
    assert bar(use, 100, 10).plain == "█████▓▓▓▒░"
    assert bar(use, 200, 10).cell_len in (5, 6)
    assert bar(MemoryUse(1000, 0, context=26), 1026, 10).plain == "██████████"
    assert bar(MemoryUse(0, 0), 1, 10).plain == ""


def test_intervals_say_what_is_not_known() -> None:
    assert time_range(Interval(None, None, None)) == "not known"
    assert time_range(Interval(None, None, 2.0)) == "≤ 2.00 s"
    assert time_range(Interval(None, 0.5, None)) == "500 ms"
    assert time_range(Interval(50.0, 80.0, 120.0)) == "1 min 20 s [50.0 s–2 min 00 s]"
    assert time_range(Interval(0.9e-3, 1.1e-3, 1.5e-3)) == "1.10 ms [0.900–1.50]"
    assert number(None) == "-"
    assert number_range(None, "J") == "not known"
    assert number_range(Interval(1.0, None, None), "J") == "≥ 1.00 J"
    assert number_range(Interval(1.0, 2.0, 3.0), "J") == "2.00 [1.00–3.00] J"
    assert number_range(Interval(1.0, 2.0, 3.0), digits=2) == "2.0 [1.0–3.0]"


def test_unknown_operators_are_said_loudly_and_what_does_not_fit_too() -> None:
    assert "Work not known for MyAttention, NonMaxSuppressionPlus" in text_of(tables.table(samples.layered()), 120)
    assert "! does not fit: batch 256 on Example Card 4090 needs 3.90 GiB of 3.00 GiB" in text_of(
        tables.table(samples.sweep()), 120
    )


def test_devices_are_ranked_within_a_batch_and_floors_come_last() -> None:
    lines = text_of(tables.table(samples.devices()), 120).splitlines()
    names = [line.partition("  ")[0] for line in lines if "memory 9" in line]
    assert names == ["H100 SXM5 80GB", "Example Card 4090", "Tesla K80", "Edge TPU"] * 2


@pytest.mark.parametrize("name", ["estimate_sweep", "estimate_devices"])
def test_minutes_squeeze_nothing_away(name: str) -> None:
    """Their bounds are twice as long as those of milliseconds; 80 columns must still tell what bounds each."""
    record = samples.RECORDS[name]()
    slow = tuple(
        replace(each, estimate=replace(each.estimate, time_s=Interval(818.0, 1299.0, 2257.0, 0.8)))
        for each in record.forecasts
    )
    lines = text_of(tables.table(replace(record, forecasts=slow)), 80).splitlines()
    rows = [line for line in lines if "21 min 39 s" in line]
    assert rows
    assert all("launch" in line for line in rows)
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("width", [40, 60, 80])
@pytest.mark.parametrize("name", ["estimate_sweep", "estimate_devices", "estimate_measured", "estimate_layers"])
def test_no_number_is_cut_and_none_left_out_where_the_terminal_is_narrow(name: str, width: int) -> None:
    record = samples.RECORDS[name]()
    slow = replace(record.forecasts[0].estimate, time_s=Interval(397.0, 818.0, 2257.0, 0.8))
    record = replace(record, forecasts=(replace(record.forecasts[0], estimate=slow), *record.forecasts[1:]))
    made = text_of(tables.table(record), width)
    assert max(map(len, made.splitlines())) <= width
    for forecast in record.forecasts:
        said = [time_range(forecast.estimate.time_s), number(forecast.estimate.items_s)]
        if forecast.thousand.energy_j is not None and forecast.estimate.fits is not False:
            said.append(number_range(forecast.thousand.energy_j))
        assert all(part in made for each in said for part in each.replace(" [", "|[").split("|"))


def test_far_more_than_the_memory_is_told_as_a_factor() -> None:
    one = replace(samples.forecast(8), capacity_bytes=2**21)
    assert "385 ×" in text_of(tables.table(replace(samples.sweep(), forecasts=(one,))), 80)


def test_names_are_neither_markup_nor_terminal_commands() -> None:
    hostile = replace(samples.layered(), network="[red]x\x1b[2J", notes=("[bold]n",))
    made = text_of(tables.table(hostile), 120)
    assert "[red]x" in made
    assert "[bold]n" in made
    assert "\x1b" not in made


def test_what_belongs_to_no_layer_is_said() -> None:
    one = samples.layered()
    slow = replace(one.forecasts[0].estimate, time_s=one.forecasts[0].estimate.time_s.times(4))
    made = text_of(tables.table(replace(one, forecasts=(replace(one.forecasts[0], estimate=slow),))), 120)
    assert "launch 75%" in made
    beside = next(line for line in made.splitlines() if line.startswith("beside the layers"))
    assert beside.split()[-3:] == ["11.5", "ms", "75.0%"]


def test_layers_that_do_nothing_are_counted_only() -> None:
    one = samples.layered()
    view = replace(one.forecasts[0].estimate.rows[0], name="reshape", time_s=0.0, flops=0.0, moved_bytes=0.0)
    rows = (*one.forecasts[0].estimate.rows, view, view)
    expected = replace(one.forecasts[0].estimate, rows=rows)
    made = text_of(tables.table(replace(one, forecasts=(replace(one.forecasts[0], estimate=expected),))), 120)
    assert "reshape" not in made
    assert "2 layers that only change a shape left out" in made
    assert "16 layers" in made


def test_energy_and_money_have_their_bounds_but_not_where_nothing_fits() -> None:
    lines = text_of(tables.table(samples.sweep()), 80).splitlines()
    start = next(place for place, each in enumerate(lines) if "J per 1,000 items" in each)
    rows = lines[start + 2 : start + 11]
    assert all(each.count("[") == 2 and each.count("–") == 2 for each in rows[:8])
    assert rows[8].split() == ["256", "-", "-"]


def test_devices_in_another_format_do_not_lead_the_ranking() -> None:
    made = samples.devices()
    fast = samples.forecast(1, device="TPU v9", speed=50.0, precision="bf16")
    shown = text_of(tables.table(replace(made, forecasts=(fast, *made.forecasts))), 120)
    lines = [line.partition("  ")[0] for line in shown.splitlines() if "items/s" not in line]
    assert lines.index("H100 SXM5 80GB") < lines.index("Tesla K80") < lines.index("TPU v9") < lines.index("Edge TPU")
    assert "Ranked among fp32; times in bf16, int8 do not compare with those, and stand below them." in shown


def test_of_several_devices_notes_and_methods_name_theirs() -> None:
    made = samples.devices()
    cases = list(made.forecasts)
    cases[0] = replace(cases[0], estimate=replace(cases[0].estimate, notes=("nothing was fitted for it",), method="m"))
    cases[2] = replace(cases[2], estimate=replace(cases[2].estimate, notes=(f"{cases[2].estimate.device} is new",)))
    shown = text_of(tables.table(replace(made, forecasts=tuple(cases))), 120)
    assert "note: Tesla K80: nothing was fitted for it" in shown
    assert "note: Example Card 4090 is new" in shown
    assert "method: Tesla K80: m" in shown
    assert "method: Edge TPU: roofline floor" in shown


def test_intervals_without_a_coverage_look_different() -> None:
    made = samples.devices()
    cases = list(made.forecasts)
    time = replace(cases[0].estimate.time_s, coverage=None)
    cases[0] = replace(cases[0], estimate=replace(cases[0].estimate, time_s=time))
    shown = text_of(tables.table(replace(made, forecasts=tuple(cases))), 120)
    assert sum("] *" in line for line in shown.splitlines()) == 1
    assert "* was not calibrated" in shown
    assert "] *" not in text_of(tables.table(made), 120)
