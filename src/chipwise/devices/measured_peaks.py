"""Peaks that others measured on known devices: by the simplest kernel, by FFT, by matrix product, and STREAM triad.

>>> row = measured_peaks("Tesla V100 SXM2 16GB")[0]
>>> row.format, round(row.gemm_flops / row.max_flops, 2)
('fp32', 0.96)
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

from chipwise.core.device import MeasuredPeaks
from chipwise.core.errors import InputError

_FILE = Path(__file__).with_name("measured_peaks.toml")
_FORMATS = ("fp32", "fp64")
# What follows a chip's name: the socket and the memory.
_FORM = re.compile(r"\s+(PCIe|SXM\d?|\d+\s?GB)\b.*", re.IGNORECASE)


def measured_peaks(name: str = "") -> tuple[MeasuredPeaks, ...]:
    """Everything that is known, or what is known of the chip that the device of that full name has.

    Socket and memory aside: what was measured of one V100 is told of the others, too; `device` says of which it was.
    """
    return tuple(row for row in _all() if not name or _chip(row.device) == _chip(name))


def _chip(name: str) -> str:
    """A name up to where socket and memory are told: "Tesla V100"."""
    return _FORM.sub("", name)


@cache
def _all() -> tuple[MeasuredPeaks, ...]:
    facts = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    rows = []
    for entry in facts["measured"]:
        source = facts["sources"].get(entry["source"])
        if source is None:
            raise InputError(f"{_FILE.name}: {entry['device']} names a source that is not there: {entry['source']!r}")
        for number_format in _FORMATS:
            peaks = {kind: 1e12 * value for kind, value in entry[number_format].items()}
            rows.append(
                MeasuredPeaks(
                    device=entry["device"],
                    format=number_format,
                    max_flops=peaks["max"],
                    fft_flops=peaks["fft"],
                    gemm_flops=peaks["gemm"],
                    theory_flops=peaks.get("theory"),
                    triad_bytes_s=_bytes_s(entry.get("triad_gb_s")),
                    theory_bytes_s=_bytes_s(entry.get("theory_gb_s")),
                    source=f"{source['title']}, {source['date']}, {source['url']}",
                )
            )
    return tuple(rows)


def _bytes_s(giga: float | None) -> float | None:
    return None if giga is None else 1e9 * giga
