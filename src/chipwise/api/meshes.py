"""Training in several processes, on this machine or on several: what was asked for, and who goes on where others left.

chipwise.train("lenet5-caffe", "mnist", folder="runs/caffe", mesh="dp2")
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from chipwise.api.given import need
from chipwise.core.errors import InputError, NetworkError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from chipwise.api.transfer import Beginning
    from chipwise.core.device import Machine
    from chipwise.core.training_memory import RankMemory
    from chipwise.training.settings import Settings

RAY = "ray"
_MACHINES = re.compile(r"(\d{1,4})/(\d{1,4})@([^\s@]+:\d{1,5})")
_HINT = "as 1/2@HOST:PORT on the first of two and 2/2@HOST:PORT on the other; HOST is the first"


def ways_of(
    mesh: str | None,
    machines: str | None,
    start: Beginning,
    machine: Machine,
    *,
    on: str | None = None,
    take: Callable[[tuple[RankMemory, ...]], None] = lambda _: None,
) -> dict[str, Any]:
    """How `train` is to run its epochs; nothing where no mesh is asked for.

    Args:
        mesh: as "dp2,tp2"; None or "1" for this process.
        machines: as "1/2@HOST:PORT"; None for this machine alone.
        start: the network, and its module.
        machine: this one.
        on: "ray" for a Ray cluster; None for processes of this machine, or of those that meet.
        take: called with what each process took of memory, once they end.

    Raises:
        MissingExtraError: Ray is not installed. InputError: what a mesh or machines cannot be. NetworkError: the
        network is a graph, or holds zeros. MachineError: too many processes for this machine.
    """
    from chipwise.training.parallel.mesh import check_processes, parse_mesh

    if on is not None and on != RAY:
        raise unknown_name("place for processes", on, [RAY])
    wanted = parse_mesh("1" if mesh is None else mesh)
    if not wanted.sizes:
        if machines is not None or on is not None:
            raise InputError(f"{machines or on} is for several processes", hint="--mesh dp2")
        return {}
    if on is not None:
        need("ray", extra="ray")
    if on is not None and machines is not None:
        raise InputError(f"machines={machines} meet by themselves, and Ray has its own", hint="leave machines out")
    number, count, meet = _machines(machines)
    if wanted.processes % count:
        raise InputError(
            f"{wanted} has {wanted.processes} processes, which {count} machines cannot share evenly", hint=_HINT
        )
    if not (on and os.environ.get("RAY_ADDRESS")):  # another cluster has cores of its own, and waits for them
        check_processes(wanted, machine.cores * count)
    from chipwise.training.parallel.on_mesh import Placement, epochs_on

    placement = Placement(wanted, machine.cores, number, count, meet, on=on or "")
    return {"epochs": epochs_on(placement, factory_of(start), take)}


def machine_count(machines: str | None) -> int:
    """How many machines share the processes.

    Raises:
        InputError: what was said does not tell.
    """
    return _machines(machines)[1]


def take_over(start: Beginning, home: Path, settings: Settings) -> None:
    """Let this process go on where several left off, if several did.

    Raises:
        InputError: their checkpoint is damaged.
    """
    if not any((home / "checkpoint").glob("shards-*")):
        return
    from chipwise.training.parallel.shards import bring_together

    bring_together(start.module, settings, home / "checkpoint")


def factory_of(start: Beginning) -> tuple[str, dict[str, object]]:
    """The factory that each process calls, and its arguments.

    Raises:
        NetworkError: there is none, or what it gives is not all that is trained.
    """
    source = start.network.source
    if source is None:
        raise NetworkError(
            f"{start.network.name} has no torch source, and strategies cut modules", hint="a zoo name, or no --mesh"
        )
    if source.weights is not None and source.weights.suffix.lower() == ".cwz":
        raise NetworkError(
            f"zeros of {source.weights} stay zero in one process alone", hint="leave --mesh out, or --weights"
        )
    return source.factory, dict(source.arguments)


def _machines(text: str | None) -> tuple[int, int, str]:
    """Number of this machine, how many there are, and where they meet."""
    if text is None:
        return 1, 1, ""
    found = _MACHINES.fullmatch(text.strip())
    if found is None:
        raise InputError(f"{text!r} does not say which machine this is", hint=_HINT)
    number, count, meet = int(found[1]), int(found[2]), found[3]
    if not 1 <= number <= count:
        raise InputError(f"{text!r} is machine {number} of {count}", hint=_HINT)
    if int(meet.rpartition(":")[2]) > 65535:
        raise InputError(f"{text!r} has no such port", hint="up to 65535")
    return number, count, meet
