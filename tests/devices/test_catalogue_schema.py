"""What every entry of the catalogue must keep, and what is said of an entry that does not."""

from __future__ import annotations

import csv
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chipwise.core.device import Device
from chipwise.core.errors import InputError
from chipwise.devices import known
from chipwise.devices.catalogue_file import read_device, read_tables

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference"
FILES = sorted(known.CATALOGUE.glob("*.toml"))
GIVEN_AS_A_WHOLE = {"name", "kind", "vendor", "aliases", "prices", "notes", "source", "sources", "peak_flops", "rates"}

ENTRY = """
vendor = "Example"

[sources.sheet]
title = "Example data sheet"
url = "https://example.org/sheet"
date = "2026-05"

[[device]]
name = "Example X1"
kind = "gpu"
aliases = ["x1"]
year = [2026, "sheet"]
peak_tflops = { fp16 = [100, "sheet"] }
bandwidth_gb_s = [500, "sheet"]
memory_gb = [16, "sheet"]
memory_type = ["HBM2", "sheet"]
multiprocessors = [40, "sheet"]
rates_per_multiprocessor = { fp16 = [1024, "sheet"] }
array = [[128, 128], "sheet"]
prices = [{ kind = "hour", usd = [1, 2], date = "2026-05-14", source = "sheet" }]
exceptions = { "peak_flops.fp16" = "for a reason" }
notes = "A note."
"""


def raw() -> dict[str, dict[str, Any]]:
    """Devices as their files have them, by name."""
    rows = [row for file in FILES for row in tomllib.loads(file.read_text()).get("device", [])]
    return {row["name"]: row for row in rows}


def entry(text: str) -> Device:
    """The one device of a file's text."""
    tables = read_tables(text, "own.toml")
    (row,) = tables.rows("device")
    return read_device(tables, row, tables.sources)


def named(device: Device) -> str:
    return device.name


@pytest.mark.parametrize("device", known.devices(), ids=named)
def test_every_fact_has_a_source(device: Device) -> None:
    for each in fields(Device):
        value = getattr(device, each.name)
        if each.name not in GIVEN_AS_A_WHOLE and value not in (None, "", (), each.default):
            assert device.sources[each.name], each.name
    for table in ("peak_flops", "rates"):
        assert all(device.sources[f"{table}.{name}"] for name in getattr(device, table))
    for price in device.prices:
        assert price.source
        assert re.match(r"20[12]\d", price.date)
    assert all(re.search(r", (19|20)\d\d", source) for source in device.sources.values()), "a source has a date"


@pytest.mark.parametrize("device", known.devices(), ids=named)
def test_peaks_are_units_by_rate_by_clock(device: Device) -> None:
    """Within 10%, at the clock that peaks are stated for: boost, of processors the base clock."""
    clock = device.base_clock_hz if device.kind == "cpu" else device.clock_hz
    excepted = raw()[device.name].get("exceptions", {})
    rates = dict(device.rates)
    if device.array and device.arrays:
        macs = device.array[0] * device.array[1] * device.arrays
        rates |= dict.fromkeys(device.peak_flops, 2.0 * macs)
    checked = [name for name in device.peak_flops if clock and name in rates and f"peak_flops.{name}" not in excepted]
    for name in checked:
        assert device.peak_flops[name] == pytest.approx(rates[name] * clock, rel=0.1), name
    for figure in excepted:
        assert figure.removeprefix("peak_flops.") in device.peak_flops, "an exception to nothing"


def test_most_peaks_are_checked_that_way() -> None:
    pairs = [(each, name) for each in known.devices() for name in each.peak_flops]
    checked = [name for each, name in pairs if name in each.rates or each.array]
    assert len(checked) > 0.75 * len(pairs)


@pytest.mark.parametrize("device", known.devices(), ids=named)
def test_formats_keep_their_order(device: Device) -> None:
    """Dense peaks: half the bits are never slower by matrix units; vector units never beat those."""
    peaks = device.peak_flops
    for slow, fast in (("tf32", "fp16"), ("fp16", "fp8"), ("bf16", "int8"), ("fp32", "int8"), ("int8", "int4")):
        if slow in peaks and fast in peaks:
            assert peaks[slow] <= peaks[fast] * 1.001, (slow, fast)
    if {"fp16", "bf16"} <= peaks.keys():
        half = 0.5 if device.name == "Instinct MI100" else 1.0  # the only one whose matrix units prefer fp16
        assert peaks["bf16"] == half * peaks["fp16"]
    if {"fp16", "fp16_vector"} <= peaks.keys():
        assert peaks["fp16"] > peaks["fp16_vector"]
    if {"fp64", "fp32"} <= peaks.keys():
        assert peaks["fp64"] <= peaks["fp32"]


@pytest.mark.parametrize("device", known.devices(), ids=named)
def test_figures_fit_each_other(device: Device) -> None:
    if device.clock_hz and device.base_clock_hz:
        assert device.base_clock_hz <= device.clock_hz
    if device.idle_power_w and device.power_w:
        assert device.idle_power_w < device.power_w
    if device.transistors and device.die_mm2:
        assert 1e6 < device.transistors / device.die_mm2 < 3e8
    if device.memory_bytes and device.bandwidth_bytes_s:
        assert 1e-3 < device.memory_bytes / device.bandwidth_bytes_s < 10, "seconds to read all of it once"
    if device.cores and device.multiprocessors and device.kind == "gpu":
        assert device.cores % device.multiprocessors == 0
    for name in filter(None, (device.host_link, *device.links)):
        assert known.link(name)
    assert len(device.notes) < 500


def test_gpus_have_what_predictions_need() -> None:
    for each in known.devices():
        if each.kind == "gpu":
            assert each.multiprocessors, each.name
            assert each.bandwidth_bytes_s, each.name
            assert each.peak_flops.get("fp32"), each.name


def test_names_are_unique_and_sources_described_once_and_used() -> None:
    names = [name.casefold() for each in known.devices() for name in (each.name, *each.aliases)]
    assert len(names) == len(set(names))
    texts = {file.name: file.read_text() for file in FILES}
    keys = Counter(key for text in texts.values() for key in tomllib.loads(text).get("sources", {}))
    assert set(keys.values()) == {1}
    everything = "\n".join(texts.values())
    assert [key for key in keys if f'"{key}"' not in everything] == []


def test_all_kinds_are_there() -> None:
    assert {each.kind for each in known.devices()} == {"cpu", "gpu", "tpu", "edge", "fpga"}
    for name in ("gtx 1070", "tesla k40", "i7-6950x", "alveo u50", "alveo u250", "xeon phi 7250", "ncs2", "rpi4", "m1"):
        assert known.device(name)


# What the table of reference states otherwise, and why ours differs.
CORRECTED = {
    ("L40S", "fp16_tflops"): "the data sheet's 362",
    ("Jetson Nano 4GB", "fp32_tflops"): "0.24 is rounded",
    ("Intel Xeon Phi 7250", "fp32_tflops"): "stated as about 6",
}


def reference_rows(name: str) -> Iterator[dict[str, str]]:
    if not REFERENCE.is_dir():
        pytest.skip("no reference data beside this checkout")
    with (REFERENCE / name).open(newline="") as file:
        yield from csv.DictReader(file)


@pytest.mark.shared
def test_every_device_of_the_reference_is_there_with_its_figures() -> None:
    columns = {
        "fp64_tflops": ("fp64", 1e12), "fp32_tflops": ("fp32", 1e12), "tf32_tflops": ("tf32", 1e12),
        "fp16_tflops": ("fp16", 1e12), "bf16_tflops": ("bf16", 1e12), "fp8_tflops": ("fp8", 1e12),
        "int8_tops": ("int8", 1e12), "int4_tops": ("int4", 1e12), "fp4_tflops": ("fp4", 1e12),
    }  # fmt: skip
    rows = list(reference_rows("catalogue.csv"))
    assert len(rows) == 68
    for row in rows:
        name = re.sub(r" \(.*\)", "", row["name"])
        device = known.device(name)
        for column, (key, factor) in columns.items():
            if not re.fullmatch(r"[\d.]+", row[column]) or (name, column) in CORRECTED:
                continue
            ours = (
                device.peak_flops.get(key)
                or device.peak_flops.get(f"{key}_matrix")
                or device.peak_flops.get("fp16_vector")
            )
            assert ours == pytest.approx(float(row[column]) * factor, rel=0.03), (name, column)
        if re.fullmatch(r"[\d.]+", row["bandwidth_GBps"]):
            assert device.bandwidth_bytes_s == pytest.approx(float(row["bandwidth_GBps"]) * 1e9, rel=0.03), name
        if re.fullmatch(r"[\d.]+", row["memory_GB"]):
            assert device.memory_bytes == float(row["memory_GB"]) * 2**30, name
        if re.fullmatch(r"[\d.]+", row["tdp_W"]):
            assert device.power_w == float(row["tdp_W"]), name


@pytest.mark.shared
def test_every_link_and_system_of_the_reference_is_there() -> None:
    for row in reference_rows("interconnects.csv"):
        name = re.sub(r" \((?!A40).*\)| class\)", "", row["name"]).replace("(A40 / A6000", "(A40, A6000)")
        link = known.link(name)
        if row["per_direction_GBps"]:
            assert link.bandwidth_bytes_s == pytest.approx(float(row["per_direction_GBps"]) * 1e9, rel=0.02), name
    for row in reference_rows("systems.csv"):
        system = known.system(row["name"])
        count = int(row["accelerators"].partition("x")[0])
        assert system.count == count
        assert system.device is not None
        assert system.device.memory_bytes is not None
        total = row["gpu_memory_GB_total"].partition(" ")[0]
        assert count * system.device.memory_bytes == int(total) * 2**30, row["name"]


def test_an_entry_is_read_whole() -> None:
    device = entry(ENTRY)
    assert (device.vendor, device.year, device.memory_type) == ("Example", 2026, "HBM2")
    assert device.rates == {"fp16": 40 * 1024}
    assert device.array == (128, 128)
    assert device.sources["rates.fp16"] == "Example data sheet, 2026-05, https://example.org/sheet"
    assert device.notes == "A note. peak_flops.fp16: for a reason"
    assert device.prices[0].kind == "hour"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('[500, "sheet"]', '[500, "leaflet"]', "bandwidth_gb_s has the source 'leaflet'"),
        ('[500, "sheet"]', "500", "bandwidth_gb_s is 500"),
        ('[500, "sheet"]', '["fast", "sheet"]', "bandwidth_gb_s is 'fast', not a number"),
        ('[500, "sheet"]', '[true, "sheet"]', "bandwidth_gb_s is True, not a number"),
        ('[500, "sheet"]', '[nan, "sheet"]', "bandwidth_gb_s is nan, outside"),
        ('[500, "sheet"]', '[500000000000, "sheet"]', "bandwidth_gb_s is 500000000000, outside"),
        ("bandwidth_gb_s", "bandwith_gb_s", "unknown key 'bandwith_gb_s'"),
        ("fp16 = [100,", '"FP 16" = [100,', "number format 'FP 16'"),
        ("{ fp16 = [100", "{ fp16 = [1e9", "peak_tflops.fp16 is 1000000000.0, outside"),
        ('memory_type = ["HBM2", "sheet"]', 'memory_type = [2, "sheet"]', "memory_type is 2, not a text"),
        ('kind = "gpu"', 'kind = "toaster"', "kind is 'toaster'"),
        ('name = "Example X1"', 'name = ""', "a device has no name"),
        ('aliases = ["x1"]', 'aliases = "x1"', "aliases is 'x1'"),
        ("multiprocessors = [40", "multiprocessors = [40.5", "multiprocessors is 40.5, not a whole number"),
        ("[2026,", "[2026.5,", "year is 2026.5, not a whole number"),
        ("multiprocessors = [40", "cores = [40", "rates_per_multiprocessor without multiprocessors"),
        ("[[128, 128]", "[[128]", "array is [128]"),
        ("usd = [1, 2]", "usd = [2, 1]", "usd is [2, 1]"),
        ("usd = [1, 2]", "usd = 2", "usd is 2"),
        ('kind = "hour"', 'kind = "rent"', "'rent'"),
        ('date = "2026-05-14"', 'date = "May 2026"', "date is 'May 2026'"),
        ('title = "Example data sheet"', "", "source 'sheet' has keys"),
        ('date = "2026-05"\n', "", "source 'sheet': date is None"),
        ('date = "2026-05"\n', "date = 2026-05-01\n", "source 'sheet' is no table of texts"),
        ("[[device]]", "[device]", "'device' is no list of tables"),
        ("[[device]]", "[[devices]]", "unknown table 'devices'"),
        ('vendor = "Example"', "vendor = 3", "vendor is 3"),
        ('notes = "A note."', "notes = 1", "notes is 1"),
        ('"for a reason"', "1", "exceptions is no table"),
        ('notes = "A note."', 'l2_mb = [4, "sheet"]\nl3_mb = [8, "sheet"]', "cache_bytes is given twice"),
        ('notes = "A note."', 'peak_tops = { fp16 = [1, "sheet"] }', "the peak of fp16 is given twice"),
        ('year = [2026, "sheet"]', 'year = [2026, "sheet"', "no readable TOML"),
        ("[2026", f"[{'9' * 5000}", "no readable TOML"),
        ("[2026", f"[{'[' * 5000}", "no readable TOML"),
    ],
)
def test_a_wrong_entry_is_one_line_with_file_and_key(old: str, new: str, said: str) -> None:
    assert old in ENTRY
    with pytest.raises(InputError) as wrong:
        entry(ENTRY.replace(old, new, 1))
    assert said in wrong.value.message
    assert wrong.value.message.startswith("own.toml")
    assert "\n" not in wrong.value.message
    assert wrong.value.hint


@pytest.mark.parametrize("data", [b"\xff\xfe", b"\0", b"[[", b"#" * 4_000_001])
def test_a_damaged_file_is_one_line(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_bytes(data)
    with pytest.raises(InputError, match=r"own\.toml"):
        known.devices(file)


def test_own_files_have_devices_only(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('[[link]]\nname = "string"\n')
    with pytest.raises(InputError, match="more than devices"):
        known.devices(file)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(ENTRY)), st.integers(0, 12), st.text("\"'[]{}=,.#\n 019aex-", max_size=6))
def test_no_edit_breaks_the_reader(start: int, length: int, put: str) -> None:
    """Whatever is typed over a stretch of an entry, it is read or refused in one line."""
    text = ENTRY[:start] + put + ENTRY[start + length :]
    said = ""
    try:
        tables = read_tables(text, "own.toml")
        for row in tables.rows("device"):
            read_device(tables, row, tables.sources)
    except InputError as error:
        said = error.message
    assert "\n" not in said
