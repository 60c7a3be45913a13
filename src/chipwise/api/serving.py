"""Serve: plans behind HTTP and gRPC, until the process is told to stop.

>>> serve(())
Traceback (most recent call last):
    ...
chipwise.core.errors.InputError: there is no plan to serve
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from chipwise.api.given import need
from chipwise.api.notebook import drawn
from chipwise.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chipwise.core.served import Served

_TOKEN_BYTES = 4096


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
) -> Served:
    """Serve plans by the Open Inference Protocol v2 until SIGTERM or Ctrl-C; call it from the main thread.

    Args:
        plans: plan files, and folders of them; a model has its file's name without the suffix.
        host: address to listen on; only this machine can reach the usual one.
        port: for HTTP.
        grpc_port: for gRPC; None for none.
        max_latency_s: requests are joined to batches that keep answers within it; None: each runs by itself.
        workers: calls that run at the same time; each is a process for every model.
        queue: requests that may wait for one model; what is more is refused at once.
        timeout_s: after which a request is given up.
        hang_s: after which a worker that has not answered a call is replaced; None: many times what was measured.
        token_file: a file with the token that clients must send; a token is never an argument, which others can see.
        tls_cert: a PEM file with which connections are encrypted, HTTP's and gRPC's.
        tls_key: its key, a PEM file without a password.
        client_ca: a PEM file; clients must show a certificate that it signed.
        log_requests: write a line for each request on stderr, too.

    Returns:
        what was answered.

    Raises:
        InputError: no plan, two of one name, a number that cannot be, or a certificate that cannot be used.
        PlanError, RuntimeUnavailableError: a plan cannot be opened. MissingExtraError: the extra "serve" is not
            installed. MachineError: a port is taken.
    """
    given = [plans] if isinstance(plans, (str, Path)) else list(plans)
    if not given:
        raise InputError("there is no plan to serve", hint="make one with: chipwise compile")
    for name, value in {"workers": workers, "queue": queue, "timeout": timeout_s}.items():
        if not 0 < value < float("inf"):
            raise InputError(f"{name} is {value}; it must be more than 0")
    for name, bound_s in {"the latency bound": max_latency_s, "the bound on calls that hang": hang_s}.items():
        if bound_s is not None and not 0 < bound_s < float("inf"):
            raise InputError(f"{name} is {bound_s} s; it must be more than 0")
    need("granian", "prometheus_client", extra="serve")
    if grpc_port is not None:
        need("grpc", extra="serve")
    token = "" if token_file is None else _token(Path(token_file))
    from chipwise.serving.logs import Log
    from chipwise.serving.server import serve as serve_until_stopped
    from chipwise.serving.settings import Settings

    settings = Settings(
        tuple(map(Path, given)),
        host=host,
        port=port,
        grpc_port=grpc_port,
        max_latency_s=max_latency_s,
        workers=workers,
        queue=queue,
        timeout_s=timeout_s,
        hang_s=hang_s,
        token=token,
        tls_cert=None if tls_cert is None else Path(tls_cert),
        tls_key=None if tls_key is None else Path(tls_key),
        client_ca=None if client_ca is None else Path(client_ca),
        log_requests=log_requests,
    )
    return serve_until_stopped(settings, Log(sys.stderr, log_requests))


def _token(path: Path) -> str:
    from chipwise.codec.files import read_bounded

    token = read_bounded(path, _TOKEN_BYTES, "token").decode(errors="replace").strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise InputError(f"{path} holds no token", hint="one line of printable ASCII without spaces")
    return token
