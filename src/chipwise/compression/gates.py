"""How arithmetic grows out of one kind of gate: adders and multipliers as lists of NANDs that can be run.

A circuit is built gate by gate, so its gates and its depth are counted, not estimated, and it is tried on numbers. The
adder is a ripple of full adders, nine gates each; the multiplier adds n shifted rows of n products of bits, so that it
takes about n times as much. Both are the textbook's: real ones are shorter in time (carry look-ahead, Wallace trees)
and use cells that do more than a NAND.

>>> add = ripple_carry_adder(8)
>>> add.gate_count, add.depth, add.run(200, 100)
(68, 18, 300)
>>> multiply = array_multiplier(8)
>>> multiply.gate_count, multiply.run(255, 255)
(600, 65025)
"""

from __future__ import annotations

from dataclasses import dataclass, field

from chipwise.compression.published_costs import cost_of
from chipwise.core.format_report import Circuit


@dataclass(slots=True)
class Netlist:
    """NAND gates over numbered wires: the inputs come first, then one wire a gate.

    Attributes:
        sizes: bits of each operand, lowest bit first.
        gates: the two wires that each gate reads.
        outputs: wires of the result, lowest bit first.
    """

    sizes: tuple[int, ...]
    gates: list[tuple[int, int]] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)

    @property
    def gate_count(self) -> int:
        """NAND gates."""
        return len(self.gates)

    @property
    def depth(self) -> int:
        """The most gates one after the other from an input to an output."""
        depths = [0] * sum(self.sizes)
        for one, other in self.gates:
            depths.append(1 + max(depths[one], depths[other]))
        return max((depths[wire] for wire in self.outputs), default=0)

    def run(self, *operands: int) -> int:
        """Work out the result, gate by gate.

        Args:
            operands: whole numbers from 0, each of as many bits as `sizes` says.
        """
        pairs = zip(operands, self.sizes, strict=True)
        wires = [bool(number >> place & 1) for number, size in pairs for place in range(size)]
        for one, other in self.gates:
            wires.append(not (wires[one] and wires[other]))
        return sum(wires[wire] << place for place, wire in enumerate(self.outputs))

    def operand(self, place: int) -> list[int]:
        """Wires of an operand, lowest bit first."""
        start = sum(self.sizes[:place])
        return list(range(start, start + self.sizes[place]))

    def nand(self, one: int, other: int) -> int:
        """Add a gate."""
        self.gates.append((one, other))
        return sum(self.sizes) + len(self.gates) - 1

    def both(self, one: int, other: int) -> int:
        """AND: a NAND, and a NAND of it with itself; 2 gates."""
        neither = self.nand(one, other)
        return self.nand(neither, neither)

    def half_adder(self, one: int, other: int) -> tuple[int, int]:
        """Sum and carry of two bits: 5 gates."""
        neither = self.nand(one, other)
        total = self.nand(self.nand(one, neither), self.nand(other, neither))
        return total, self.nand(neither, neither)

    def full_adder(self, one: int, other: int, carry: int) -> tuple[int, int]:
        """Sum and carry of three bits: 9 gates."""
        first = self.nand(one, other)
        half = self.nand(self.nand(one, first), self.nand(other, first))
        second = self.nand(half, carry)
        total = self.nand(self.nand(half, second), self.nand(carry, second))
        return total, self.nand(first, second)

    def add(self, left: list[int], right: list[int]) -> list[int]:
        """Add two numbers of equally many bits, carry by carry; the result has one bit more."""
        total, carry = self.half_adder(left[0], right[0])
        made = [total]
        for one, other in zip(left[1:], right[1:], strict=True):
            total, carry = self.full_adder(one, other, carry)
            made.append(total)
        return [*made, carry]


def half_adder() -> Netlist:
    """Two bits to sum and carry."""
    made = Netlist((1, 1))
    made.outputs = list(made.half_adder(0, 1))
    return made


def full_adder() -> Netlist:
    """Three bits to sum and carry."""
    made = Netlist((1, 1, 1))
    made.outputs = list(made.full_adder(0, 1, 2))
    return made


def ripple_carry_adder(bits: int) -> Netlist:
    """Add two numbers of `bits` bits; the result has one more."""
    made = Netlist((bits, bits))
    made.outputs = made.add(made.operand(0), made.operand(1))
    return made


def array_multiplier(bits: int) -> Netlist:
    """Multiply two whole numbers of `bits` bits, row by row; the result has twice as many."""
    made = Netlist((bits, bits))
    left, right = made.operand(0), made.operand(1)
    rows = [[made.both(one, other) for one in left] for other in right]
    done, top = [rows[0][0]], rows[0][1:]
    for row in rows[1:]:
        if len(top) < bits:  # the first row has no carry yet: its last place holds the row's bit alone
            total = made.add(top, row[:-1]) if top else []
            last, carry = made.half_adder(row[-1], total[-1]) if total else (row[-1], -1)
            total = [*total[:-1], last, *([carry] if carry >= 0 else [])]
        else:
            total = made.add(top, row)
        done.append(total[0])
        top = total[1:]
    made.outputs = [*done, *top][: 2 * bits]
    return made


def circuits() -> tuple[Circuit, ...]:
    """Adders and multipliers of the formats, counted, beside Horowitz's areas.

    Of floats and posits only the product of significands is counted: what aligns, normalizes and rounds comes on top. A
    logarithmic product is the addition of logarithms, sign apart.
    """
    adders = (
        (4, "exponents of fp8-e4m3", None),
        (5, "exponents of fp16, fp8-e5m2", None),
        (8, "int8; exponents of fp32, tf32, bf16", cost_of("int8").add_um2),
        (9, "products of log-8-1-5-5-7", None),
        (16, "int16", cost_of("int16").add_um2),
        (32, "int32, sums of int8", cost_of("int32").add_um2),
    )
    multipliers = (
        (2, "significands of fp4-e2m1", None),
        (3, "significands of fp8-e5m2, fp6-e3m2", None),
        (4, "int4; significands of fp8-e4m3, fp6-e2m3, posit-8-2, posit-7-1", None),
        (5, "significands of posit-8-1", None),
        (6, "significands of posit-8-0, posit-9-1", None),
        (8, "int8; significands of bf16", cost_of("int8").multiply_um2),
        (11, "significands of fp16, tf32", cost_of("fp16").multiply_um2),
        (13, "significands of posit-16-1", None),
        (24, "significands of fp32", cost_of("fp32").multiply_um2),
        (32, "int32", cost_of("int32").multiply_um2),
    )
    made = [_counted("NAND", 1, _nand()), _counted("half adder", 1, half_adder())]
    made.append(_counted("full adder", 1, full_adder()))
    made += [_counted("adder", bits, ripple_carry_adder(bits), use, area) for bits, use, area in adders]
    made += [_counted("multiplier", bits, array_multiplier(bits), use, area) for bits, use, area in multipliers]
    return tuple(made)


def _nand() -> Netlist:
    made = Netlist((1, 1))
    made.outputs = [made.nand(0, 1)]
    return made


def _counted(name: str, bits: int, netlist: Netlist, use: str = "", area_um2: float | None = None) -> Circuit:
    return Circuit(name, bits, netlist.gate_count, netlist.depth, use, area_um2)
