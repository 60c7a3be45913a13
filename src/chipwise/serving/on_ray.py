"""Plans on Ray Serve: the same application in replicas, each with its own models, queues and worker processes.

Ray places the replicas on its cluster, starts others in the place of those that die, and more of them under load; its
proxy takes the connections. What is refused, and how, is `http`'s; batches, retries and bounds are those of one server.

SIGTERM and Ctrl-C: the deployment is deleted, so that replicas answer what they were asked. SIGHUP: every plan file is
read again, and replicas with the new ones take over one by one.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import logging
import os
import queue
import signal
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve.config import AutoscalingConfig, BackpressureConfig, HTTPOptions
from ray.serve.schema import ApplicationStatus, LoggingConfig

from chipwise.codec.plan_file import read_plan
from chipwise.core.errors import ChipwiseError, InputError, MachineError, RuntimeUnavailableError
from chipwise.core.served import Served
from chipwise.serving.address import page_url
from chipwise.serving.http import Application
from chipwise.serving.logs import Log
from chipwise.serving.metrics import exposition, merged
from chipwise.serving.ray_tallies import Tallies, summed
from chipwise.serving.shelf import Shelf, named_plans
from chipwise.serving.tls import check_tls
from chipwise.web.listener import bound

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from chipwise.serving.settings import Settings

_NAME = "chipwise"
_TELL_EVERY_S, _LOOK_EVERY_S = 1.0, 0.2
_HEALTH_EVERY_S, _HEALTH_S = 5.0, 10.0
_ROOM = 64  # requests that a replica takes beyond those of its queues, so that it refuses them itself
_SPARE_S = 10.0  # that Ray waits longer than a replica may take
# Within 5 s Ray ends a proxy that is not ready, again and again, which on a busy machine none ever is.
_PATIENCE = {"RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60", "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "30"}
_QUIET = LoggingConfig(log_level="WARNING", enable_access_log=False)


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where replicas run, and how many.

    Attributes:
        join: makes this process part of the cluster; it is told for how many calls at once there must be room.
        local: the cluster is of this machine, and ends with this process.
        least, most: replicas; Ray adds and takes away between them.
    """

    join: Callable[[int], None]
    local: bool
    least: int
    most: int


class Replica:
    """What Ray runs: models with their workers, behind the same application as in a server of its own.

    Args:
        settings: as of the server.
        tallies: an actor of `Tallies`.
        _digests: of the plans; others make Ray start the replica anew.

    Raises:
        ChipwiseError: a plan cannot be opened.
    """

    async def __init__(  # type: ignore[misc]  # Ray awaits it
        self, settings: Settings, tallies: Any, _digests: Mapping[str, str]
    ) -> None:
        log = Log(sys.stderr, settings.log_requests)
        self._name, self._tallies = serve.get_replica_context().replica_id.unique_id, tallies
        self._shelf = Shelf(settings, log)
        self._shelf.numbers = self._numbers
        async with contextlib.AsyncExitStack() as failed:
            failed.push_async_callback(self._shelf.close)
            await self._shelf.load_all()
            failed.pop_all()
        self._app = Application(self._shelf, log, self._end)
        self._telling = asyncio.create_task(self._tell())

    def __serve_build_asgi_app__(self) -> Application:
        """What answers."""
        return self._app

    def check_health(self) -> None:
        """Have this replica replaced where a model cannot be served any more.

        Raises:
            RuntimeUnavailableError: its workers do not start.
        """
        for serving in self._shelf.turns.servings:
            if serving.broken:
                raise RuntimeUnavailableError(f"model '{serving.name}' is not available: {serving.broken}")

    async def _numbers(self) -> bytes:
        await self._told()
        return merged(await self._tallies.texts.remote())

    async def _told(self, *, over: bool = False) -> None:
        await self._tallies.put.remote(self._name, self._shelf.counts(), exposition(self._shelf), over=over)

    async def _tell(self) -> None:
        while True:
            await self._told()
            await asyncio.sleep(_TELL_EVERY_S)

    async def _end(self) -> None:
        self._shelf.stopped.set()
        self._telling.cancel()
        await self._shelf.turns.drain()
        with contextlib.suppress(RayError):  # the cluster ends
            await self._told(over=True)
        await self._shelf.close()


def serve_on_ray(settings: Settings, cluster: Cluster, log: Log) -> Served:
    """Serve on a Ray cluster until SIGTERM or Ctrl-C.

    Args:
        settings: what is served, and where; `workers` and `queue` are each replica's.
        cluster: where.
        log: told of what this process does; what replicas say is in Ray's logs.

    Raises:
        InputError: there is no plan, two have one name, a certificate cannot be used, or what Ray's proxy does not do.
        PlanError, RuntimeUnavailableError: a plan cannot be opened.
        MachineError: the port is taken, there is no cluster, or Ray Serve runs on it already.
    """
    _check(settings)
    settings = replace(settings, replica=True, plans=tuple(path.resolve() for path in settings.plans))
    _digests(settings)
    if cluster.local:
        bound(settings.host, settings.port).close()
    with contextlib.redirect_stdout(sys.stderr):  # where Ray may tell of itself; the answer is alone on stdout
        return _served(settings, cluster, log)


def _served(settings: Settings, cluster: Cluster, log: Log) -> Served:
    told: queue.SimpleQueue[int] = queue.SimpleQueue()
    began = time.monotonic()
    for name, seconds in _PATIENCE.items():  # a cluster that begins here has them from this process
        os.environ.setdefault(name, seconds)
    cluster.join(2 * cluster.most * settings.workers)  # twice: while replicas take over from others
    before = {number: signal.signal(number, lambda each, _: told.put(each)) for number in _SIGNALS}
    try:
        _start(settings)
        tallies = ray.remote(num_cpus=0)(Tallies).remote()
        try:
            _until_stopped(settings, cluster, log, told, tallies)
        finally:
            serve.delete(_NAME)
        served = Served(summed(ray.get(tallies.counts.remote())), time.monotonic() - began)
    except (RayError, TimeoutError) as error:
        raise MachineError(f"the Ray cluster failed: {_reason(str(error))}") from error
    else:
        log.event("stopped")
        return served
    finally:
        with contextlib.redirect_stdout(io.StringIO()):  # Ray tells that its own controller ended
            serve.shutdown()
            ray.shutdown()
        for number, how in before.items():
            signal.signal(number, how)


_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def _check(settings: Settings) -> None:
    if settings.grpc_port is not None:
        raise InputError("gRPC is not served on Ray", hint="leave --grpc-port out; or no --on ray")
    if settings.client_ca is not None:
        raise InputError("Ray's proxy asks no client for a certificate", hint="leave --client-ca out; or no --on ray")
    check_tls(settings)


def _digests(settings: Settings) -> dict[str, str]:
    """Digests of all plan files by name, once each was read and is whole."""
    found = {}
    for name, path in named_plans(settings.plans).items():
        read_plan(path)
        found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _start(settings: Settings) -> None:
    """Have Ray's proxies listen.

    Raises:
        MachineError: they do already, for somebody else.
    """
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    if serve.status().proxies:
        hint = "another cluster; or end what it serves: serve shutdown"
        raise MachineError("Ray Serve runs on this cluster already, at an address of its own", hint=hint)
    options = HTTPOptions(
        host=settings.host,
        port=settings.port,
        request_timeout_s=settings.limits.body_s + settings.timeout_s + _SPARE_S,
        ssl_certfile=None if settings.tls_cert is None else str(settings.tls_cert.resolve()),
        ssl_keyfile=None if settings.tls_key is None else str(settings.tls_key.resolve()),
    )
    serve.start(proxy_location="EveryNode", http_options=options, logging_config=_QUIET)


def _until_stopped(settings: Settings, cluster: Cluster, log: Log, told: queue.SimpleQueue[int], tallies: Any) -> None:
    if not _deployed(settings, cluster, log, told, tallies):
        return
    models = sorted(named_plans(settings.plans))
    log.event("listening", host=settings.host, port=settings.port, models=models, page=page_url(settings))
    while told.get() == signal.SIGHUP:
        log.event("reloading")
        try:
            going_on = _deployed(settings, cluster, log, told, tallies)
        except ChipwiseError as error:
            log.event("refused", reason=error.message)
        else:
            log.event("reloaded" if going_on else "stopping")
            if not going_on:
                return
    log.event("stopping")


def _deployed(settings: Settings, cluster: Cluster, log: Log, told: queue.SimpleQueue[int], tallies: Any) -> bool:
    """Have replicas run with the plans as they are now; False where this process was told to stop before they did.

    Raises:
        PlanError: a plan is damaged. RuntimeUnavailableError: the replicas do not start.
    """
    target = serve.RunTarget(_application(settings, cluster, tallies), _NAME, "/", _QUIET)
    serve.run_many([target], wait_for_ingress_deployment_creation=False, wait_for_applications_running=False)
    said = ""
    while True:
        with contextlib.suppress(queue.Empty):
            if told.get(timeout=_LOOK_EVERY_S) != signal.SIGHUP:
                return False
        status = serve.status().applications.get(_NAME)
        if status is None:
            continue
        if status.status == ApplicationStatus.RUNNING:
            return True
        waits = next((each.message for each in status.deployments.values() if each.message), status.message)
        if status.status in (ApplicationStatus.DEPLOY_FAILED, ApplicationStatus.UNHEALTHY):
            raise RuntimeUnavailableError(f"the replicas do not start: {_reason(waits)}")
        if waits != said:
            said = waits
            log.event("deploying", said=_reason(waits))


def _application(settings: Settings, cluster: Cluster, tallies: Any) -> serve.Application:
    """The replicas as Ray is told of them."""
    digests = _digests(settings)
    scaled: dict[str, Any] = {"num_replicas": cluster.least}
    if cluster.most > cluster.least:
        busy = 2.0 * settings.workers  # each has a request, and another one waits
        scaled = {
            "autoscaling_config": AutoscalingConfig(
                min_replicas=cluster.least, max_replicas=cluster.most, target_ongoing_requests=busy
            )
        }
    deployment = serve.deployment(
        serve.ingress()(Replica),
        name=_NAME,
        ray_actor_options={"num_cpus": settings.workers},
        max_ongoing_requests=settings.queue * len(digests) + settings.workers + _ROOM,
        max_queued_requests=settings.queue,
        backpressure_config=BackpressureConfig(status_code=503, retry_after_s=1),
        graceful_shutdown_timeout_s=settings.drain_s,
        graceful_shutdown_wait_loop_s=_LOOK_EVERY_S,
        health_check_period_s=_HEALTH_EVERY_S,
        health_check_timeout_s=_HEALTH_S,
        max_surge_percent=100,
        **scaled,
    )
    return deployment.bind(settings, tallies, digests)


def _reason(message: str) -> str:
    """The last line of what Ray says, which is the error's own where there was one."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[-1] if lines else "Ray does not say why"
