"""The server's numbers as Prometheus reads them: requests, latency split in queue, copy and compute, batches, refusals.

They are made from each model's `Tally` when they are asked for, so that counting costs a request next to nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families

from chipwise.serving.tally import BOUNDS_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from chipwise.serving.model import Serving
    from chipwise.serving.refusals import Refusals
    from chipwise.serving.shelf import Shelf
    from chipwise.serving.tally import Sum

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_LABELS = ("model", "version")


@dataclass(frozen=True, slots=True, eq=False)
class _Given:
    """What Prometheus's client asks for numbers that are there already."""

    families: Sequence[Metric]

    def collect(self) -> Sequence[Metric]:
        """All of them."""
        return self.families


class _Collector:
    """What Prometheus's client asks for the numbers."""

    def __init__(self, shelf: Shelf) -> None:
        self._servings, self._refusals = shelf.turns.servings, shelf.refusals

    def collect(self) -> Iterator[Metric]:
        """All of them, now."""
        yield from _counts(self._servings)
        yield _refused(self._refusals)
        yield _latencies(self._servings)
        yield from _gauges(self._servings)


def exposition(shelf: Shelf) -> bytes:
    """All numbers in Prometheus's text format."""
    registry = CollectorRegistry()
    registry.register(_Collector(shelf))
    return generate_latest(registry)


def merged(texts: Mapping[str, tuple[bytes, bool]]) -> bytes:
    """The numbers of several replicas of a server, each series with one more label, "replica".

    Args:
        texts: by replica what it exposes, and whether it still runs: of others there are counts, and nothing waits.
    """
    families: dict[str, Metric] = {}
    for replica, (text, runs) in texts.items():
        for given in text_string_to_metric_families(text.decode()):
            if not runs and given.type == "gauge":
                continue
            family = families.setdefault(given.name, Metric(given.name, given.documentation, given.type))
            for sample in given.samples:
                family.add_sample(sample.name, {**sample.labels, "replica": replica}, sample.value)
    registry = CollectorRegistry()
    registry.register(_Given(tuple(families.values())))
    return generate_latest(registry)


def _counts(servings: list[Serving]) -> Iterator[Metric]:
    answered = CounterMetricFamily("chipwise_requests", "Requests that were answered.", labels=_LABELS)
    refused = CounterMetricFamily(
        "chipwise_requests_failed", "Requests that were refused or failed, by HTTP status.", labels=(*_LABELS, "status")
    )
    items = CounterMetricFamily("chipwise_items", "Items that were answered.", labels=_LABELS)
    calls = CounterMetricFamily("chipwise_calls", "Calls of the runtime, by items.", labels=(*_LABELS, "batch"))
    restarts = CounterMetricFamily("chipwise_worker_restarts", "Workers that were replaced.", labels=_LABELS)
    hung = CounterMetricFamily("chipwise_workers_hung", "Workers that were ended because a call hung.", labels=_LABELS)
    for each in servings:
        labels = (each.name, each.version)
        hung.add_metric(labels, each.hung)
        answered.add_metric(labels, each.tally.success.count)
        items.add_metric(labels, each.tally.items)
        restarts.add_metric(labels, each.restarts)
        for status, count in sorted(each.tally.refused.items()):
            refused.add_metric((*labels, str(status)), count)
        for size, (copy, _) in sorted(each.tally.calls.items()):
            calls.add_metric((*labels, str(size)), copy.count)
    yield from (answered, refused, items, calls, restarts, hung)


def _refused(refusals: Refusals) -> Metric:
    family = CounterMetricFamily(
        "chipwise_requests_refused",
        "Requests that were refused, and are none of chipwise_requests_failed: by door and HTTP status.",
        labels=("door", "status"),
    )
    for (door, status), count in refusals.counts.items():
        family.add_metric((door, str(status)), count)
    return family


def _latencies(servings: list[Serving]) -> Metric:
    family = HistogramMetricFamily(
        "chipwise_latency_seconds", "Seconds of answered requests, by part.", labels=(*_LABELS, "part")
    )
    for each in servings:
        tally = each.tally
        parts = {"total": tally.success, "queue": tally.queue, "copy": tally.copy, "compute": tally.compute}
        for part, total in parts.items():
            family.add_metric((each.name, each.version, part), _buckets(total), total.seconds)
    return family


def _buckets(total: Sum) -> list[tuple[str, float]]:
    bounds = [*map(str, BOUNDS_S), "+Inf"]
    return list(zip(bounds, map(float, accumulate(total.buckets)), strict=True))


def _gauges(servings: list[Serving]) -> Iterator[Metric]:
    waiting = GaugeMetricFamily("chipwise_queue_length", "Requests that wait.", labels=_LABELS)
    running = GaugeMetricFamily("chipwise_calls_running", "Calls that run.", labels=_LABELS)
    for each in servings:
        waiting.add_metric((each.name, each.version), each.waiting)
        running.add_metric((each.name, each.version), each.running)
    yield from (waiting, running)
