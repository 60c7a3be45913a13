"""`chipwise serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from chipwise import api
from chipwise.cli.answer import JsonFlag, answer, plan_names
from chipwise.core.units import parse_duration_s

_PORT_MAX = 65535
HangAfter = Annotated[
    str | None, typer.Option(metavar="TIME", help="After which a worker that does not answer is replaced.")
]
TokenFile = Annotated[Path | None, typer.Option(metavar="FILE", help="Holds the bearer token that clients must send.")]
TlsCert = Annotated[Path | None, typer.Option(metavar="FILE", help="PEM certificate: connections are encrypted.")]
TlsKey = Annotated[Path | None, typer.Option(metavar="FILE", help="Its key.")]
ClientCa = Annotated[
    Path | None, typer.Option(metavar="FILE", help="PEM: clients must have a certificate that this signed.")
]
On = Annotated[Literal["ray"] | None, typer.Option(help="Replicas on Ray Serve: --address's cluster, or one of here.")]
Replicas = Annotated[int | None, typer.Option(min=1, help="On Ray: so many, each with --workers.")]
MinReplicas = Annotated[int | None, typer.Option(min=1, help="On Ray: as load asks for, at least these.")]
MaxReplicas = Annotated[int | None, typer.Option(min=1, help="On Ray: as load asks for, at most these.")]
Address = Annotated[str | None, typer.Option(help="Of the Ray cluster; RAY_ADDRESS if not given.")]


def main(
    plans: Annotated[
        list[Path],
        typer.Argument(metavar="X.plan...", help="Plan files, or folders of them.", autocompletion=plan_names),
    ],
    port: Annotated[int, typer.Option(min=1, max=_PORT_MAX, help="For HTTP.")] = 8000,
    grpc_port: Annotated[int | None, typer.Option(min=1, max=_PORT_MAX, help="For gRPC; none if not given.")] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; the usual one is reached from here only.")
    ] = "127.0.0.1",
    max_latency: Annotated[
        str | None, typer.Option(metavar="TIME", help="Join requests to batches that keep this bound, as 7ms.")
    ] = None,
    workers: Annotated[
        int, typer.Option(min=0, help="Calls at the same time, each in a process; 0: one, in the server's.")
    ] = 1,
    queue: Annotated[int, typer.Option(min=1, help="Requests that may wait for a model; more are refused.")] = 256,
    timeout: Annotated[str, typer.Option(metavar="TIME", help="After which a request is given up.")] = "30s",
    hang_after: HangAfter = None,
    token_file: TokenFile = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    client_ca: ClientCa = None,
    log_requests: Annotated[bool, typer.Option("--log-requests", help="Log every request on stderr.")] = False,
    on: On = None,
    replicas: Replicas = None,
    min_replicas: MinReplicas = None,
    max_replicas: MaxReplicas = None,
    address: Address = None,
    json: JsonFlag = False,
) -> None:
    """Serve plans over HTTP and gRPC (Open Inference Protocol v2) until Ctrl-C or SIGTERM."""
    served = api.serve(
        plans,
        host=host,
        port=port,
        grpc_port=grpc_port,
        max_latency_s=None if max_latency is None else parse_duration_s(max_latency),
        workers=workers,
        queue=queue,
        timeout_s=parse_duration_s(timeout),
        hang_s=None if hang_after is None else parse_duration_s(hang_after),
        token_file=token_file,
        tls_cert=tls_cert,
        tls_key=tls_key,
        client_ca=client_ca,
        log_requests=log_requests,
        on=on,
        replicas=replicas,
        min_replicas=min_replicas,
        max_replicas=max_replicas,
        address=address,
    )
    answer(served, json=json)
