"""Hardware as the catalogue gives it, with figures that are easy to follow; sources are made up."""

from __future__ import annotations

from chipwise.core.device import Device, Erratum, Link, MeasuredPeaks, Price, System
from chipwise.core.report import Hardware, HardwareLine
from chipwise.cost.figures import figures

SHEET, SHOP = "Example data sheet, 2022-09, https://example.org/x2", "Example shop, 2023-01"
NVLINK = Link("Link 3", 300e9, 2e-6, "device", 2020, "12 lanes of 25 GB/s each way", "Example paper, 2020-05")
OLD = Device(
    "Example X1", "gpu", "Example", ("x1",), {"fp64": 0.5e12, "fp32": 10e12, "fp16": 40e12, "bf16": 40e12},
    400e9, 16 * 2**30, "HBM2", 4 * 2**20, 2560, 40, 1.5e9, power_w=250.0, year=2018, process_nm=12,
    prices=(Price("launch", 2000, 2400, "USD", "2018-06", SHOP),), source=SHEET, sources={"power_w": SHOP},
)  # fmt: skip
NEW = Device(
    "Example X2 Super Extended Edition", "gpu", "Example", ("x2", "ex-2"),
    {"fp64": 1e12, "fp32": 82.58e12, "tf32": 82.58e12, "fp16": 165.2e12, "bf16": 165.2e12, "fp8": 330.3e12,
     "int8": 660.6e12, "fp16_vector": 82.58e12},
    1008e9, 24 * 2**30, "GDDR6X", 72 * 2**20, 16384, 128, 2.52e9, 2.235e9, power_w=450.0, idle_power_w=20.0, year=2022,
    process_nm=5, transistors=76.3e9, die_mm2=608.5, host_link="PCIe 4.0 x16", links=("Link 3",),
    prices=(
        Price("used", 1200, 1500, "USD", "2024-02", SHOP), Price("launch", 1599, 1599, "USD", "2022-09", SHEET),
        Price("hour", 0.34, 0.69, "USD", "2024", SHOP),
    ),
    sources={
        "year": SHEET, "memory_bytes": SHEET, "bandwidth_bytes_s": SHEET, "power_w": SHEET, "peak_flops.fp32": SHEET,
        "peak_flops.int8": SHOP,
    },
    notes="Peaks with sparsity are twice as high and not listed.",
)  # fmt: skip
BOARD = Device(
    "Example Edge", "edge", "Example", ("edge",), {"int8": 4e12}, power_w=2.0, year=2019,
    prices=(Price("launch", 60, 75, "USD", "2019-03", SHOP),),
)  # fmt: skip
CPU = Device("Example C-64", "cpu", peak_flops={"fp32": 3.2e12, "fp64": 1.6e12}, bandwidth_bytes_s=204.8e9, year=2020)
BOX = System(
    "Box-8", NEW, 8, NVLINK, ("box8",), host="2 x Example C-64", memory_bytes=2**40, power_w=6500.0, year=2023,
    prices=(Price("launch", 199000, 199000, "USD", "2023-05", SHOP),), sources={"power_w": SHEET},
)  # fmt: skip
LARGEST = System(
    "Largest of 2007", None, host="131,072 cores", power_w=1.433e6, peak_flops={"fp64": 367e12}, reached_flops=280.6e12,
    year=2007,
)  # fmt: skip
SECOND = System("Second of 2007", None, peak_flops={"fp64": 119.3e12}, reached_flops=101.7e12, year=2007)
WRONG = Erratum(
    "Example X2 Super Extended Edition", "int8 peak", "1,321 TOP/s", "the maker's own table", "660.6 TOP/s",
    "printed with sparsity: twice what a dense product can reach", SHEET,
)  # fmt: skip


MEASURED = (
    MeasuredPeaks("Example X1", "fp32", 9.5e12, 2e12, 9e12, 10e12, 300e9, 400e9, "Example laboratory, 2019"),
    MeasuredPeaks("Example X1", "fp64", 0.5e12, 0.2e12, 0.4e12, None, 300e9, 400e9, "Example laboratory, 2019"),
)


def lines(*known: Device | System | Link, precision: str = "fp32") -> tuple[HardwareLine, ...]:
    """What follows from the facts of each."""
    return tuple(figures(each, precision) for each in known)


RECORDS = {
    "devices": lambda: Hardware("list", lines(OLD, NEW, CPU, BOARD)),
    "devices_bf16": lambda: Hardware("list", lines(NEW, OLD, BOARD, precision="bf16"), precision="bf16"),
    "device_links": lambda: Hardware("list", lines(NVLINK)),
    "device_sheet": lambda: Hardware("sheet", lines(NEW), (WRONG,)),
    "device_measured": lambda: Hardware("sheet", lines(OLD), measured=MEASURED),
    "device_system": lambda: Hardware("sheet", lines(BOX)),
    "device_link": lambda: Hardware("sheet", lines(NVLINK)),
    "device_comparison": lambda: Hardware("comparison", lines(OLD, NEW)),
    "device_comparison_many": lambda: Hardware("comparison", lines(OLD, NEW, CPU, BOARD, BOX)),
    "device_errata": lambda: Hardware("errata", (), (WRONG,)),
    "device_top500": lambda: Hardware("top500", lines(LARGEST, SECOND, NEW, OLD, precision="fp64"), precision="fp64"),
}
