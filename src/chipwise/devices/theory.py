"""What a processor could do at most: operations per cycle of its instruction sets, times cores, times clock.

Only what instruction sets say for sure, or with an assumption that is stated, is filled in. Sources: Intel, "Intel 64
and IA-32 Architectures Optimization Reference Manual" (248966), chapters on AVX-512, on VNNI and on AMX (a tile
product of 16 x 16 x 64 bytes every 16 cycles: 1024 operations per cycle in bfloat16, 2048 in int8).

>>> peaks, basis = theory(("avx2", "fma"), cores=2, clock_hz=3e9)
>>> peaks["fp32"] / 1e9, "two multiply-add units" in basis
(192.0, True)
"""

from __future__ import annotations

# Operations per cycle and core, 1 multiply-add = 2, with two units of the widest vectors.
_VECTORS = {"avx512f": 64.0, "fma": 32.0}
# Instruction: format, and its rate over that of fp32 on the same vectors.
_DOT = {
    "avx512_vnni": ("int8", 4.0),
    "avx_vnni": ("int8", 4.0),
    "avx512_bf16": ("bf16", 2.0),
    "avx512_fp16": ("fp16", 2.0),
}
_TILES = {"amx_bf16": ("bf16", 1024.0), "amx_fp16": ("fp16", 1024.0), "amx_int8": ("int8", 2048.0)}


def theory(isa: tuple[str, ...], *, cores: int, clock_hz: float | None) -> tuple[dict[str, float], str]:
    """Peak operations per second by number format, and in a sentence how they were reckoned.

    Args:
        isa: instruction sets, as of `Machine`.
        cores: whole ones.
        clock_hz: that they run at, None where that is not known.

    Returns:
        formats without instructions of their own are left out, and everything on processors whose number of units is
        not known from the instruction set (Arm).
    """
    width = next((rate for name, rate in _VECTORS.items() if name in isa), None)
    if width is None or not clock_hz:
        missing = "the clock" if width else "the number of its multiply-add units"
        return {}, f"not known: {missing} cannot be told from what the system says"
    rates = {"fp64": width / 2, "fp32": width}
    for name, (format_, factor) in _DOT.items():
        if name in isa:
            rates[format_] = width * factor
    for name, (format_, rate) in _TILES.items():
        if name in isa:
            rates[format_] = rate
    vectors = "512-bit" if "avx512f" in isa else "256-bit"
    units = f"{cores} core{'s' * (cores > 1)} x two multiply-add units of {vectors} vectors (assumed)"
    tiles = " or one tile unit" if any(name in isa for name in _TILES) else ""
    peaks = {format_: rate * cores * clock_hz for format_, rate in rates.items()}
    return peaks, f"{units}{tiles} x {clock_hz / 1e9:.2f} GHz"
