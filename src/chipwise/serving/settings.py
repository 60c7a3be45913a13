"""How a server runs: where it listens, how many workers it has, how long anybody may wait."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from chipwise.serving.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from chipwise.serving.worker import Opened


@dataclass(frozen=True, slots=True)
class Settings:
    """What `chipwise serve` was told.

    Attributes:
        plans: plan files, and folders of them; a model has its file's name without the suffix.
        host: address that is listened on; port: for HTTP; grpc_port: for gRPC, None for none.
        workers: calls that run at the same time, each in a process of its own.
        open_here: opens a plan in this process, which then runs one call at a time; None where workers do that.
        max_latency_s: within which an answer must be there: requests are joined to batches that keep it. None: every
            request runs by itself.
        queue: requests that may wait for one model; more are refused at once.
        timeout_s: after which a request that has no answer is given up.
        hang_s: after which a worker that has not answered a call is taken for hung; None: many times what the plan was
            measured to take.
        drain_s: that requests may take to end after the server was told to.
        token: that clients must send; empty for none.
        tls_cert, tls_key: PEM files with which connections are encrypted; None for plain ones.
        client_ca: a PEM file of who must have signed a client's certificate; None where clients need none.
        log_requests: write one line for each request, too.
        replica: it is one of several, which have the same models all the time.
        limits: on one request.
    """

    plans: tuple[Path, ...]
    host: str = "127.0.0.1"
    port: int = 8000
    grpc_port: int | None = None
    workers: int = 1
    open_here: Callable[[Path, float | None], Opened] | None = None
    max_latency_s: float | None = None
    queue: int = 256
    timeout_s: float = 30.0
    hang_s: float | None = None
    drain_s: float = 30.0
    token: str = ""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    client_ca: Path | None = None
    log_requests: bool = False
    replica: bool = False
    limits: Limits = field(default_factory=Limits)
