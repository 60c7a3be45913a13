"""FLOPS per watt and per dollar, ridge points, and what a system adds up to."""

from __future__ import annotations

import pytest

from chipwise.core.device import Device, Link, Price, System
from chipwise.cost.figures import figures

PRICES = (
    Price("hour", 2.0, 3.0, "USD", "2024", "shop"),
    Price("used", 500, 700, "USD", "2023-05", "shop"),
    Price("launch", 900, 1100, "USD", "2020-09", "maker"),
)
CARD = Device(
    "card", "gpu", peak_flops={"fp32": 20e12, "fp16": 80e12}, bandwidth_bytes_s=500e9, memory_bytes=2**34, power_w=200,
    year=2020, prices=PRICES,
)  # fmt: skip


def test_one_device() -> None:
    line = figures(CARD, "fp16")
    assert (line.flops_per_watt, line.flops_per_usd) == (400e9, 80e9)
    assert line.ridges == {"fp32": 40.0, "fp16": 160.0}
    assert (line.kind, line.device) == ("gpu", CARD)


def test_what_is_not_known_stays_so() -> None:
    line = figures(CARD, "int8")
    assert (line.flops_per_watt, line.flops_per_usd) == (None, None)
    bare = figures(Device("bare", "fpga"))
    assert (bare.power_w, bare.price_usd, bare.ridges, bare.peak_flops) == (None, None, {}, {})


@pytest.mark.parametrize(
    ("prices", "usd"),
    [(PRICES, 1000.0), (PRICES[:2], 600.0), (PRICES[:1], None), ((Price("street", 9, 9, "EUR", "2021", ""),), None)],
)
def test_the_price_is_that_of_buying(prices: tuple[Price, ...], usd: float | None) -> None:
    assert figures(Device("x", "gpu", prices=prices)).price_usd == usd
    assert figures(System("x", None, prices=prices)).price_usd == usd


def test_a_system_adds_up_its_devices_but_not_their_power_or_price() -> None:
    line = figures(System("box", CARD, 8, peak_flops={"fp16": 600e12}))
    assert line.peak_flops == {"fp32": 160e12, "fp16": 600e12}
    assert (line.memory_bytes, line.bandwidth_bytes_s) == (2**37, 4e12)
    assert line.ridges["fp32"] == 40.0
    assert (line.power_w, line.price_usd, line.flops_per_watt) == (None, None, None)


def test_a_link_has_a_bandwidth_only() -> None:
    line = figures(Link("wire", 1e9, year=2019))
    assert (line.kind, line.bandwidth_bytes_s, line.year, line.peak_flops) == ("link", 1e9, 2019, {})
