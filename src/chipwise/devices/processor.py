"""What Linux says about the processor: its name, its instruction sets, its caches.

>>> model("model name : Example 3000"), isa("flags : fpu avx2 fma avx512f")
('Example 3000', ('avx2', 'avx512f', 'fma'))
"""

from __future__ import annotations

import re
from pathlib import Path

# Extensions that decide how fast a network runs, as the kernel spells them (x86 "flags", Arm "Features").
_X86 = {"sse4_1", "sse4_2", "avx", "avx2", "fma", "f16c", "avx_vnni", "avx_vnni_int8", "amx_fp16"} | {
    "avx512f",
    "avx512bw",
    "avx512vl",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_tile",
    "amx_bf16",
    "amx_int8",
}
_ARM = {"neon", "asimd", "asimdhp", "asimddp", "asimdfhm", "fphp", "i8mm", "bf16"} | {
    "sve",
    "sve2",
    "svei8mm",
    "svebf16",
    "sme",
    "sme2",
}

# Who made an Arm core and what it is, where /proc/cpuinfo has numbers only. Source: the kernel's
# arch/arm64/include/asm/cputype.h.
_ARM_PARTS = {
    ("0x41", "0xd03"): "Arm Cortex-A53",
    ("0x41", "0xd05"): "Arm Cortex-A55",
    ("0x41", "0xd07"): "Arm Cortex-A57",
    ("0x41", "0xd08"): "Arm Cortex-A72",
    ("0x41", "0xd0b"): "Arm Cortex-A76",
    ("0x41", "0xd0c"): "Arm Neoverse-N1",
    ("0x41", "0xd40"): "Arm Neoverse-V1",
    ("0x41", "0xd49"): "Arm Neoverse-N2",
    ("0x41", "0xd4f"): "Arm Neoverse-V2",
}

_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "": 1}


def model(cpuinfo: str) -> str:
    """Name the processor from the text of /proc/cpuinfo; empty when it does not say.

    An Arm kernel gives numbers instead of a name: known ones are translated, others kept as "implementer part".
    """
    fields = _fields(cpuinfo)
    for key in ("model name", "cpu model", "Model"):
        if fields.get(key):
            return re.sub(r"\s+", " ", fields[key])
    maker, part = fields.get("CPU implementer", ""), fields.get("CPU part", "")
    if not part:
        return fields.get("Hardware", "")
    return _ARM_PARTS.get((maker, part), f"Arm implementer {maker} part {part}")


def isa(cpuinfo: str) -> tuple[str, ...]:
    """List the instruction sets that matter, sorted, in the kernel's spelling ("asimddp" is Arm's dot product)."""
    fields = _fields(cpuinfo)
    named = set(fields.get("flags", "").split()) & _X86 | set(fields.get("Features", "").split()) & _ARM
    return tuple(sorted(named))


def caches(root: Path) -> dict[str, int]:
    """Read sizes in bytes of processor 0's caches by level ("L1d", "L2", "L3") from sysfs below `root`."""
    sizes: dict[str, int] = {}
    for folder in sorted((root / "sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            level, kind, size = ((folder / name).read_text().strip() for name in ("level", "type", "size"))
        except OSError:
            continue
        amount = re.fullmatch(r"(\d+)([KMG]?)", size)
        if amount is None or kind == "Instruction":
            continue
        name = f"L{level}d" if level == "1" else f"L{level}"
        sizes[name] = int(amount[1]) * _UNITS[amount[2]]
    return sizes


def _fields(cpuinfo: str) -> dict[str, str]:
    """The first value of each key: processors are listed one after another and the first one stands for all."""
    fields: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        key, found, value = line.partition(":")
        if found and value.strip():
            fields.setdefault(key.strip(), value.strip())
    return fields
