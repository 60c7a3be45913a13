"""Finding hardware by name, and the facts that published tables state."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from chipwise.core.device import Device, System
from chipwise.core.errors import InputError, UnknownNameError
from chipwise.devices import known

OWN = """
[sources.sheet]
title = "Example data sheet"
date = "2026-05"

[[device]]
name = "Example X1"
kind = "gpu"
aliases = ["x1"]
peak_tflops = { fp16 = [100, "sheet"] }
bandwidth_gb_s = [500, "sheet"]
memory_gb = [16, "sheet"]
prices = [{ kind = "street", eur = [900, 1100], date = "2026", source = "sheet" }]
"""


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("rtx4090", "GeForce RTX 4090"),
        ("RTX 3090", "GeForce RTX 3090"),
        ("NVIDIA GeForce RTX 3090", "GeForce RTX 3090"),
        ("i9-10940x", "Core i9-10940X"),
        ("Intel(R) Core(TM) i9-10940X CPU @ 3.30GHz", "Core i9-10940X"),
        ("AMD EPYC 7763 64-Core Processor", "EPYC 7763"),
        ("a100", "A100 SXM4 80GB"),
        ("NVIDIA A100-SXM4-40GB", "A100 SXM4 40GB"),
        ("Tesla V100-SXM2-16GB", "Tesla V100 SXM2 16GB"),
        ("v100", "Tesla V100 SXM2 16GB"),
        ("t4", "Tesla T4"),
        ("p100", "Tesla P100 SXM2 16GB"),
        ("p4", "Tesla P4"),
        ("tpu-v1", "TPU v1"),
        ("TPU_v3", "TPU v3"),
        ("edge-tpu", "Coral Edge TPU"),
        ("Xeon Platinum 8480+", "Xeon Platinum 8480+"),
    ],
)
def test_names(typed: str, name: str) -> None:
    assert known.device(typed).name == name


def test_every_name_and_alias_finds_its_own() -> None:
    for each in known.devices():
        assert all(known.device(name) is each for name in (each.name, each.name.upper(), *each.aliases))
    assert all(known.link(each.name) is each for each in known.links())
    assert all(known.system(name) is each for each in known.systems() for name in (each.name, *each.aliases))


def test_unknown_names_offer_near_ones() -> None:
    with pytest.raises(UnknownNameError) as wrong:
        known.device("rtx409")
    assert "rtx409" in wrong.value.message
    assert wrong.value.hint.startswith("did you mean GeForce RTX 4090")
    with pytest.raises(UnknownNameError, match="link 'NVLink 9'"):
        known.link("NVLink 9")
    with pytest.raises(UnknownNameError, match="system 'dgx-9'"):
        known.system("dgx-9")
    with pytest.raises(UnknownNameError):
        known.device("")


@pytest.mark.parametrize(("typed", "near"), [("v10", "Tesla V100"), ("gtx1071", "GTX 1070"), ("i9-10940", "i9-10940X")])
def test_near_names_are_found_without_their_prefix(typed: str, near: str) -> None:
    with pytest.raises(UnknownNameError) as wrong:
        known.device(typed)
    assert near in wrong.value.hint.partition("?")[0]


def test_systems_are_found_beside_devices() -> None:
    assert isinstance(known.find("dgx-1"), System)
    assert isinstance(known.find("t4"), Device)
    with pytest.raises(InputError, match="system of several devices"):
        known.device("dgx-1")
    with pytest.raises(UnknownNameError, match="device or system"):
        known.find("dgx-17")


def test_memory_is_binary_and_bandwidth_decimal() -> None:
    card = known.device("rtx4090")
    assert card.memory_bytes == 24 * 2**30
    assert card.cache_bytes == 72 * 2**20
    assert card.bandwidth_bytes_s == 1008e9
    assert card.price_usd == 1599


def test_own_files_are_read_with_the_catalogue(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(OWN)
    for place in (file, tmp_path):
        mine = known.device("X1", place)
        assert mine.peak_flops == {"fp16": 100e12}
        assert mine.sources["peak_flops.fp16"] == "Example data sheet, 2026-05"
        assert mine.prices[0].currency == "EUR"
        assert known.device("t4", place).name == "Tesla T4"
        assert len(known.devices(place)) == len(known.devices()) + 1
    with pytest.raises(UnknownNameError):
        known.device("X1")


def test_own_files_may_not_take_a_name_that_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(OWN.replace('"x1"', '"rtx4090"'))
    with pytest.raises(InputError, match="'GeForce RTX 4090' and 'Example X1' are both called 'rtx4090'"):
        known.devices(file)


def test_names_are_of_any_script(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(OWN.replace("Example X1", "\u65e5\u672c 1").replace('"x1"', '"\u00c4 chip"'))
    assert known.device("\u00e4-CHIP", file) == known.device("\u65e5\u672c1", file)
    with pytest.raises(UnknownNameError):
        known.device("", file)
    nameless = tmp_path / "nameless.toml"
    nameless.write_text(OWN.replace("Example X1", "---"))
    with pytest.raises(InputError, match="'---' has a name without letters and digits"):
        known.devices(nameless)


def test_no_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no \.toml file in"):
        known.devices(tmp_path)
    with pytest.raises(InputError, match="cannot read"):
        known.devices(tmp_path / "absent.toml")
    with pytest.raises(InputError, match="it is a device"):
        known.devices(Path("/dev/zero"))
    endless = tmp_path / "endless.toml"
    with endless.open("wb") as file:
        file.truncate(2**40)  # takes no room on the disk, and would take all of the memory
    with pytest.raises(InputError, match="more than 4,000,000 bytes"):
        known.devices(endless)


def test_loading_imports_nothing_heavy() -> None:
    code = "import sys; from chipwise.devices import known; known.devices(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "torch", "onnx", "msgspec", "rich"} & {name.partition(".")[0] for name in done.stdout.split()}


def test_k80_tpu_and_p40_as_published() -> None:
    """Beside each other: 300, 75, 250 W; 92 TOPS of int8, 47 of the P40; 34 GB/s of the TPU, 350 of the P40."""
    k80, tpu, p40 = (known.device(name) for name in ("k80", "tpu-v1", "p40"))
    assert (k80.power_w, tpu.power_w, p40.power_w) == (300, 75, 250)
    assert k80.peak_flops["fp32"] == pytest.approx(5.6e12 * 875 / 560, rel=0.01)  # published at its base clock
    assert tpu.peak_flops["int8"] == pytest.approx(92e12)
    assert p40.peak_flops["fp32"] == pytest.approx(12e12, rel=0.03)
    assert p40.peak_flops["int8"] == pytest.approx(48e12, rel=0.03)
    assert tpu.bandwidth_bytes_s == 34e9
    assert p40.bandwidth_bytes_s == pytest.approx(350e9, rel=0.01)
    assert tpu.cache_bytes == (24 + 4) * 2**20
    # On chip, as published: 16 MB of registers and L2 on the K80's two chips, 11 MB on the P40.
    assert 26 * 0.5 + 3 == 16
    assert p40.multiprocessors is not None
    assert p40.cache_bytes is not None
    assert round(p40.multiprocessors * 0.25 + p40.cache_bytes / 2**20) == pytest.approx(11, abs=1)


def test_tpu_arrays_reach_their_peaks() -> None:
    for name, bits in (
        ("tpu-v1", "int8"),
        ("tpu-v2", "bf16"),
        ("tpu-v3", "bf16"),
        ("tpu-v4", "bf16"),
        ("tpu-v5e", "bf16"),
    ):
        chip = known.device(name)
        assert chip.array is not None
        assert chip.arrays is not None
        assert chip.clock_hz is not None
        reached = 2 * chip.array[0] * chip.array[1] * chip.arrays * chip.clock_hz
        assert reached == pytest.approx(chip.peak_flops[bits], rel=0.03)


@pytest.mark.parametrize(
    ("link", "both_ways"), [("NVLink 1", 160e9), ("NVLink 2", 300e9), ("NVLink 3", 600e9), ("NVLink 4", 900e9)]
)
def test_nvlink_as_published(link: str, both_ways: float) -> None:
    assert 2 * known.link(link).bandwidth_bytes_s == both_ways


def test_systems_as_published() -> None:
    watts = {"dgx-1": {3200, 3500}, "dgx-2": {10000}, "dgx-a100": {6500}, "dgx-h100": {10200, 11300}}
    for name, either in watts.items():
        assert known.system(name).power_w in either
    assert known.system("dgx-2").count == 16
    assert known.system("dgx-h100").device is known.device("h100")
    blue = known.system("BlueGene/L")
    assert (blue.device, blue.count, blue.power_w) == (None, 131072, 1433e3)
    assert (blue.reached_flops, blue.peak_flops) == (pytest.approx(280.6e12), {"fp64": pytest.approx(367e12)})
    assert known.system("jaguar").reached_flops == pytest.approx(101.7e12)
    assert known.system("red storm").reached_flops == pytest.approx(101.4e12)


@pytest.mark.parametrize(
    ("name", "multiprocessors", "cache_mb"),
    [
        ("rtx3090", 82, 6),
        ("rtx4090", 128, 72),
        ("a100-40gb", 108, 40),
        ("v100", 80, 6),
        ("t4", 40, 4),
        ("p100", 56, 4),
        ("p4", 20, 2),
    ],
)
def test_what_predictions_need(name: str, multiprocessors: int, cache_mb: float) -> None:
    card = known.device(name)
    assert card.multiprocessors == multiprocessors
    assert card.cache_bytes == cache_mb * 2**20
    assert card.clock_hz
    assert card.base_clock_hz
    assert card.clock_hz > card.base_clock_hz


def test_errata_name_known_hardware_and_both_figures() -> None:
    found = known.errata()
    assert len(found) >= 30
    for each in found:
        known.find(each.device)
        assert each.printed != each.right
        assert each.printed_in
        assert each.why
        assert each.source
    told = {(each.device, each.figure.partition(" ")[0], each.printed.partition(" ")[0]) for each in found}
    assert told >= {
        ("Tesla V100 SXM2 16GB", "tensor", "620"),
        ("TPU v4", "memory", "8"),
        ("TPU v3", "bf16", "90"),
        ("TPU v1", "int8", "23"),
        ("L4", "memory", "3,350"),
        ("H200 SXM 141GB", "memory", "3,360"),
        ("H100 SXM5 80GB", "fp16", "1,979"),
        ("H100 SXM5 80GB", "fp8", "3,958"),
    }


def test_what_is_like_nothing_is_told_how_much_is_listed_where() -> None:
    """The same numbers as the lists have."""
    with pytest.raises(UnknownNameError) as wrong:
        known.anything("qqqqqqqqqqqqqqq")
    counts = len(known.devices()), len(known.systems()), len(known.links())
    said = "{} devices, {} systems (--kind system), {} links (--kind link)".format(*counts)
    assert wrong.value.hint == f"chipwise devices lists what is known: {said}"
    with pytest.raises(UnknownNameError) as wrong:
        known.find("qqqqqqqqqqqqqqq")
    assert wrong.value.hint.endswith(f"{counts[0]} devices, {counts[1]} systems (--kind system)")
