"""The Ray cluster that processes are placed on: the one that RAY_ADDRESS names, or one of this machine alone."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

import ray

from chipwise.core.errors import MachineError, first_line

if TYPE_CHECKING:
    from collections.abc import Mapping

ADDRESS = "RAY_ADDRESS"
_REACHED_S = 5.0


def join(processes: int, store_bytes: int, seen: Mapping[str, str] | None = None, address: str = "") -> None:
    """Be part of the cluster that is named, or of one of this machine that ends with this process.

    Args:
        processes: that it must have room for, where it is made here.
        store_bytes: of objects that processes hand each other, likewise.
        seen: environment of the workers, beside their own; None for that alone.
        address: of the cluster; empty for what the variable RAY_ADDRESS says.

    Raises:
        MachineError: there is no cluster at the address.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing leaves this machine
    os.environ.setdefault("RAY_worker_niceness", "0")  # else workers stand behind all other processes, 15 steps below
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if seen is not None:
        quiet["runtime_env"] = {"env_vars": dict(seen)}
    named = address or os.environ.get(ADDRESS)
    if named:
        try:
            _reach(named)
            ray.init(address=named, **quiet)
        except (OSError, RuntimeError, ValueError) as error:
            raise MachineError(f"cannot join a Ray cluster at {named}: {first_line(error)}") from error
        return
    ray.init(
        address="local",
        num_cpus=processes,
        include_dashboard=False,
        object_store_memory=store_bytes,
        **quiet,
    )


def _reach(address: str) -> None:
    """Find out whether anything listens at HOST:PORT; Ray itself tries for minutes.

    Raises:
        OSError: nothing does.
    """
    host, _, port = address.rpartition("/")[2].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), _REACHED_S).close()
