"""How processes share the work: sizes of the dimensions that they are laid out in, as "dp2,pp2,tp2".

>>> mesh = parse_mesh("tp2,dp4")
>>> str(mesh), mesh.processes, mesh.shares
('dp4,tp2', 8, 4)
>>> str(smaller(mesh))
'dp2,tp2'
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod

from chipwise.core.errors import InputError, MachineError, unknown_name

# Outermost first, as processes are numbered: neighbours talk most, and tensor parallelism talks most of all.
DIMENSIONS = {
    "pp": "pipeline stages",
    "dp": "copies of the network, whose gradients are averaged",
    "zero1": "copies that each keep a part of the optimizer's state",
    "zero2": "parts of weights, gradients and optimizer; weights stay whole between forward and backward",
    "fsdp": "parts of weights, gradients and optimizer (ZeRO-3)",
    "sph": "bands of rows of pictures",
    "spw": "bands of columns of pictures",
    "oc": "parts of the output channels of convolutions",
    "tp": "parts of each pair of matrices",
}
_ALIASES = {"zero3": "fsdp", "ddp": "dp", "sp": "sph"}
_SHARDED = ("zero1", "zero2", "fsdp")
SHARING = ("dp", *_SHARDED)  # a batch is cut along these
_PROCESSES_PER_CORE, _ALWAYS = 4, 8
_HINT = "write it as dp2,tp2: names and how many processes along each"


@dataclass(frozen=True, slots=True)
class Mesh:
    """Names and sizes of the dimensions, outermost first; none of them for one process.

    Attributes:
        sizes: in the order of `DIMENSIONS`, whatever order they were given in.
    """

    sizes: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        """As it is written: "dp2,tp2"; "1" for one process."""
        return ",".join(f"{name}{size}" for name, size in self.sizes) or "1"

    def size(self, name: str) -> int:
        """Processes along a dimension; 1 where there is none."""
        return dict(self.sizes).get(name, 1)

    def has(self, *names: str) -> bool:
        """Whether one of these dimensions is among them."""
        return any(name in names for name, _ in self.sizes)

    @property
    def processes(self) -> int:
        """All of them."""
        return prod(size for _, size in self.sizes)

    @property
    def shares(self) -> int:
        """Parts that a batch is cut into."""
        return prod(size for name, size in self.sizes if name in SHARING)


def parse_mesh(text: str) -> Mesh:
    """Read "dp2,tp2"; "1" is one process.

    Raises:
        InputError: naming what was received: a size of 0, a dimension given twice, or two that do not go together.
        UnknownNameError: no such dimension.
    """
    if text.strip() == "1":
        return Mesh()
    sizes: dict[str, int] = {}
    for part in text.split(","):
        name, size = _dimension(part.strip())
        if name in sizes:
            raise InputError(f"{text!r} has {name} twice", hint=f"once, as {name}{sizes[name] * size}")
        sizes[name] = size
    mesh = Mesh(tuple((name, sizes[name]) for name in DIMENSIONS if name in sizes))
    _check_together(mesh)
    return mesh


def check_processes(mesh: Mesh, cores: int) -> None:
    """Refuse more processes than a machine can run in a time that somebody would wait.

    Raises:
        MachineError: saying how many it may be.
    """
    most = max(_PROCESSES_PER_CORE * cores, _ALWAYS)
    if mesh.processes > most:
        raise MachineError(
            f"{mesh} takes {mesh.processes} processes, too many for {cores} cores", hint=f"{most} at most here"
        )


def smaller(mesh: Mesh) -> Mesh:
    """The same dimensions with fewer processes: the longest one divided by its least prime; where that is all, itself.

    What is left has two processes at least, so that a checkpoint is really cut again.
    """
    if mesh.processes < 4:
        return mesh
    longest = max(mesh.sizes, key=lambda pair: pair[1])
    factor = next(number for number in range(2, longest[1] + 1) if longest[1] % number == 0)
    if mesh.processes == factor:
        return mesh
    cut = ((name, size // factor if name == longest[0] else size) for name, size in mesh.sizes)
    return Mesh(tuple((name, size) for name, size in cut if size > 1))


def _dimension(part: str) -> tuple[str, int]:
    """Name and size of "dp2"."""
    names = sorted((*DIMENSIONS, *_ALIASES), key=len, reverse=True)
    known = next((name for name in names if re.fullmatch(rf"{name}=?\d+", part, re.ASCII | re.IGNORECASE)), None)
    if known is None:
        word = part.rstrip("0123456789").rstrip("=")
        if word in (*DIMENSIONS, *_ALIASES) or part in (*DIMENSIONS, *_ALIASES):
            raise InputError(f"{part!r} does not say how many processes", hint=f"as {part}2; {_HINT}")
        if not word:
            raise InputError(f"{part!r} is no dimension of processes", hint=_HINT)
        raise unknown_name("dimension of processes", word, DIMENSIONS)
    digits = part[len(known) :].lstrip("=")
    if len(digits) > 6 or int(digits) < 1:
        raise InputError(f"{part!r} has {digits} processes", hint="1 or more along each dimension")
    return _ALIASES.get(known, known), int(digits)


def _check_together(mesh: Mesh) -> None:
    """Refuse dimensions that torch has no way to combine."""
    sharded = [name for name in _SHARDED if mesh.has(name)]
    if len(sharded) > 1:
        raise InputError(f"{mesh} has {' and '.join(sharded)}, which cut the same things", hint="one of them")
    if mesh.has("sph", "spw") and mesh.has("pp", "oc", "tp", *_SHARDED):
        raise InputError(f"{mesh}: regions of pictures are combined with dp alone", hint="dp2,sph2, or sph2,spw2")
    if mesh.has("zero1") and len(mesh.sizes) > 1:
        others = " and ".join(name for name, _ in mesh.sizes if name != "zero1")
        raise InputError(f"{mesh}: zero1 cannot be combined with {others}", hint="fsdp can")
