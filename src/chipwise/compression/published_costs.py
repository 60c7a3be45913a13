"""What additions and multiplications cost: joules and square micrometres, where somebody published them.

Source: Horowitz's figures for 45 nm, as `chipwise.cost.energy` has them. Of formats that are not there nothing is said:
a number made up by scaling would look like one that was measured.

>>> cost_of("int8").multiply_j, cost_of("fp32").add_um2
(2e-13, 4184.0)
"""

from __future__ import annotations

from chipwise.core.format_report import OperationCost
from chipwise.cost.energy import number_format_energy

# Formats whose operations are those of a published one, bit for bit. MXint8 is not among them: its blocks have scales,
# whose additions come on top.
_SAME = {"fp16-sums": "fp16", "int8-shift": "int8", "fixed-8-4": "int8", "fixed-16-8": "int16"}


def cost_of(name: str) -> OperationCost:
    """Cost of one addition and one multiplication in a format; all None where nothing is published."""
    for row in number_format_energy():
        if row.format == _SAME.get(name, name):
            energies = (_over(row.add_pj, 1e12), _over(row.multiply_pj, 1e12))
            return OperationCost(*energies, _over(row.add_um2, 1.0), _over(row.multiply_um2, 1.0))
    return OperationCost()


def _over(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit
