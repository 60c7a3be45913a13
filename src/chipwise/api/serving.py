"""Serve: plans behind HTTP and gRPC, until the process is told to stop.

>>> serve(())
Traceback (most recent call last):
    ...
chipwise.core.errors.InputError: there is no plan to serve
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from chipwise.api.given import HTTP, need
from chipwise.api.notebook import drawn
from chipwise.core.errors import InputError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from chipwise.core.served import Served
    from chipwise.serving.worker import Opened

RAY = "ray"
_TOKEN_BYTES = 4096
_STORE_BYTES = 512 << 20  # of a cluster of this machine: large bodies go through it


@drawn
def serve(
    plans: str | Path | Sequence[str | Path],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    grpc_port: int | None = None,
    max_latency_s: float | None = None,
    workers: int = 1,
    queue: int = 256,
    timeout_s: float = 30.0,
    hang_s: float | None = None,
    token_file: str | Path | None = None,
    tls_cert: str | Path | None = None,
    tls_key: str | Path | None = None,
    client_ca: str | Path | None = None,
    log_requests: bool = False,
    on: str | None = None,
    replicas: int | None = None,
    min_replicas: int | None = None,
    max_replicas: int | None = None,
    address: str | None = None,
) -> Served:
    """Serve plans by the Open Inference Protocol v2 until SIGTERM or Ctrl-C; call it from the main thread.

    Args:
        plans: plan files, and folders of them; a model has its file's name without the suffix.
        host: address to listen on; only this machine can reach the usual one.
        port: for HTTP.
        grpc_port: for gRPC; None for none.
        max_latency_s: requests are joined to batches that keep answers within it; None: each runs by itself.
        workers: calls that run at the same time; each is a process for every model. 0: one, in this process, which is
            quicker for small networks, and which a runtime that crashes takes along.
        queue: requests that may wait for one model; what is more is refused at once.
        timeout_s: after which a request is given up.
        hang_s: after which a worker that has not answered a call is replaced; None: many times what was measured.
        token_file: a file with the token that clients must send; a token is never an argument, which others can see.
        tls_cert: a PEM file with which connections are encrypted, HTTP's and gRPC's.
        tls_key: its key, a PEM file without a password.
        client_ca: a PEM file; clients must show a certificate that it signed.
        log_requests: write a line for each request on stderr, too.
        on: "ray" for replicas on Ray Serve; None for this process.
        replicas: how many, each with `workers` of its own; the usual is 1.
        min_replicas: Ray adds and takes away replicas under load, from so many
        max_replicas: to so many.
        address: of the Ray cluster; None for the one that RAY_ADDRESS names, or one of this machine.

    Returns:
        what was answered.

    Raises:
        InputError: no plan, two of one name, a number that cannot be, a certificate that cannot be used, or what Ray
            does not do. PlanError, RuntimeUnavailableError: a plan cannot be opened. MissingExtraError: the extra
            "serve", or "ray", is not installed. MachineError: a port is taken, or there is no such cluster.
    """
    given = [plans] if isinstance(plans, (str, Path)) else list(plans)
    if not given:
        raise InputError("there is no plan to serve", hint="make one with: chipwise compile")
    _check_positive({"queue": queue, "timeout": timeout_s})
    _check_positive({"the latency bound": max_latency_s, "the bound on calls that hang": hang_s}, " s")
    wanted = replicas_of(on, replicas, min_replicas, max_replicas, address)
    door = (*HTTP, "prometheus_client") if wanted is None else ()
    need(*door, *(["grpc"] if grpc_port is not None else []), extra="serve")
    token = "" if token_file is None else _token(Path(token_file))
    from chipwise.serving.logs import Log
    from chipwise.serving.settings import Settings

    settings = Settings(
        tuple(map(Path, given)),
        host=host,
        port=port,
        grpc_port=grpc_port,
        max_latency_s=max_latency_s,
        workers=max(workers, 1),
        open_here=_opener(workers, hang_s),
        queue=queue,
        timeout_s=timeout_s,
        hang_s=hang_s,
        token=token,
        tls_cert=None if tls_cert is None else Path(tls_cert),
        tls_key=None if tls_key is None else Path(tls_key),
        client_ca=None if client_ca is None else Path(client_ca),
        log_requests=log_requests,
    )
    log = Log(sys.stderr, log_requests)
    if wanted is not None:
        from chipwise.serving.on_ray import Cluster, serve_on_ray

        return serve_on_ray(settings, Cluster(_joins(address), not _named(address), *wanted), log)
    from chipwise.serving.server import serve as serve_until_stopped

    return serve_until_stopped(settings, log)


def _opener(workers: int, hang_s: float | None) -> Callable[[Path, float | None], Opened] | None:
    """What opens plans in this process, where no workers do."""
    if workers < 0:
        raise InputError(f"workers is {workers}; it must be 0 or more", hint="0 runs plans in the server's own process")
    if workers:
        return None
    if hang_s is not None:
        raise InputError(
            f"hang-after is {hang_s:g} s, and a call in the server's own process cannot be ended",
            hint="--workers 1, or leave --hang-after out",
        )
    from chipwise.serving.worker import Opened

    return Opened


def _check_positive(given: Mapping[str, float | None], unit: str = "") -> None:
    for name, value in given.items():
        if value is not None and not 0 < value < float("inf"):
            raise InputError(f"{name} is {value}{unit}; it must be more than 0")


def replicas_of(
    on: str | None, replicas: int | None, least: int | None, most: int | None, address: str | None
) -> tuple[int, int] | None:
    """The least and the most replicas; None where the server is this process.

    Raises:
        InputError: numbers that cannot be, or that say something of Ray without Ray. MissingExtraError: it is absent.
    """
    given = [
        name for name, value in {"replicas": replicas, "min-replicas": least, "max-replicas": most}.items() if value
    ]
    if on is None:
        if given or address is not None:
            raise InputError(f"--{(given or ['address'])[0]} is for replicas on Ray", hint="--on ray")
        return None
    if on != RAY:
        raise unknown_name("place to serve on", on, [RAY])
    if replicas is not None and (least is not None or most is not None):
        raise InputError("so many replicas, or between so many and so many", hint="leave --replicas out, or the others")
    found = (replicas or 1,) * 2 if replicas is not None or not given else (least or 1, most or least or 1)
    if min(found) < 1 or found[0] > found[1]:
        raise InputError(f"from {found[0]} to {found[1]} replicas cannot be", hint="--min-replicas 1 --max-replicas 4")
    need("ray", "starlette", "prometheus_client", extra="ray")
    return found[0], found[1]


def _named(address: str | None) -> bool:
    return bool(address or os.environ.get("RAY_ADDRESS"))


def _joins(address: str | None) -> Callable[[int], None]:
    """What makes this process part of the cluster; replicas import what it does."""
    from chipwise.training.parallel.parent import import_paths
    from chipwise.training.parallel.ray_cluster import join

    return lambda calls: join(calls, _STORE_BYTES, {"PYTHONPATH": import_paths()}, address or "")


def _token(path: Path) -> str:
    from chipwise.codec.files import read_bounded

    token = read_bounded(path, _TOKEN_BYTES, "token").decode(errors="replace").strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise InputError(f"{path} holds no token", hint="one line of printable ASCII without spaces")
    return token
