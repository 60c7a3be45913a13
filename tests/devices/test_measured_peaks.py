"""Measured peaks beside the catalogue's own."""

from __future__ import annotations

import pytest

from chipwise.core.device import MeasuredPeaks
from chipwise.devices.known import device
from chipwise.devices.measured_peaks import measured_peaks

ROWS = measured_peaks()


def label(row: MeasuredPeaks) -> str:
    return f"{row.device} {row.format}"


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_nothing_measured_is_beyond_theory(row: MeasuredPeaks) -> None:
    """A few percent of boost above the data sheet's rounding aside."""
    peak = device(row.device).peak_flops[row.format]
    assert row.fft_flops < row.gemm_flops <= row.max_flops <= 1.02 * peak
    assert row.source.startswith("Microway")


@pytest.mark.parametrize("row", [row for row in ROWS if row.theory_flops], ids=label)
def test_the_catalogue_agrees_with_what_they_took_for_the_peak(row: MeasuredPeaks) -> None:
    known = device(row.device)
    assert known.peak_flops[row.format] == pytest.approx(row.theory_flops, rel=0.03)
    if row.theory_bytes_s:
        assert known.bandwidth_bytes_s == pytest.approx(row.theory_bytes_s, rel=0.02)


# Shares of the data sheet's peak, by hand from Microway's table: P100 8.79 of 9.5, V100 13.48 of 15.7, T4 3.29 of 8.1
# (70 W hold its clock down under products), FFT everywhere a sixth or less; STREAM triad 557 of 732 and 855 of 900.
@pytest.mark.parametrize(
    ("name", "number_format", "gemm", "fft", "triad"),
    [
        ("Tesla P100 PCIe 16GB", "fp32", 0.92, 0.16, 0.76),
        ("Tesla V100 SXM2 16GB", "fp32", 0.86, 0.15, 0.95),
        ("Tesla V100 SXM2 16GB", "fp64", 0.76, 0.15, 0.95),
        ("Tesla T4", "fp32", 0.41, 0.08, None),
    ],
)
def test_shares_of_the_data_sheet(name: str, number_format: str, gemm: float, fft: float, triad: float | None) -> None:
    known = device(name)
    row = next(row for row in measured_peaks(name) if row.format == number_format)
    peak = known.peak_flops[number_format]
    assert row.gemm_flops / peak == pytest.approx(gemm, abs=0.01)
    assert row.fft_flops / peak == pytest.approx(fft, abs=0.01)
    if triad:
        assert known.bandwidth_bytes_s
        assert (row.triad_bytes_s or 0) / known.bandwidth_bytes_s == pytest.approx(triad, abs=0.02)


def test_other_forms_of_a_chip_find_its_measurements() -> None:
    assert [row.device for row in measured_peaks("Tesla V100 PCIe 32GB")] == ["Tesla V100 SXM2 16GB"] * 2
    assert [row.device for row in measured_peaks("Tesla P100 SXM2 16GB")] == ["Tesla P100 PCIe 16GB"] * 2
    for other in ("GeForce RTX 4090", "Tesla P4", "Tesla P40", "Tesla K40", "Tesla", "my T4"):
        assert measured_peaks(other) == ()
