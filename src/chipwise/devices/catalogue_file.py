r"""Read files of hardware facts: units in the keys' names, a source with every fact.

A fact is written `key = [value, "source"]`, and the source is described once, with title and date. Whatever does not
fit (an unknown key, a missing source, a figure a thousand times too large for its unit) is one clear error.

>>> text = "[sources.a]\ntitle = 'A'\ndate = '2020'\n[[device]]\nname = 'x'\nkind = 'gpu'\nyear = [2020, 'a']"
>>> read_tables(text, "x.toml").sources
{'a': 'A, 2020'}
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from chipwise.core.device import Device, Erratum, Link, Price, System
from chipwise.core.errors import InputError, unknown_name

Row = dict[str, Any]

MAX_BYTES = 4_000_000
_KINDS = ("cpu", "gpu", "tpu", "edge", "fpga")
_LINK_KINDS = ("host", "device", "network")
_PRICE_KINDS = ("launch", "street", "used", "hour")
_DATE = re.compile(r"\d{4}(-\d{2}(-\d{2})?)?")
_FORMAT = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class _Unit:
    """One key of a file: the attribute it fills, what to multiply with to get SI, and what is believable."""

    attribute: str
    factor: float
    least: float
    most: float
    whole: bool = False


# The largest believable figures are about ten times what exists, so that a slip of three digits is found.
_NUMBERS = {
    "year": _Unit("year", 1, 1980, 2100, whole=True),
    "bandwidth_gb_s": _Unit("bandwidth_bytes_s", 1e9, 0.1, 1e5),
    "memory_gb": _Unit("memory_bytes", 2**30, 0.001, 1e4, whole=True),
    "l2_mb": _Unit("cache_bytes", 2**20, 0.01, 5e3, whole=True),
    "l3_mb": _Unit("cache_bytes", 2**20, 0.1, 5e3, whole=True),
    "on_chip_mb": _Unit("cache_bytes", 2**20, 0.01, 5e3, whole=True),
    "cores": _Unit("cores", 1, 1, 1e6, whole=True),
    "multiprocessors": _Unit("multiprocessors", 1, 1, 1e4, whole=True),
    "boost_mhz": _Unit("clock_hz", 1e6, 50, 1e4),
    "base_mhz": _Unit("base_clock_hz", 1e6, 50, 1e4),
    "sustained_mhz": _Unit("sustained_clock_hz", 1e6, 50, 1e4),
    "arrays": _Unit("arrays", 1, 1, 1e3, whole=True),
    "chips": _Unit("chips", 1, 1, 100, whole=True),
    "process_nm": _Unit("process_nm", 1, 1, 1000),
    "transistors_billion": _Unit("transistors", 1e9, 0.001, 1e4),
    "die_mm2": _Unit("die_mm2", 1, 1, 1e4),
    "power_w": _Unit("power_w", 1, 0.1, 1e4),
    "idle_power_w": _Unit("idle_power_w", 1, 0.01, 1e4),
}
_TEXTS = {"memory_type", "host_link"}
_PEAKS = {"peak_tflops": _Unit("peak_flops", 1e12, 1e-3, 1e5), "peak_tops": _Unit("peak_flops", 1e12, 1e-3, 1e5)}
_RATES = _Unit("rates", 1, 0.01, 1e6)
_PLAIN = {"name", "kind", "vendor", "aliases", "notes", "exceptions", "prices"}
_DEVICE_KEYS = {*_NUMBERS, *_TEXTS, *_PEAKS, *_PLAIN, "links", "array", "rates_per_multiprocessor"}
_LINK_KEYS = {"name", "kind", "bandwidth_gb_s", "latency_us", "year", "notes"}
_SYSTEM_KEYS = {
    "name", "aliases", "device", "count", "link", "network", "host", "memory_gb", "power_w", "peak_tflops",
    "reached_tflops", "year", "prices", "notes",
}  # fmt: skip
_ERRATUM_KEYS = {"device", "figure", "printed", "printed_in", "right", "why", "source"}


@dataclass(frozen=True, slots=True)
class Tables:
    """One file, read but not yet understood.

    Attributes:
        file: its name, for errors.
        data: as TOML has it.
        sources: described here, by key: title, date and address in one line.
    """

    file: str
    data: Row
    sources: dict[str, str] = field(default_factory=dict)

    def rows(self, kind: Literal["device", "link", "system", "erratum"]) -> list[Row]:
        """All `[[kind]]` of the file.

        Raises:
            InputError: when `kind` is written as something else than a list of tables.
        """
        rows = self.data.get(kind, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise InputError(f"{self.file}: {kind!r} is no list of tables", hint=f"write [[{kind}]] above each")
        return rows


def read_tables(text: str, file: str) -> Tables:
    """Parse one file and its sources.

    Raises:
        InputError: for what is no TOML, has unknown tables, or sources without title or date.
    """
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is a plain ValueError
        raise InputError(f"{file} is no readable TOML: {error}", hint="mend the line that it names") from error
    for key in data.keys() - {"sources", "vendor", "device", "link", "system", "erratum"}:
        raise InputError(f"{file}: unknown table {key!r}", hint="known: sources, device, link, system, erratum")
    sources = data.get("sources", {})
    if not isinstance(sources, dict):
        raise InputError(f"{file}: sources is no table", hint="write [sources.some-key] above each")
    return Tables(file, data, {key: _described(row, f"{file}: source {key!r}") for key, row in sources.items()})


def _described(row: object, where: str) -> str:
    """Title, date and address of a source in one line."""
    if not isinstance(row, dict) or not all(isinstance(each, str) for each in row.values()):
        raise InputError(f"{where} is no table of texts", hint='write title = "...", url = "..." and date = "2020-05"')
    if row.keys() - {"title", "url", "date"} or not row.get("title"):
        raise InputError(f"{where} has keys {sorted(row)}", hint="a source has a title, a date, and a url where known")
    check_date(row.get("date"), where)
    return ", ".join(row[key] for key in ("title", "date", "url") if row.get(key))


def check_date(date: object, where: str) -> str:
    """A date as files write it; raises InputError, which says where it stands."""
    if not isinstance(date, str) or not _DATE.fullmatch(date):
        raise InputError(f"{where}: date is {date!r}", hint='write it as "2020", "2020-05" or "2020-05-14"')
    return date


@dataclass(frozen=True, slots=True)
class _Reader:
    """What the reading of one row needs: where it stands, its fields, and the sources there are."""

    where: str
    row: Row
    sources: Mapping[str, str]

    def check_keys(self, known: set[str]) -> None:
        for key in self.row.keys() - known:
            near = unknown_name("key", key, known)
            raise InputError(f"{self.where}: {near.message}", hint=near.hint)

    def text(self, key: str, default: str | None = None) -> str:
        value = self.row.get(key, default)
        if not isinstance(value, str):
            raise InputError(f"{self.where}: {key} is {value!r}, not a text", hint=f'write {key} = "..."')
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.row.get(key, [])
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise InputError(f"{self.where}: {key} is {value!r}, not a list of texts", hint=f'write {key} = ["..."]')
        return tuple(value)

    def choice(self, key: str, known: tuple[str, ...]) -> Any:
        value = self.text(key, "")
        if value not in known:
            raise InputError(f"{self.where}: {key} is {value!r}", hint=f"one of {', '.join(known)}")
        return value

    def source(self, key: str, name: object) -> str:
        if not isinstance(name, str) or name not in self.sources:
            raise InputError(
                f"{self.where}: {key} has the source {name!r}, which is not described",
                hint="describe it in the same file: [sources.KEY] with title, date and url",
            )
        return self.sources[name]

    def fact(self, key: str, pair: object) -> tuple[Any, str]:
        """Value and source of `key = [value, "source"]`."""
        if not isinstance(pair, list) or len(pair) != 2:
            raise InputError(f"{self.where}: {key} is {pair!r}", hint=f'write {key} = [value, "source"]')
        return pair[0], self.source(key, pair[1])

    def word(self, key: str, pair: object) -> tuple[str, str]:
        """A fact that is a text."""
        value, source = self.fact(key, pair)
        if not isinstance(value, str) or not value:
            raise InputError(f"{self.where}: {key} is {value!r}, not a text", hint=f'write {key} = ["...", "source"]')
        return value, source

    def number(self, key: str, pair: object, unit: _Unit) -> tuple[float | int, str]:
        """A fact in SI units, checked to be believable."""
        value, source = self.fact(key, pair)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InputError(f"{self.where}: {key} is {value!r}, not a number", hint="leave out what is not known")
        if not unit.least <= value <= unit.most:
            raise InputError(
                f"{self.where}: {key} is {value}, outside {unit.least:g} to {unit.most:g}",
                hint="the unit is in the name of the key",
            )
        if unit.whole and unit.factor == 1 and value != round(value):
            raise InputError(f"{self.where}: {key} is {value}, not a whole number", hint="it counts something")
        return (round(value * unit.factor) if unit.whole else value * unit.factor), source

    def table(self, key: str, unit: _Unit) -> dict[str, tuple[float, str]]:
        """Facts per number format: `key = { fp16 = [312, "source"] }`."""
        value = self.row.get(key, {})
        if not isinstance(value, dict):
            raise InputError(f"{self.where}: {key} is {value!r}", hint=f'write {key} = {{ fp16 = [1.0, "source"] }}')
        for name in value:
            if not _FORMAT.fullmatch(name):
                raise InputError(f"{self.where}: {key} has the number format {name!r}", hint="as in fp16 or int8")
        return {name: self.number(f"{key}.{name}", pair, unit) for name, pair in value.items()}

    def prices(self) -> tuple[Price, ...]:
        """All of `prices = [{ kind = "launch", usd = [1499, 1499], date = "2020-09", source = "..." }]`."""
        rows = self.row.get("prices", [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise InputError(f"{self.where}: prices is no list of tables", hint="write prices = [{ kind = ... }]")
        return tuple(self._price(row) for row in rows)

    def _price(self, row: Row) -> Price:
        where = f"{self.where}: price"
        currency = next((key for key in ("usd", "eur") if key in row), "usd")
        span: Any = row.get(currency)
        if row.keys() - {"kind", currency, "date", "source"} or row.get("kind") not in _PRICE_KINDS:
            raise InputError(
                f"{where} is {row!r}", hint="keys: kind (launch, street, used, hour), usd or eur, date, source"
            )
        numbers = isinstance(span, list) and len(span) == 2 and all(type(each) in (int, float) for each in span)
        if not numbers or not 0 < span[0] <= span[1] < 1e8:
            raise InputError(f"{where}: {currency} is {span!r}", hint=f"write a range: {currency} = [1499, 1499]")
        date = check_date(row.get("date"), where)
        return Price(
            row["kind"], float(span[0]), float(span[1]), currency.upper(), date, self.source("price", row.get("source"))
        )


def _reader(tables: Tables, kind: str, row: Row, sources: Mapping[str, str]) -> _Reader:
    name = row.get("name")
    if not isinstance(name, str) or not name.strip():
        raise InputError(f"{tables.file}: a {kind} has no name", hint='write name = "..."')
    return _Reader(f"{tables.file}: {kind} {name!r}", row, sources)


def read_device(tables: Tables, row: Row, sources: Mapping[str, str]) -> Device:
    """One `[[device]]`, in SI units.

    Raises:
        InputError: naming file, device and key, for whatever does not fit.
    """
    reader = _reader(tables, "device", row, sources)
    reader.check_keys(_DEVICE_KEYS)
    values: dict[str, Any] = {}
    said: dict[str, str] = {}

    def put(attribute: str, value: object, source: str) -> None:
        if attribute in values:
            raise InputError(f"{reader.where}: {attribute} is given twice", hint="l2_mb, l3_mb and on_chip_mb are one")
        values[attribute] = value
        said[attribute] = source

    for key in sorted(row.keys() & _NUMBERS.keys()):
        put(_NUMBERS[key].attribute, *reader.number(key, row[key], _NUMBERS[key]))
    for key in sorted(row.keys() & _TEXTS):
        put(key, *reader.word(key, row[key]))
    _read_tables_of_formats(reader, values, said)
    if "links" in row:
        names, source = reader.fact("links", row["links"])
        put("links", _Reader(reader.where, {"links": names}, sources).texts("links"), source)
    if "array" in row:
        put("array", *_array(reader))
    vendor = tables.data.get("vendor", "")
    if not isinstance(vendor, str):
        raise InputError(f"{tables.file}: vendor is {vendor!r}, not a text", hint='write vendor = "..."')
    return Device(
        name=reader.text("name"),
        kind=reader.choice("kind", _KINDS),
        vendor=reader.text("vendor", vendor),
        aliases=reader.texts("aliases"),
        prices=reader.prices(),
        notes=_notes(reader),
        source="; ".join(dict.fromkeys(said.values())),
        sources=said,
        **values,
    )


def _read_tables_of_formats(reader: _Reader, values: dict[str, Any], said: dict[str, str]) -> None:
    """Put peaks and rates per number format into `values`, and who says so into `said`."""
    peaks: dict[str, float] = {}
    for key, unit in _PEAKS.items():
        for name, (value, source) in reader.table(key, unit).items():
            if name in peaks:
                raise InputError(f"{reader.where}: the peak of {name} is given twice", hint="as tflops or as tops")
            peaks[name], said[f"peak_flops.{name}"] = value, source
    values["peak_flops"] = peaks
    rates = reader.table("rates_per_multiprocessor", _RATES)
    if rates and "multiprocessors" not in values:
        raise InputError(f"{reader.where}: rates_per_multiprocessor without multiprocessors", hint="say how many")
    values["rates"] = {name: value * values["multiprocessors"] for name, (value, _) in rates.items()}
    said.update({f"rates.{name}": source for name, (_, source) in rates.items()})


def _array(reader: _Reader) -> tuple[tuple[int, int], str]:
    value, source = reader.fact("array", reader.row["array"])
    sides = isinstance(value, list) and len(value) == 2 and all(type(each) is int for each in value)
    if not sides or not all(1 <= each <= 4096 for each in value):
        raise InputError(f"{reader.where}: array is {value!r}", hint='write array = [[128, 128], "source"]')
    return (value[0], value[1]), source


def _notes(reader: _Reader) -> str:
    """The notes, and behind them why a figure is not what cores, clock and rate give."""
    exceptions = reader.row.get("exceptions", {})
    if not isinstance(exceptions, dict) or not all(isinstance(why, str) for why in exceptions.values()):
        raise InputError(
            f"{reader.where}: exceptions is no table of reasons", hint='write { "peak_flops.fp16" = "..." }'
        )
    return " ".join(filter(None, [reader.text("notes", ""), *(f"{key}: {why}" for key, why in exceptions.items())]))


def read_link(tables: Tables, row: Row, sources: Mapping[str, str]) -> Link:
    """One `[[link]]`, in SI units; raises InputError as `read_device` does."""
    reader = _reader(tables, "link", row, sources)
    reader.check_keys(_LINK_KEYS)
    if "bandwidth_gb_s" not in row:
        raise InputError(f"{reader.where} has no bandwidth_gb_s", hint="each way, of all its lanes")
    bandwidth, source = reader.number("bandwidth_gb_s", row["bandwidth_gb_s"], _Unit("", 1e9, 0.001, 1e5))
    latency = (
        reader.number("latency_us", row["latency_us"], _Unit("", 1e-6, 0.01, 1e5))[0] if "latency_us" in row else None
    )
    year = reader.number("year", row["year"], _NUMBERS["year"])[0] if "year" in row else None
    return Link(
        name=reader.text("name"),
        bandwidth_bytes_s=bandwidth,
        latency_s=latency,
        kind=reader.choice("kind", _LINK_KINDS),
        year=None if year is None else int(year),
        notes=reader.text("notes", ""),
        source=source,
    )


_SYSTEM_NUMBERS = {
    "count": _Unit("count", 1, 1, 1e7, whole=True),
    "memory_gb": _Unit("memory_bytes", 2**30, 1, 1e7, whole=True),
    "power_w": _Unit("power_w", 1, 10, 1e8),
    "reached_tflops": _Unit("reached_flops", 1e12, 1e-3, 1e9),
    "year": _NUMBERS["year"],
}


def read_system(
    tables: Tables,
    row: Row,
    sources: Mapping[str, str],
    device: Callable[[str], Device],
    link: Callable[[str], Link],
) -> System:
    """One `[[system]]`, in SI units, its devices and links looked up; raises InputError as `read_device` does."""
    reader = _reader(tables, "system", row, sources)
    reader.check_keys(_SYSTEM_KEYS)
    values: dict[str, Any] = {}
    said: dict[str, str] = {}
    for key, unit in _SYSTEM_NUMBERS.items():
        if key in row:
            values[unit.attribute], said[unit.attribute] = reader.number(key, row[key], unit)
    for key, find in (("device", device), ("link", link), ("network", link), ("host", str)):
        if key in row:
            name, said[key] = reader.word(key, row[key])
            values[key] = find(name)
    values.setdefault("device", None)
    peaks = reader.table("peak_tflops", _Unit("peak_flops", 1e12, 1e-3, 1e9))
    said.update({f"peak_flops.{name}": source for name, (_, source) in peaks.items()})
    return System(
        name=reader.text("name"),
        aliases=reader.texts("aliases"),
        peak_flops={name: value for name, (value, _) in peaks.items()},
        prices=reader.prices(),
        notes=reader.text("notes", ""),
        sources=said,
        **values,
    )


def read_erratum(tables: Tables, row: Row, sources: Mapping[str, str]) -> Erratum:
    """One `[[erratum]]`; raises InputError as `read_device` does."""
    reader = _Reader(f"{tables.file}: erratum of {row.get('device')!r}", row, sources)
    reader.check_keys(_ERRATUM_KEYS)
    texts = {key: reader.text(key) for key in sorted(_ERRATUM_KEYS - {"source"})}
    return Erratum(**texts, source=reader.source("source", row.get("source")))
