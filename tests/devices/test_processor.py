"""Processors as Linux describes them; the texts are shortened from real machines."""

from __future__ import annotations

from pathlib import Path

from chipwise.devices.processor import caches, isa, model

XEON = """processor\t: 0
vendor_id\t: GenuineIntel
model\t\t: 143
model name\t: Intel(R) Xeon(R) Platinum  8480+
flags\t\t: fpu vme sse4_1 sse4_2 avx avx2 fma avx512f avx512vl avx512_vnni avx512_bf16 amx_bf16 amx_tile amx_int8

processor\t: 1
model name\t: another
flags\t\t: fpu
"""

# Raspberry Pi 4
CORTEX = """processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

Hardware\t: BCM2835
"""

GRAVITON = """processor\t: 0
Features\t: fp asimd fphp asimdhp asimddp sve i8mm bf16 svei8mm svebf16 rng
CPU implementer\t: 0x41
CPU part\t: 0xd40
"""


def test_x86() -> None:
    assert model(XEON) == "Intel(R) Xeon(R) Platinum 8480+"
    assert isa(XEON) == (
        *("amx_bf16", "amx_int8", "amx_tile", "avx", "avx2", "avx512_bf16", "avx512_vnni", "avx512f", "avx512vl"),
        *("fma", "sse4_1", "sse4_2"),
    )


def test_arm() -> None:
    assert (model(CORTEX), isa(CORTEX)) == ("Arm Cortex-A72", ("asimd",))
    assert model(GRAVITON) == "Arm Neoverse-V1"
    assert {"asimddp", "bf16", "i8mm", "sve"} <= set(isa(GRAVITON))
    assert model(CORTEX.replace("0xd08", "0xfff")) == "Arm implementer 0x41 part 0xfff"


def test_a_text_that_says_nothing() -> None:
    assert (model(""), isa("")) == ("", ())
    assert model("model name\t:\n") == ""


def test_caches_leave_out_instructions(tmp_path: Path) -> None:
    folder = tmp_path / "sys/devices/system/cpu/cpu0/cache"
    rows = [("1", "Data", "48K"), ("1", "Instruction", "32K"), ("2", "Unified", "2048K"), ("3", "Unified", "107520K")]
    for number, (level, kind, size) in enumerate(rows):
        index = folder / f"index{number}"
        index.mkdir(parents=True)
        for name, text in (("level", level), ("type", kind), ("size", size)):
            (index / name).write_text(text + "\n")
    (folder / "index9").mkdir()  # nothing in it, as in some virtual machines
    assert caches(tmp_path) == {"L1d": 48 << 10, "L2": 2 << 20, "L3": 105 << 20}
    assert caches(tmp_path / "nowhere") == {}
