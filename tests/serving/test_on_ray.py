"""Replicas on a local Ray cluster: the same protocol, and what a replica was asked when it was killed is asked again.

A client repeats a request once that got a 5xx or lost its connection; those are counted. Whatever else has no right
answer is lost.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

import chipwise
from chipwise.core.errors import ChipwiseError, InputError, MachineError, PlanError

from .conftest import Running, Start, digits_network, free_port, make_plan
from .test_faults import Load

# The same tests, with the client and the server of this file.
from .test_server import (  # noqa: F401
    ask,
    test_a_picture_is_classified,
    test_answers_are_those_of_run,
    test_boxes_and_areas_of_a_picture,
    test_classes_are_bytes,
    test_damaged_requests_are_refused_and_nothing_else_happens,
    test_errors_are_said_in_json,
    test_half_precision,
    test_health_is_said_in_json_too,
    test_json_and_compressed_bodies,
    test_the_server_tells_of_itself,
    test_what_is_refused,
)

pytest.importorskip("ray.serve")
rest = pytest.importorskip("tritonclient.http")
pytestmark = [pytest.mark.runtime, pytest.mark.slow]
RAY = ("--on", "ray")


class Patient(Load):
    """Clients that ask once more where the server failed, as those of Ray Serve must."""

    def __init__(self, *told: Any, **how: Any) -> None:
        self.retried = 0
        super().__init__(*told, **how)

    def _ask(self, index: int) -> None:
        while not self._over.is_set():
            index = (index + 1) % len(self._bodies)
            try:
                response, data = self._once(index)
                failed = response.status >= 500
            except (OSError, http.client.HTTPException):
                failed = True
            if failed:
                self.retried += 1
                time.sleep(0.1)
                try:
                    response, data = self._once(index)
                except (OSError, http.client.HTTPException) as error:
                    self.lost.append(repr(error))
                    continue
            self._judge(index, response, data)

    def _once(self, index: int) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request("POST", "/v2/models/digits/infer", self._bodies[index], self._headers)
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()


def replicas(server: Running) -> list[int]:
    """Processes of replicas below the server."""
    parents, names = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            names[int(folder.name)] = (folder / "cmdline").read_text()
        except OSError:
            continue

    def below(pid: int) -> bool:
        return pid in parents and (parents[pid] == server.process.pid or below(parents[pid]))

    return [pid for pid, name in names.items() if name.startswith("ray::ServeReplica") and below(pid)]


def numbers(server: Running, name: str) -> dict[str, float]:
    """One of the numbers by replica, summed over whatever else tells its series apart."""
    text = ask(server, "GET", "/metrics")[1].decode()
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for each in family.samples:
            if each.name == name:
                found[each.labels["replica"]] = found.get(each.labels["replica"], 0.0) + each.value
    return found


@pytest.fixture(scope="module")
def shared(start: Start, plans: Path) -> Running:
    names = [plans / f"{name}.plan" for name in ("digits", "half", "detector", "segmenter")]
    return start(*names, "--max-latency", "100ms", "--json", *RAY, "--replicas", 2)


@pytest.fixture
def server(shared: Running) -> Running:
    return shared


@pytest.fixture
def client(server: Running) -> Iterator[Any]:
    with rest.InferenceServerClient(server.url) as made:
        yield made


def test_models_are_not_changed_in_one_replica(server: Running) -> None:
    for verb in ("load", "unload"):
        status, said, _ = ask(server, "POST", f"/v2/repository/models/digits/{verb}")
        assert (status, "one replica of several" in said.decode()) == (400, True)


def test_a_replica_that_is_killed_loses_nothing_that_was_not_asked_again(
    server: Running,
    pixels: np.ndarray,
    wanted: np.ndarray,
) -> None:
    load = Patient(server, pixels, wanted, clients=4)
    load.wait_for(100)
    assert len(numbers(server, "chipwise_requests_total")) == 2
    first = replicas(server)
    assert len(first) == 2
    os.kill(first[0], signal.SIGKILL)
    while len(set(replicas(server)) - {first[0]}) < 2 and not load.lost:  # another one takes its place
        time.sleep(0.1)
    load.wait_for(100)
    load.end()
    print(f"{load.right} right answers, {load.retried} requests asked again, {len(load.lost)} lost")
    assert load.lost == []
    assert load.retried <= 8, "what the replica held, and what was sent to it until Ray knew"


def test_replicas_come_and_plans_are_replaced_under_load(
    start: Start,
    plans: Path,
    pixels: np.ndarray,
    wanted: np.ndarray,
    tmp_path: Path,
) -> None:
    """From one replica to two; a new plan takes over; a damaged one does not; the end answers what was asked."""
    plan, again = tmp_path / "digits.plan", tmp_path / "again.plan"
    shutil.copy(plans / "digits.plan", plan)
    make_plan(again, digits_network(), data="digits")  # another file that says the same
    server = start(plan, "--json", *RAY, "--min-replicas", 1, "--max-replicas", 2)
    load = Patient(server, pixels, wanted, clients=8)
    until = time.monotonic() + 200
    while len(replicas(server)) < 2:
        assert time.monotonic() < until, "no second replica"
        time.sleep(0.5)
    load.wait_for(20)
    old = set(replicas(server))
    shutil.copy(again, plan)
    server.process.send_signal(signal.SIGHUP)
    while "reloaded" not in [event["event"] for event in server.events]:
        time.sleep(0.1)
    while old & set(replicas(server)):
        time.sleep(0.1)
    load.wait_for(20)
    old = set(replicas(server))
    damaged = bytearray(plan.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    plan.write_bytes(damaged)
    server.process.send_signal(signal.SIGHUP)
    while "refused" not in [event["event"] for event in server.events]:
        time.sleep(0.1)
    load.wait_for(20)
    assert old <= set(replicas(server)), "the old ones go on"
    load.end()
    assert load.lost == []
    assert server.stop() == 0
    done = json.loads(server.out.read_text())
    assert (done["schema"], done["models"][0]["failed"]) == ("chipwise.serve/1", 0)
    assert done["models"][0]["answered"] >= load.right - load.retried
    assert [event["event"] for event in server.events][-2:] == ["stopping", "stopped"]
    assert replicas(server) == []


def test_what_cannot_be_served_on_ray_ends_at_once(plans: Path, tmp_path: Path) -> None:
    half, damaged = plans / "half.plan", tmp_path / "digits.plan"
    damaged.write_bytes((plans / "digits.plan").read_bytes()[:-40])
    told: list[tuple[Path, dict[str, Any], type[ChipwiseError], str]] = [
        (half, {"grpc_port": free_port()}, InputError, "gRPC is not served on Ray"),
        (half, {"client_ca": half}, InputError, "asks no client for a certificate"),
        (damaged, {}, PlanError, "is not a plan file"),
        (half, {"address": f"127.0.0.1:{free_port()}"}, MachineError, "cannot join a Ray cluster"),
    ]
    for plan, options, kind, says in told:
        with pytest.raises(kind, match=says):
            chipwise.serve(plan, on="ray", port=free_port(), **options)
