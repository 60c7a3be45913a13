"""What fitting takes of energy, estimated: the power of a busy hardware thread over the time.

>>> energy_j(10.0)
35.0
"""

from __future__ import annotations

# A virtual processor at full load, on average over the processors of AWS by SPECpower results: Cloud Carbon Footprint,
# methodology, "Average Max Watts: 3.5" (memory and cooling are not in it).
WATTS_A_THREAD = 3.5


def energy_j(seconds: float, threads: int = 1) -> float:
    """Joules of so many busy threads for so long."""
    return WATTS_A_THREAD * threads * seconds
