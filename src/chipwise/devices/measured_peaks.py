"""Peaks that others measured on known devices: by the simplest kernel, by FFT, by matrix product, and STREAM triad.

>>> row = measured_peaks("V100")[0]
>>> row.format, round(row.gemm_flops / row.max_flops, 2)
('fp32', 0.96)
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from chipwise.core.errors import InputError
from chipwise.devices.known import device

_FILE = Path(__file__).with_name("measured_peaks.toml")
_FORMATS = ("fp32", "fp64")


@dataclass(frozen=True, slots=True)
class MeasuredPeaks:
    """One number format of one device.

    Attributes:
        device: its name in the catalogue; format: of the numbers.
        max_flops: reached by a kernel made to reach it; fft_flops, gemm_flops: by FFT and matrix product.
        theory_flops: what the one who measured took for the peak; None where it was not said.
        triad_bytes_s: STREAM triad; theory_bytes_s: what was taken for the memory's bandwidth; None if not measured.
        source: who measured, where and when.
    """

    device: str
    format: str
    max_flops: float
    fft_flops: float
    gemm_flops: float
    theory_flops: float | None
    triad_bytes_s: float | None
    theory_bytes_s: float | None
    source: str


def measured_peaks(name: str = "") -> tuple[MeasuredPeaks, ...]:
    """Everything that is known, or what is known of the chip that a device has (memory and socket aside).

    Raises:
        UnknownNameError: no device of that name.
    """
    if not name:
        return _all()
    wanted = _chip(device(name).name)
    return tuple(row for row in _all() if _chip(row.device) == wanted)


def _chip(name: str) -> str:
    """The words of a name up to where socket and memory are told: "Tesla V100"."""
    return " ".join(name.split()[:2])


@cache
def _all() -> tuple[MeasuredPeaks, ...]:
    facts = tomllib.loads(_FILE.read_text())
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
