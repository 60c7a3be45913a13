"""What additions and multiplications cost: joules and square micrometres, where somebody published them.

Source: Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014: 45 nm, 0.9 V. Of formats that
are not there nothing is said; a number made up by scaling would look like one that was measured.

>>> COSTS["int8"].multiply_j, COSTS["fp32"].add_um2
(2e-13, 4184.0)
"""

from __future__ import annotations

from chipwise.core.format_report import OperationCost

COSTS = {
    "int8": OperationCost(0.03e-12, 0.2e-12, 36.0, 282.0),
    "int16": OperationCost(0.05e-12, None, 67.0, None),
    "int32": OperationCost(0.1e-12, 3.1e-12, 137.0, 3495.0),
    "fp16": OperationCost(0.4e-12, 1.1e-12, 1360.0, 1640.0),
    "fp32": OperationCost(0.9e-12, 3.7e-12, 4184.0, 7700.0),
}
# Formats whose operations are those of an entry above, bit for bit.
_SAME = {"fp16-sums": "fp16", "int8-shift": "int8", "mxint8": "int8", "fixed-8-4": "int8", "fixed-16-8": "int16"}


def cost_of(name: str) -> OperationCost:
    """Cost of one addition and one multiplication in a format; all None where nothing is published."""
    return COSTS.get(_SAME.get(name, name), OperationCost())
